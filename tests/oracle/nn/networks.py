"""Each network against PyTorch on the same weights: names of weights, every output, every weight's gradient, the running statistics
of batch norms after the pass, and the prediction without training.  Where PyTorch is installed it is run; samples of what it gave
lie in tests/golden/networks (made by `networks.py --golden`) and are compared wherever the test runs."""
import json, os, subprocess, sys
import numpy as np

try:
    import torch
    from torch import nn
    from _nets import CatalystUnet, EquiUnet, MeshNet, NnUnet, SegResNet, SegResNetVAE, instance_norm
    from _nets_more import AttentionUnet, DenseAspp, Med3D, ResidualUnet, VNet
    torch.set_num_threads(1)
except ImportError:
    torch = None
    print("skip - networks against PyTorch as it runs: python3-torch is not installed")
B, T, ROOT = os.environ["B"], os.environ["T"], os.environ["ROOT"]
GOLDEN = ROOT + "/tests/golden/networks/"

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
    ("vnet", {"dropout": 0, "dropout_other": 0, "width": 6}, 4, 1, 2, (16, 8, 16), lambda: VNet(4, 1, width=6)),
    ("vnet", {"dropout": 0, "dropout_other": 0, "variant": "original", "width": 8}, 4, 3, 2, (16, 32, 16), lambda: VNet(4, 3, demo=False, width=8)),
    ("med3d-resnet", {"depth": "10", "width": 16, "shortcut": "A", "detach_shortcut": True, "full_size": False}, 1, 2, 2, (24, 16, 16),
     lambda: Med3D(1, 2, 10, full=False, pad=True, detach=True, width=16)),
    ("med3d-resnet", {"depth": "10", "width": 18, "shortcut": "A", "branches": 3}, 1, 2, 2, (24, 16, 16), lambda: Med3D(1, 2, 10, branches=3, pad=True, width=18)),
    ("med3d-resnet", {"depth": "50", "width": 16, "head": "coarse"}, 4, 2, 2, (16, 16, 24), lambda: Med3D(4, 2, 50, "coarse", width=16)),
    ("med3d-resnet", {"depth": "10", "width": 16, "head": "classify"}, 1, 5, 2, (24, 24, 16), lambda: Med3D(1, 5, 10, "classify", width=16)),
    ("denseaspp", {"depth": "10", "width": 16, "hidden": 24, "growth": 16, "dropout": 0, "dilations": [1, 2, 3]}, 1, 3, 2, (24, 24, 32),
     lambda: DenseAspp(1, 3, 10, 24, 16, (1, 2, 3), 16)),
    ("attention-unet", {"channels": [8, 16, 32]}, 2, 3, 2, (12, 8, 16), lambda: AttentionUnet(2, 3, (8, 16, 32))),
    ("attention-unet", {"channels": [8, 16, 16, 24]}, 4, 3, 2, (16, 8, 24), lambda: AttentionUnet(4, 3, (8, 16, 16, 24))),
    ("nnunet-plain", {"features": [8, 16, 20, 20], "deep_supervision": True}, 2, 3, 2, (16, 16, 24), lambda: NnUnet(2, 3, (8, 16, 20, 20), deep=True)),
    ("nnunet-plain", {"features": [8, 16], "convs": 3}, 1, 2, 1, (8, 6, 10), lambda: NnUnet(1, 2, (8, 16), 3)),
    ("residual-unet", {"channels": [8, 16, 32]}, 2, 3, 2, (12, 8, 16), lambda: ResidualUnet(2, 3, (8, 16, 32), 2)),
    ("residual-unet", {"channels": [8, 16, 32, 48], "residual_units": 0}, 2, 3, 1, (16, 8, 16), lambda: ResidualUnet(2, 3, (8, 16, 32, 48), 0)),
    ("catalyst-unet", {"width": 8}, 1, 3, 1, (8, 16, 16), lambda: CatalystUnet(1, 3, 8)),
    ("med3d-resnet", {"depth": "10", "width": 16, "branch_outputs": [2, 4, 3]}, 1, 2, 2, (24, 16, 16),
     lambda: Med3D(1, 2, 10, "branches", branches=(2, 4, 3), width=16)),
    ("med3d-resnet", {"depth": "10", "width": 16, "head": "decoder"}, 1, 2, 2, (16, 16, 16), lambda: Med3D(1, 2, 10, "decoder", width=16)),
    ("med3d-resnet", {"depth": "50", "width": 16, "head": "coarse", "preactivated": True}, 1, 2, 2, (16, 16, 24),
     lambda: Med3D(1, 2, 50, "coarse", before=True, width=16)),
    ("med3d-resnet", {"depth": "18", "width": 16, "head": "coarse", "preactivated": True}, 1, 2, 2, (16, 16, 24),
     lambda: Med3D(1, 2, 18, "coarse", before=True, width=16)),
    ("vnet", {"dropout": 0, "dropout_other": 0, "act": "elu", "width": 6}, 3, 2, 2, (16, 8, 16), lambda: VNet(3, 2, prelu=False, width=6)),
    ("med3d-resnet", {"depth": "10", "width": 16, "head": "coarse", "output_stride": "32"}, 1, 2, 2, (32, 64, 64),
     lambda: Med3D(1, 2, 10, "coarse", stride=32, width=16)),
]
EXPENSIVE = 2000000     # parameters from which plain C is left out


def outputs(y):
    return y if isinstance(y, list) else [y]


def probe(request, *args, **env):
    return subprocess.run([B + "/tests/nn_probe", request, *args], capture_output=True, text=True, env=dict(os.environ, **env))


def names(request):
    """The probe's weights as {"1": trained, "0": running statistics}, each a list of (name, elements, dimensions, first), and its outputs."""
    listed = probe(request, "-")
    lines = [l.split() for l in listed.stdout.splitlines()]
    order = {t: [(l[0], int(l[1]), int(l[3]), int(l[4])) for l in lines if l[0] != "output" and l[2] == t] for t in "01"}
    return order, [tuple(map(int, l[1:])) for l in lines if l[0] == "output"], listed.stderr


def draw(seed, shape, order, shapes):
    """Input, gradients of the outputs and weights: a function of the seed alone.  The weights keep the values of every layer near 1,
    so that a wrong layer shows."""
    r = np.random.RandomState(seed)
    x, dys, weights = r.standard_normal(shape), [r.standard_normal(s) for s in shapes], {}
    for name, n, dims, first in order["1"]:
        w = r.standard_normal(n)
        weights[name] = (w * 0.3 + 1 if dims == 1 else w * (2.0 * first / n) ** 0.5).astype("f4")
    np.concatenate([t.ravel().astype("f4") for t in [x] + dys] + list(weights.values())).tofile(T + "/in")
    return x.astype("f4"), [d.astype("f4") for d in dys], weights


def pieces(out, order, shapes):
    """The probe's output cut up: (name, is a gradient, values)."""
    sizes = [(f"output {i}", False, int(np.prod(s))) for i, s in enumerate(shapes)] + [(o[0], True, o[1]) for o in order["1"]] + \
        [(o[0], False, o[1]) for o in order["0"]] + [("inference", False, int(np.prod(shapes[0])))]
    ends = np.cumsum([n for _, _, n in sizes])
    return [(name, g, v) for (name, g, _), v in zip(sizes, np.split(out, ends[:-1]))] if ends[-1] == len(out) else None


def reference(make, x, dys, weights, order):
    """PyTorch's values in the order of pieces()."""
    net = make().train()
    mine = dict(net.named_parameters())
    for name, w in weights.items():
        mine[name].data = torch.from_numpy(w).view(mine[name].shape)
    x = torch.from_numpy(x)
    ys = outputs(net(x))
    torch.autograd.backward(ys, [torch.from_numpy(d).view(y.shape) for d, y in zip(dys, ys)])
    statistics = [dict(net.named_buffers())[o[0]].clone() for o in order["0"]]
    with torch.no_grad():
        evaluated = outputs(net.eval()(x))[0]
    grads = [mine[o[0]].grad if mine[o[0]].grad is not None else torch.zeros_like(mine[o[0]]) for o in order["1"]]
    return [t.detach().numpy().ravel() for t in ys + grads + statistics + [evaluated]]


def sample(v, gradient):
    """The largest magnitude and values spread over the whole tensor."""
    return np.concatenate([[np.abs(v).max()], v[np.linspace(0, v.size - 1, 5 if gradient else 97).astype(int)]]).astype("f4")


def compare(got, want, largest):
    """The largest relative difference of values and of gradients, and where they are; want holds (magnitude, values)."""
    worst = {False: (0.0, ""), True: (0.0, "")}
    for (name, gradient, v), (scale, w) in zip(got, want):
        e = float(np.abs(v - w).max()) / max(scale, 0.01 * largest if gradient else 0, 1e-12)    # a bias before a norm has the gradient 0
        if not e <= worst[gradient][0]:
            worst[gradient] = e, name
    return worst


def verdict(what, worst):
    e, where = max(worst.values())
    print(f"{'ok' if e <= 1e-4 else 'not ok'} - {what}: outputs, gradients and statistics within 1e-4 (worst {e:.1e} at {where})")


def largest_gradient(got, scales):
    return max(float(s) for (_, gradient, _), s in zip(got, scales) if gradient)


making = sys.argv[1:2] == ["--golden"]
only = sys.argv[2:] if making else sys.argv[1:]
index_path = GOLDEN + "index.json"
index = json.load(open(index_path)) if os.path.exists(index_path) else {}
for name, params, ci, co, n, patch, make in cases:
    label = f"{name} {json.dumps(params)} {patch}"
    if only and not any(o in label for o in only):
        continue
    request = T + "/request.json"
    json.dump({"name": name, "params": params, "in": ci, "out": co, "n": n, "patch": list(patch)}, open(request, "w"))
    order, shapes, why = names(request)
    if not shapes:
        print(f"not ok - {label}: {why}")
        continue
    known = index.get(label, {"seed": 7, "file": ""})
    # A unit whose input is within rounding of 0 may be on here and off there, which changes gradients by its whole share; such
    # weights are drawn again.  A wrong gradient is wrong for all of them, and values must agree for each.
    for seed in range(known["seed"], known["seed"] + 5 if making or torch else known["seed"] + 1):
        x, dys, weights = draw(seed, (n, ci, *patch), order, shapes)
        done = probe(request, T + "/in", T + "/out.avx2", VOXTRAIL_ISA="avx2")
        got = pieces(np.fromfile(T + "/out.avx2", "f4"), order, shapes) if done.returncode == 0 else None
        if not torch or not got:
            break
        want = reference(make, x, dys, weights, order)
        scales = [np.abs(w).max() for w in want]
        worst = compare(got, list(zip(scales, want)), largest_gradient(got, scales))
        if worst[False][0] > 1e-4 or worst[True][0] <= 1e-4:
            break
    if not got:
        print(f"not ok - {label}: the probe's output has the wrong length {done.stderr}")
        continue
    if torch:
        net = make()
        expected = {"1": sorted(k for k, _ in net.named_parameters()), "0": sorted(k for k, v in net.named_buffers() if v.dim())}
        same = all(sorted(o[0] for o in order[t]) == expected[t] for t in "01")
        print(f"{'ok' if same else 'not ok'} - {label}: weights have PyTorch's names")
        verdict(label + " and PyTorch", worst)
        if making:
            known = {"seed": seed, "file": f"{list(c[:2] for c in cases).index((name, params)):02d}-{name}.f32"}
            index[label] = known
            os.makedirs(GOLDEN, exist_ok=True)
            np.concatenate([sample(w, g) for (_, g, _), w in zip(got, want)]).tofile(GOLDEN + known["file"])
            json.dump(index, open(index_path, "w"), indent=1)
    if known["file"] and seed == known["seed"]:
        stored = [sample(v, g) for _, g, v in got]
        at = np.cumsum([s.size for s in stored])
        want = np.split(np.fromfile(GOLDEN + known["file"], "f4"), at[:-1])
        sampled = [(name, g, s[1:]) for (name, g, _), s in zip(got, stored)]
        verdict(label + " and what PyTorch gave", compare(sampled, [(w[0], w[1:]) for w in want], largest_gradient(got, [w[0] for w in want])))
    if sum(o[1] for o in order["1"]) < EXPENSIVE:
        probe(request, T + "/in", T + "/out.portable", VOXTRAIL_ISA="portable")
        same = open(T + "/out.avx2", "rb").read() == open(T + "/out.portable", "rb").read()
        print(f"{'ok' if same else 'not ok'} - {label}: plain C and vector kernels agree bit for bit")
