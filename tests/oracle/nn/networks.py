"""Forward values and every weight's gradient of each network against PyTorch on the same weights."""
import json, os, subprocess, sys
import numpy as np

try:
    import torch
    from torch import nn
    from _nets import MeshNet, SegResNet
except ImportError:
    print("skip - networks against PyTorch: python3-torch is not installed")
    sys.exit(0)
torch.manual_seed(5)
torch.set_num_threads(1)
B, T = os.environ["B"], os.environ["T"]


cases = [
    ("segresnet", {"init_filters": 8}, 4, 3, 1, (16, 24, 16), lambda: SegResNet(4, 3, 8), 1176843),
    ("segresnet", {"init_filters": 16}, 4, 3, 2, (8, 16, 8), lambda: SegResNet(4, 3, 16), 4702227),
    ("segresnet", {"init_filters": 16, "blocks_down": [1, 1, 1], "blocks_up": [1, 1]}, 3, 2, 1, (16, 8, 8), lambda: SegResNet(3, 2, 16, (1, 1, 1), (1, 1)), None),
    ("meshnet", {}, 1, 3, 2, (13, 11, 12), lambda: MeshNet(1, 3, 21, (1, 1, 1, 2, 4, 8, 1)), 72516),
    ("meshnet", {"channels": 71, "dilations": [1, 1, 2, 4, 8, 16, 1]}, 1, 3, 1, (9, 10, 11), lambda: MeshNet(1, 3, 71, (1, 1, 2, 4, 8, 16, 1)), 820266),
    ("meshnet", {"channels": 15, "dilations": [16, 8, 4, 2, 1], "norm": "instance", "act": "gelu", "bias": False}, 1, 2, 1, (18, 17, 19),
     lambda: MeshNet(1, 2, 15, (16, 8, 4, 2, 1), 2, nn.GELU, False), None),
    ("meshnet", {"channels": 20, "dilations": [1, 2, 4], "norm": "none", "act": "elu"}, 2, 3, 1, (10, 9, 8), lambda: MeshNet(2, 3, 20, (1, 2, 4), 0, nn.ELU), None),
]

for name, params, ci, co, n, patch, make, want in cases:
    label = f"{name} {json.dumps(params)}"
    net = make().train()
    weights = dict(net.named_parameters())
    for p in weights.values():
        p.data = torch.randn_like(p) * (0.3 if p.dim() == 1 else (2.0 / p[0].numel()) ** 0.5) + (1.0 if p.dim() == 1 else 0.0)
    request = T + "/request.json"
    json.dump({"name": name, "params": params, "in": ci, "out": co, "n": n, "patch": list(patch)}, open(request, "w"))
    order = [l.split() for l in subprocess.run([B + "/tests/nn_probe", request, "-"], capture_output=True, text=True, check=True).stdout.splitlines()]
    count = sum(int(k) for _, k in order)
    print(f"{'ok' if sorted(o for o, _ in order) == sorted(weights) else 'not ok'} - {label}: weights have PyTorch's names")
    if want:
        print(f"{'ok' if count == want else 'not ok'} - {label}: {want} parameters (has {count})")
    x = torch.randn(n, ci, *patch)
    y = net(x)
    dy = torch.randn_like(y)
    y.backward(dy)
    np.concatenate([x.numpy().ravel(), dy.numpy().ravel()] + [weights[o].detach().numpy().ravel() for o, _ in order]).astype("f4").tofile(T + "/in")
    for isa in ("portable", "avx2") if count < 2000000 else ("avx2",):
        subprocess.run([B + "/tests/nn_probe", request, T + "/in", T + "/out." + isa], check=True, env=dict(os.environ, VOXTRAIL_ISA=isa))
    out = np.fromfile(T + "/out.avx2", "f4")
    if count < 2000000:
        same = open(T + "/out.avx2", "rb").read() == open(T + "/out.portable", "rb").read()
        print(f"{'ok' if same else 'not ok'} - {label}: plain C and vector kernels agree bit for bit")
    at = y.numel()
    largest = max(float(w.grad.abs().max()) for w in weights.values())
    worst, where = np.abs(out[:at] - y.detach().numpy().ravel()).max() / float(y.abs().max()), "logits"
    for o, k in order:
        got, ref = out[at:at + int(k)], weights[o].grad.numpy().ravel()
        at += int(k)
        scale = max(float(np.abs(ref).max()), 0.01 * largest)   # a bias before a norm has the gradient 0
        e = np.abs(got - ref).max() / scale
        if e > worst:
            worst, where = e, o
    print(f"{'ok' if worst <= 1e-4 else 'not ok'} - {label}: forward and gradients within 1e-4 (worst {worst:.1e} at {where})")
