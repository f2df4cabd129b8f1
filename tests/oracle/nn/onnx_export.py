"""Exported networks pass the ONNX checker with shape inference and give our logits in onnxruntime.  Where onnxruntime can be
imported it is run; what it gave for the same graph, weights and image (`onnx_export.py --keep` makes it anew) lies in
onnx_golden.json and is compared on every machine."""
import hashlib, json, os, subprocess, sys
import numpy as np

try:
    import onnx
except ImportError:
    print("skip - ONNX export: python3-onnx is not installed")
    sys.exit(0)
try:
    import onnxruntime
except ImportError:
    onnxruntime = None
from _kept import Kept
B, T = os.environ["B"], os.environ["T"]
folder = os.path.dirname(os.path.abspath(__file__))
kept = Kept(folder + "/onnx_golden.json", onnxruntime is not None, sys.argv[1:] == ["--keep"])


def graph_digest(model):
    """Of nodes, weights, inputs and outputs: not of the names of the program that wrote them."""
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()[:16]


def logits(x):
    session = onnxruntime.InferenceSession(T + "/model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {"image": x})[0]


cases = [
    ("segresnet", {"init_filters": 8}, 4, 3, (16, 24, 16)),
    ("segresnet", {"init_filters": 8, "vae": True}, 4, 3, (16, 32, 16)),
    ("meshnet", {}, 1, 3, (13, 11, 12)),
    ("meshnet", {"channels": 15, "dilations": [4, 2, 1], "norm": "instance", "act": "gelu", "bias": False}, 1, 2, (9, 10, 11)),
    ("meshnet", {"channels": 10, "dilations": [1, 2], "norm": "none", "act": "elu"}, 2, 2, (9, 10, 11)),
    ("unet3d", {"width": 12, "deep_supervision": True}, 4, 3, (16, 24, 16)),
    ("unet3d", {"width": 8, "norm": "instance", "half_first": True}, 4, 3, (16, 16, 24)),
    ("unet3d-cbam", {"width": 16}, 4, 3, (16, 24, 16)),
    ("vnet", {"width": 8}, 4, 1, (16, 8, 16)),
    ("vnet", {"variant": "original", "width": 8}, 4, 3, (16, 32, 16)),
    ("vnet", {"width": 8}, 3, 1, (16, 8, 16)),
    ("med3d-resnet", {"depth": "10", "width": 16}, 1, 2, (24, 16, 16)),
    ("med3d-resnet", {"depth": "10", "width": 16, "shortcut": "A", "branches": 2, "full_size": False}, 1, 2, (24, 16, 16)),
    ("med3d-resnet", {"depth": "10", "width": 16, "head": "classify"}, 1, 5, (24, 16, 16)),
    ("med3d-resnet", {"depth": "10", "width": 16, "head": "coarse", "output_stride": "32"}, 1, 2, (32, 32, 64)),
    ("denseaspp", {"depth": "10", "width": 16, "hidden": 24, "growth": 16, "dilations": [1, 2, 3]}, 1, 3, (24, 24, 32)),
    ("attention-unet", {"channels": [8, 16, 32]}, 2, 3, (12, 8, 16)),
    ("nnunet-plain", {"features": [8, 16, 20, 20], "deep_supervision": True}, 2, 3, (16, 16, 24)),
    ("residual-unet", {"channels": [8, 16, 32]}, 2, 3, (12, 8, 16)),
    ("catalyst-unet", {"width": 8}, 1, 3, (8, 16, 16)),
]
for name, params, ci, co, patch in cases:
    label = f"{name} {json.dumps(params)}"
    json.dump({"name": name, "params": params, "in": ci, "out": co, "patch": list(patch)}, open(T + "/r.json", "w"))
    done = subprocess.run([B + "/tests/onnx_probe", T + "/r.json", T], capture_output=True, text=True)
    try:
        model = onnx.load(T + "/model.onnx")
        onnx.checker.check_model(model, full_check=True)
        good, why = done.returncode == 0 and model.opset_import[0].version == 17 and model.ir_version == 8, done.stderr
    except Exception as e:
        good, why = False, str(e)[:300]
    print(f"{'ok' if good else 'not ok'} - {label}: passes the checker{'' if good else ': ' + why}")
    if not good:
        continue
    x = np.fromfile(T + "/x.f32", "f4").reshape(1, ci, *patch)
    worst = kept.error(f"{label} {patch} graph {graph_digest(model)}", np.fromfile(T + "/y.f32", "f4"), lambda: logits(x))
    print(f"{'ok' if worst <= 1e-4 else 'not ok'} - {label}: logits equal onnxruntime's (relative difference {worst:.1e})")
kept.done()

# In int8: whole numbers that lie between two may fall to either side where sums before them are rounded differently.
kept = Kept(folder + "/onnx_int8_golden.json", onnxruntime is not None, sys.argv[1:] == ["--keep"])
for name, params, ci, co, patch in (
    ("segresnet", {"init_filters": 8}, 4, 3, (16, 24, 16)),
    ("meshnet", {}, 1, 3, (13, 11, 12)),
    ("vnet", {"width": 8}, 4, 1, (16, 8, 16)),
    ("med3d-resnet", {"depth": "10", "width": 16}, 1, 2, (24, 16, 16)),
    ("residual-unet", {"channels": [8, 16, 32]}, 2, 3, (12, 8, 16)),
    ("unet3d-cbam", {"width": 16}, 4, 3, (16, 24, 16)),
):
    label = f"int8 {name} {json.dumps(params)}"
    json.dump({"name": name, "params": params, "in": ci, "out": co, "patch": list(patch)}, open(T + "/r.json", "w"))
    done = subprocess.run([B + "/tests/onnx_probe", T + "/r.json", T, "int8"], capture_output=True, text=True)
    model = onnx.load(T + "/model.onnx")
    onnx.checker.check_model(model, full_check=True)
    made = {o: n for n in model.graph.node for o in n.output}
    types = {i.name: i.data_type for i in model.graph.initializer}
    convs = [n for n in model.graph.node if n.op_type == "Conv"]
    whole = [n for n in convs if {made[i].op_type if i in made else None for i in n.input[:2]} == {"DequantizeLinear"}]
    axis = {a.i for n in whole for a in made[n.input[1]].attribute if a.name == "axis"}
    read = {(made[made[n.input[0]].input[0]].op_type, types[made[n.input[0]].input[2]], types[made[n.input[1]].input[0]]) for n in whole}
    say = done.returncode == 0 and 0 < len(whole) < len(convs) and axis == {0} and read == {("QuantizeLinear", onnx.TensorProto.UINT8, onnx.TensorProto.INT8)}
    print(f"{'ok' if say else 'not ok'} - {label}: {len(whole)} of {len(convs)} convolutions read whole numbers, kernels by output {done.stderr}")
    x, y = np.fromfile(T + "/x.f32", "f4").reshape(1, ci, *patch), np.fromfile(T + "/y.f32", "f4")
    worst = kept.error(f"{label} {patch} graph {graph_digest(model)}", y, lambda: logits(x))
    print(f"{'ok' if worst <= 2e-2 else 'not ok'} - {label}: logits are near onnxruntime's (relative difference {worst:.1e})")
kept.done(2e-2)
