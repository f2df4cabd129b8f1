"""Each network against PyTorch on the same weights: names of weights, every output, every weight's gradient, the running statistics
of batch norms after the pass, and the prediction without training."""
import json, os, subprocess, sys
import numpy as np

try:
    import torch
    from torch import nn
    from _nets import CatalystUnet, EquiUnet, MeshNet, NnUnet, SegResNet, SegResNetVAE, instance_norm
    from _nets_more import AttentionUnet, DenseAspp, Med3D, ResidualUnet, VNet
except ImportError:
    print("skip - networks against PyTorch: python3-torch is not installed")
    sys.exit(0)
torch.set_num_threads(1)
B, T = os.environ["B"], os.environ["T"]

cases = [
    ("segresnet", {"init_filters": 8}, 4, 3, 1, (16, 24, 16), lambda: SegResNet(4, 3, 8)),
    ("segresnet", {"init_filters": 16}, 4, 3, 2, (8, 16, 8), lambda: SegResNet(4, 3, 16)),
    ("segresnet", {"init_filters": 16, "blocks_down": [1, 1, 1], "blocks_up": [1, 1]}, 3, 2, 1, (16, 8, 8), lambda: SegResNet(3, 2, 16, (1, 1, 1), (1, 1))),
    ("segresnet", {"init_filters": 8, "vae": True, "vae_sd": 0}, 4, 3, 2, (16, 32, 16), lambda: SegResNetVAE(4, 3, 8, (16, 32, 16))),
    ("meshnet", {}, 1, 3, 2, (13, 11, 12), lambda: MeshNet(1, 3, 21, (1, 1, 1, 2, 4, 8, 1))),
    ("meshnet", {"variant": "large"}, 1, 3, 1, (8, 7, 9), lambda: MeshNet(1, 3, 71, (1, 1, 2, 4, 8, 16, 1))),
    ("meshnet", {"variant": "mindgrab", "dilations": [16, 8, 4, 2, 1]}, 1, 2, 1, (18, 17, 19),
     lambda: MeshNet(1, 2, 15, (16, 8, 4, 2, 1), "instance", nn.GELU, False)),
    ("meshnet", {"channels": 20, "dilations": [1, 2, 4], "norm": "none", "act": "elu"}, 2, 3, 1, (10, 9, 8), lambda: MeshNet(2, 3, 20, (1, 2, 4), "none", nn.ELU)),
    ("unet3d", {"width": 12, "deep_supervision": True}, 4, 3, 1, (16, 24, 16), lambda: EquiUnet(4, 3, 12, deep=True)),
    ("unet3d", {"width": 8, "half_first": True, "norm": "instance"}, 4, 3, 2, (16, 24, 16), lambda: EquiUnet(4, 3, 8, instance_norm, half=True)),
    ("unet3d-cbam", {"width": 16}, 4, 3, 1, (16, 24, 16), lambda: EquiUnet(4, 3, 16, cbam="paper")),
    ("unet3d-cbam", {"width": 16, "gate_relu": True, "deep_supervision": True}, 2, 3, 2, (16, 16, 8), lambda: EquiUnet(2, 3, 16, deep=True, cbam="relu")),
    ("vnet", {"dropout": 0, "dropout_other": 0}, 4, 1, 2, (16, 8, 16), lambda: VNet(4, 1)),
    ("vnet", {"dropout": 0, "dropout_other": 0, "variant": "original"}, 4, 3, 2, (16, 32, 16), lambda: VNet(4, 3, demo=False)),
    ("med3d-resnet", {"depth": "10", "shortcut": "A", "detach_shortcut": True, "full_size": False}, 1, 2, 2, (24, 16, 16),
     lambda: Med3D(1, 2, 10, full=False, pad=True, detach=True)),
    ("med3d-resnet", {"depth": "10", "shortcut": "A", "branches": 3}, 1, 2, 2, (24, 16, 16), lambda: Med3D(1, 2, 10, branches=3, pad=True)),
    ("med3d-resnet", {"depth": "50", "head": "coarse"}, 4, 2, 2, (16, 16, 24), lambda: Med3D(4, 2, 50, "coarse")),
    ("med3d-resnet", {"depth": "10", "head": "classify"}, 1, 5, 2, (24, 24, 16), lambda: Med3D(1, 5, 10, "classify")),
    ("denseaspp", {"depth": "10", "hidden": 24, "growth": 16, "dropout": 0, "dilations": [1, 2, 3]}, 1, 3, 2, (24, 24, 32),
     lambda: DenseAspp(1, 3, 10, 24, 16, (1, 2, 3))),
    ("attention-unet", {"channels": [8, 16, 32]}, 2, 3, 2, (12, 8, 16), lambda: AttentionUnet(2, 3, (8, 16, 32))),
    ("attention-unet", {"channels": [8, 16, 16, 24]}, 4, 3, 2, (16, 8, 24), lambda: AttentionUnet(4, 3, (8, 16, 16, 24))),
    ("nnunet-plain", {"features": [8, 16, 20, 20], "deep_supervision": True}, 2, 3, 2, (16, 16, 24), lambda: NnUnet(2, 3, (8, 16, 20, 20), deep=True)),
    ("nnunet-plain", {"features": [8, 16], "convs": 3}, 1, 2, 1, (8, 6, 10), lambda: NnUnet(1, 2, (8, 16), 3)),
    ("residual-unet", {"channels": [8, 16, 32]}, 2, 3, 2, (12, 8, 16), lambda: ResidualUnet(2, 3, (8, 16, 32), 2)),
    ("residual-unet", {"channels": [8, 16, 32, 48], "residual_units": 0}, 2, 3, 1, (16, 8, 16), lambda: ResidualUnet(2, 3, (8, 16, 32, 48), 0)),
    ("catalyst-unet", {}, 1, 3, 1, (8, 16, 16), lambda: CatalystUnet(1, 3)),
]
EXPENSIVE = 2000000     # parameters from which plain C is left out


def outputs(y):
    return y if isinstance(y, list) else [y]


def draw(net):
    """Weights that keep the values of every layer near 1, so that a wrong layer shows."""
    for p in net.parameters():
        p.data = torch.randn_like(p) * (0.3 if p.dim() == 1 else (2.0 / p[0].numel()) ** 0.5) + (1.0 if p.dim() == 1 else 0.0)


def distance(got, want, least=0.0):
    return float(np.abs(got - want).max()) / max(float(np.abs(want).max()), least, 1e-12)


def compare(out, net, ys, order, evaluated):
    """The largest relative difference of values and of gradients, and where they are."""
    at, worst = 0, {False: (0.0, ""), True: (0.0, "")}
    weights, buffers = dict(net.named_parameters()), dict(net.named_buffers())
    largest = max(float(w.grad.abs().max()) for w in weights.values() if w.grad is not None)

    def take(name, want, least=0.0, gradient=False):
        nonlocal at
        want = want.detach().numpy().ravel()
        e = distance(out[at:at + want.size], want, least)
        at += want.size
        if not e <= worst[gradient][0]:
            worst[gradient] = e, name

    for i, y in enumerate(ys):
        take(f"output {i}", y)
    for o, _ in order["1"]:
        w = weights[o]
        take(o, w.grad if w.grad is not None else torch.zeros_like(w), 0.01 * largest, True)   # a bias before a norm has the gradient 0
    for o, _ in order["0"]:
        take(o, buffers[o])
    take("inference", evaluated)
    return worst if at == len(out) else {False: (np.inf, "the length"), True: (np.inf, "the length")}


def run(request, isa):
    subprocess.run([B + "/tests/nn_probe", request, T + "/in", T + "/out." + isa], check=True, env=dict(os.environ, VOXTRAIL_ISA=isa))
    return open(T + "/out." + isa, "rb").read()


def names(request):
    """The probe's weights as {"1": trained, "0": running statistics}, each a list of (name, elements)."""
    listed = subprocess.run([B + "/tests/nn_probe", request, "-"], capture_output=True, text=True)
    lines = [l.split() for l in listed.stdout.splitlines()]
    return {t: [(l[0], int(l[1])) for l in lines if l[0] != "output" and l[2] == t] for t in "01"}, listed.stderr


def attempt(seed, make, shape, order, request, both):
    """One set of random weights through both programs: the differences, and whether the kernels agree."""
    torch.manual_seed(seed)
    net = make().train()
    draw(net)
    x = torch.randn(*shape)
    ys = outputs(net(x))
    dys = [torch.randn_like(y) for y in ys]
    torch.autograd.backward(ys, dys)
    with torch.no_grad():
        evaluated = outputs(net.eval()(x))[0]
    weights = dict(net.named_parameters())
    np.concatenate([t.detach().numpy().ravel() for t in [x] + dys + [weights[o] for o, _ in order["1"]]]).astype("f4").tofile(T + "/in")
    fast = run(request, "avx2")
    return compare(np.frombuffer(fast, "f4"), net, ys, order, evaluated), not both or fast == run(request, "portable")


only = sys.argv[1:]
for name, params, ci, co, n, patch, make in cases:
    label = f"{name} {json.dumps(params)}"
    if only and not any(o in label for o in only):
        continue
    request = T + "/request.json"
    json.dump({"name": name, "params": params, "in": ci, "out": co, "n": n, "patch": list(patch)}, open(request, "w"))
    order, why = names(request)
    net = make()
    want = {"1": sorted(k for k, _ in net.named_parameters()), "0": sorted(k for k, v in net.named_buffers() if v.dim())}
    same = all(sorted(o for o, _ in order[t]) == want[t] for t in "01")
    print(f"{'ok' if same else 'not ok'} - {label}: weights have PyTorch's names {why}")
    if not same:
        print("#", sorted(set(o for o, _ in order["1"] + order["0"]) ^ set(want["1"] + want["0"]))[:10])
        continue
    # A unit whose input is within rounding of 0 may be on here and off there, which changes gradients by its whole share; such
    # weights are drawn again.  A wrong gradient is wrong for all of them, and values must agree for each.
    for seed in range(7, 12):
        worst, same = attempt(seed, make, (n, ci, *patch), order, request, sum(k for _, k in order["1"]) < EXPENSIVE)
        if worst[False][0] > 1e-4 or worst[True][0] <= 1e-4 or not same:
            break
    e, where = max(worst.values())
    print(f"{'ok' if same else 'not ok'} - {label}: plain C and vector kernels agree bit for bit")
    print(f"{'ok' if e <= 1e-4 else 'not ok'} - {label}: outputs, gradients and statistics within 1e-4 (worst {e:.1e} at {where})")
