"""Weights from PyTorch's own files: every form that torch.save has, and those training programs make, give the values PyTorch holds;
what is no plain state dict, does not fit or is damaged is refused with a message that says so, and nothing in it is run."""
import json, os, pickle, subprocess, sys, zipfile
import numpy as np
from _checks import say

try:
    import torch
    from torch import nn
    from _nets import MeshNet, NnUnet, SegResNet
    from _nets_more import Med3D
except ImportError:
    print("skip - weights of PyTorch: python3-torch is not installed")
    sys.exit(0)
torch.manual_seed(2)
B, T = os.environ["B"], os.environ["T"]


def load(request, path, *options):
    json.dump(request, open(T + "/r.json", "w"))
    done = subprocess.run([B + "/tests/weights_probe", T + "/r.json", path, T + "/out", *options], capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return done.returncode, done.stdout.strip() + done.stderr.strip(), None
    values, at, got = np.fromfile(T + "/out", "f4"), 0, {}
    for name, n in (l.split() for l in lines[:-1]):
        got[name] = values[at:at + int(n)]
        at += int(n)
    return 0, lines[-1], got


def equal(got, state, names=None):
    return got is not None and all(np.array_equal(got[k], state[k].float().contiguous().numpy().ravel()) for k in (names or got))


def loads(what, request, path, state, report="", *options):
    code, text, got = load(request, path, *options)
    say(code == 0 and equal(got, state) and report in text, f"{what} ({text})")


def refuses(what, request, path, why, *options):
    code, text, _ = load(request, path, *options)
    say(code == 65 and why in text, f"refused: {what} ({code} {text[:200]})")


def saved(thing, old=False, name="w.pt"):
    torch.save(thing, T + "/" + name, _use_new_zipfile_serialization=not old)
    return T + "/" + name


mesh = {"name": "meshnet", "params": {"channels": 3, "dilations": [1, 2]}, "in": 1, "out": 2, "patch": [8, 8, 8]}
net = MeshNet(1, 2, 3, (1, 2))
state = {k: torch.randn_like(v) if v.dtype == torch.float32 else v for k, v in net.state_dict().items()}
net.load_state_dict(state)
for old in (False, True):
    kind = "before 1.6" if old else "zip"
    loads(f"a state dict, {kind}", mesh, saved(net.state_dict(), old), state, "matched=14 left=0 ignored=2")
    loads(f"under state_dict with module., {kind}", mesh, saved({"epoch": 7, "arch": "x", "state_dict": {"module." + k: v for k, v in state.items()},
          "lr": [1e-3, True, None]}, old), state, "form=module.")
    loads(f"tensors that share one storage, {kind}", mesh, saved((lambda flat: {k: v for k, v in zip(state, flat)})(
        [v if v.dtype != torch.float32 else torch.cat([torch.zeros(5), v.ravel(), torch.ones(9)])[5:5 + v.numel()].view(v.shape) for v in state.values()]), old), state)
    loads(f"parameters, {kind}", mesh, saved({k: nn.Parameter(v, requires_grad=v.dtype == torch.float32) if v.dtype == torch.float32 else v for k, v in state.items()}, old), state)
for dtype in (torch.float16, torch.bfloat16, torch.float64):
    low = {k: v.to(dtype) if v.dtype == torch.float32 else v for k, v in state.items()}
    loads(f"values of {dtype}", mesh, saved(low), low)
strided = {k: v.to(memory_format=torch.channels_last_3d) if v.dim() == 5 else v for k, v in state.items()}
say(any(not v.is_contiguous() for v in strided.values()), "the channels-last tensors have other strides")
loads("channels-last tensors", mesh, saved(strided), state)
for protocol in (3, 4, 5):
    torch.save(state, T + "/p.pt", pickle_protocol=protocol)
    loads(f"pickle protocol {protocol}", mesh, T + "/p.pt", state)
layers = {k.replace("model.0.0.", "layers.0.").replace("model.1.0.", "layers.1.").replace("model.2.", "layers.2."): v for k, v in state.items() if ".1." not in k[6:]}
plain = dict(mesh, params=dict(mesh["params"], norm="none"))
code, text, got = load(plain, saved(layers), "xyz")
want = {k: (v.permute(0, 1, 4, 3, 2) if v.dim() == 5 else v).contiguous() for k, v in state.items()}
say(code == 0 and equal(got, want) and "form=layers" in text, f"brainchop's names, kernels turned from x, y, z ({text})")

seg = SegResNet(4, 3, 8)
loads("SegResNet with MONAI's names", {"name": "segresnet", "params": {"init_filters": 8}, "in": 4, "out": 3, "patch": [16, 16, 16]}, saved(seg.state_dict()), seg.state_dict())
nn_net = NnUnet(1, 2, (4, 8))
own = nn_net.state_dict()
twice = dict(own, **{"decoder." + k: v for k, v in own.items() if k.startswith("encoder")})
twice.update({k.replace(".conv.", ".all_modules.0."): v for k, v in own.items() if ".convs." in k and ".conv." in k})
loads("nnU-Net's checkpoint with its second names", {"name": "nnunet-plain", "params": {"features": [4, 8]}, "in": 1, "out": 2, "patch": [8, 8, 8]},
      saved({"network_weights": twice, "current_epoch": 1}), own)

med = {"name": "med3d-resnet", "params": {"depth": "10"}, "in": 4, "out": 3, "patch": [16, 16, 16]}
source = Med3D(1, 2, 10).state_dict()
backbone = saved({"state_dict": {"module." + k: v for k, v in source.items() if not k.startswith("conv_seg")}}, True, "med3d.pth")
refuses("a backbone without the head", dict(med, **{"in": 1}), backbone, "conv_seg.0.weight")
code, text, got = load(dict(med, **{"in": 1}), backbone, "leave=conv_seg")
say(code == 0 and equal(got, source, [k for k in got if not k.startswith("conv_seg")]) and "left=12" in text, f"Med3D's backbone with a new head ({text})")
refuses("one channel for four", med, backbone, "conv1.weight has the shape [64, 4, 7, 7, 7] in the network and [64, 1, 7, 7, 7]", "leave=conv_seg")
code, text, got = load(med, backbone, "leave=conv_seg", "repeat")
say(code == 0 and "repeated=1" in text and np.array_equal(got["conv1.weight"], (source["conv1.weight"] / 4).repeat(1, 4, 1, 1, 1).numpy().ravel()),
    f"one channel repeated over four ({text})")
refuses("a whole file whose head has other classes", dict(med, **{"in": 1}), saved(source), "conv_seg.6.weight has the shape [3, 32")
code, text, got = load(dict(med, **{"in": 1}), saved(source), "leave=conv_seg")
say(code == 0 and not got["conv_seg.0.weight"].any(), "a head that is left out stays as it was")

refuses("another network's weights", mesh, saved(seg.state_dict()), "of the network's 14 weights 14 are not in the file")
refuses("one tensor too many", mesh, saved(dict(state, extra=torch.ones(2))), "first extra")
refuses("a value that is not a number", mesh, saved(dict(state, **{"model.2.bias": torch.tensor([1.0, float("nan")])})), "model.2.bias holds nan at element 1")
refuses("whole numbers", mesh, saved(dict(state, **{"model.2.bias": torch.tensor([1, 2])})), "model.2.bias is I64")
refuses("a whole model", mesh, saved(net), "which is not part of a state dict and is not run")


class Evil:
    def __reduce__(self):
        return os.system, ("touch " + T + "/owned",)


refuses("a call of os.system", mesh, saved({"state_dict": state, "x": Evil()}), "calls posix system")
refuses("a call of os.system, before 1.6", mesh, saved({"state_dict": state, "x": Evil()}, True), "calls posix system")
open(T + "/bare.pkl", "wb").write(pickle.dumps(Evil()))
refuses("a bare pickle", mesh, T + "/bare.pkl", "not a safetensors file")
say(not os.path.exists(T + "/owned"), "nothing was run")
torch.jit.save(torch.jit.script(nn.Sequential(nn.Conv3d(1, 1, 1))), T + "/script.pt")
refuses("a TorchScript program", mesh, T + "/script.pt", "is a TorchScript program")
with zipfile.ZipFile(T + "/packed.pt", "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("archive/data.pkl", b"\x80\x02}." * 100)
refuses("a compressed archive", mesh, T + "/packed.pt", "compressed")
with zipfile.ZipFile(T + "/other.zip", "w") as z:
    z.writestr("readme.txt", b"hello")
refuses("another zip archive", mesh, T + "/other.zip", "without data.pkl")
refuses("a dictionary without tensors", mesh, saved({"epoch": 1}), "holds no state dict")
whole = open(saved(state), "rb").read()
for cut in (3, 100, len(whole) // 2, len(whole) - 30, len(whole) - 1):
    open(T + "/cut.pt", "wb").write(whole[:cut])
    code, text, _ = load(mesh, T + "/cut.pt")
    say(code == 65, f"refused: cut to {cut} of {len(whole)} bytes ({text[:120]})")
at = whole.index(state["model.0.0.weight"].numpy().tobytes())
open(T + "/flip.pt", "wb").write(whole[:at + 5] + bytes([whole[at + 5] ^ 16]) + whole[at + 6:])
refuses("one changed bit in a tensor", mesh, T + "/flip.pt", "do not have their checksum")
