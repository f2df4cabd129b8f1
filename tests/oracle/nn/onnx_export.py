"""Exported networks pass the ONNX checker with shape inference and, where onnxruntime can be imported, give our logits."""
import json, os, subprocess, sys
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
B, T = os.environ["B"], os.environ["T"]
cases = [
    ("segresnet", {"init_filters": 8}, 4, 3, (16, 24, 16)),
    ("segresnet", {"init_filters": 8, "vae": True}, 4, 3, (16, 32, 16)),
    ("meshnet", {}, 1, 3, (13, 11, 12)),
    ("meshnet", {"channels": 15, "dilations": [4, 2, 1], "norm": "instance", "act": "gelu", "bias": False}, 1, 2, (9, 10, 11)),
    ("meshnet", {"channels": 10, "dilations": [1, 2], "norm": "none", "act": "elu"}, 2, 2, (9, 10, 11)),
    ("unet3d", {"width": 12, "deep_supervision": True}, 4, 3, (16, 24, 16)),
    ("unet3d", {"width": 8, "norm": "instance", "half_first": True}, 4, 3, (16, 16, 24)),
    ("unet3d-cbam", {"width": 16}, 4, 3, (16, 24, 16)),
    ("vnet", {}, 4, 1, (16, 8, 16)),
    ("vnet", {"variant": "original"}, 4, 3, (16, 32, 16)),
    ("med3d-resnet", {"depth": "10"}, 1, 2, (24, 16, 16)),
    ("med3d-resnet", {"depth": "10", "shortcut": "A", "branches": 2, "full_size": False}, 1, 2, (24, 16, 16)),
    ("med3d-resnet", {"depth": "10", "head": "classify"}, 1, 5, (24, 16, 16)),
    ("denseaspp", {"depth": "10", "hidden": 24, "growth": 16, "dilations": [1, 2, 3]}, 1, 3, (24, 24, 32)),
    ("attention-unet", {"channels": [8, 16, 32]}, 2, 3, (12, 8, 16)),
    ("nnunet-plain", {"features": [8, 16, 20, 20], "deep_supervision": True}, 2, 3, (16, 16, 24)),
    ("residual-unet", {"channels": [8, 16, 32]}, 2, 3, (12, 8, 16)),
    ("catalyst-unet", {}, 1, 3, (8, 16, 16)),
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
    if onnxruntime is None:
        print(f"skip - {label} in onnxruntime: it is not installed")
        continue
    x = np.fromfile(T + "/x.f32", "f4").reshape(1, ci, *patch)
    want = np.fromfile(T + "/y.f32", "f4")
    got = onnxruntime.InferenceSession(T + "/model.onnx", providers=["CPUExecutionProvider"]).run(None, {"image": x})[0].ravel()
    worst = np.inf if got.size != want.size else float(np.abs(got - want).max() / np.abs(want).max())
    print(f"{'ok' if worst <= 1e-4 else 'not ok'} - {label}: logits equal onnxruntime's (relative difference {worst:.1e})")
