"""Each operator, forward and every gradient, against PyTorch: a 1x1x1 convolution in front makes the operator's input gradient
visible, and plain C and vector kernels must agree bit for bit.  Where PyTorch is installed it is run; what it gave
(`operators.py --keep` makes it anew) lies in operators_golden.json and is compared on every machine."""
import json, os, subprocess, sys
import numpy as np

from _kept import Kept
try:
    import torch
    import torch.nn.functional as F
    torch.set_num_threads(1)
except ImportError:
    torch = None
B, T, HERE = os.environ["B"], os.environ["T"], os.path.dirname(os.path.abspath(__file__))
kept = Kept(HERE + "/operators_golden.json", torch is not None, sys.argv[1:] == ["--keep"])
ACT = {} if not torch else {1: lambda x, s, w: F.relu(x), 2: lambda x, s, w: F.leaky_relu(x, s), 3: lambda x, s, w: F.elu(x, s), 4: lambda x, s, w: F.gelu(x),
       5: lambda x, s, w: torch.sigmoid(x), 6: lambda x, s, w: F.prelu(x, w)}


def window(x, at, shape):
    y = x.new_zeros((x.shape[0], *shape[1:]))
    dst, src = [slice(None)], [slice(None)]
    for k in range(1, 5):
        a, n, m = at[k], shape[k], x.shape[k]
        lo, hi = max(0, -a), min(n, m - a)
        dst.append(slice(lo, hi))
        src.append(slice(lo + a, hi + a))
    y[tuple(dst)] = x[tuple(src)]
    return y


def run(o, t, w):
    """Operator o on tensors t with its weights w (a dictionary)."""
    op, x, k = o["op"], t[o.get("x", 0)], o.get("k", 2)
    b = t[o.get("b", 0)]
    if op == "conv":
        shape = (x.shape[1], o["out"]) if o.get("transposed") else (o["out"], x.shape[1])
        args = dict(stride=o.get("stride", 1), padding=o.get("pad", 0), dilation=o.get("dilation", 1), bias=w.get("bias"))
        weight = w["weight"].view(*shape, o["k"], o["k"], o["k"])
        return F.conv_transpose3d(x, weight, output_padding=o.get("out_pad", 0), **args) if o.get("transposed") else F.conv3d(x, weight, **args)
    if op == "norm":
        kind, g, c = o["kind"], w.get("weight"), w.get("bias")
        y = F.group_norm(x, o["groups"], g, c) if kind == 1 else F.instance_norm(x, None, None, g, c) if kind == 2 else \
            F.batch_norm(x, None, None, g, c, training=True)
        return F.relu(y) if o.get("relu") else y
    return {
        "act": lambda: ACT[o["kind"]](x, o.get("slope", 0.01), w.get("weight")),
        "add": lambda: x + b, "mul": lambda: x * b, "concat": lambda: torch.cat([x, b], 1),
        "upsample": lambda: F.interpolate(x, scale_factor=k, mode="trilinear", align_corners=bool(o.get("align"))),
        "nearest": lambda: F.interpolate(x, scale_factor=k, mode="nearest"),
        "maxpool": lambda: F.max_pool3d(x, k, o.get("stride", 2), o.get("pad", 0)),
        "avgpool": lambda: F.avg_pool3d(x, k, o.get("stride", 2)),
        "global": lambda: F.adaptive_max_pool3d(x, 1) if o.get("max") else F.adaptive_avg_pool3d(x, 1),
        "channels": lambda: x.max(1, keepdim=True)[0] if o.get("max") else x.mean(1, keepdim=True),
        "softmax": lambda: F.softmax(x, 1),
        "linear": lambda: F.linear(x.flatten(1), w["weight"].view(o["out"], -1), w.get("bias"))[..., None, None, None],
        "reshape": lambda: x.reshape(o["shape"]),
        "prelu": lambda: F.prelu(x, w["weight"]),
        "detach": lambda: x.detach(),
        "window": lambda: window(x, o["at"], o["shape"]),
    }[op]()


def first(c, size=(5, 6, 7), n=2):
    return [n, 3, *size], {"op": "conv", "x": 0, "out": c, "k": 1, "bias": 1}


cases = []
for c in (1, 5, 8, 13):
    shape, lead = first(c)
    one = lambda **o: cases.append((shape, [lead, dict(o, x=1)]))
    for kind in range(1, 7):
        one(op="act", kind=kind, slope={3: 1.0}.get(kind, 0.01))
    one(op="norm", kind=1, groups=1, affine=1)
    one(op="norm", kind=2, affine=1, relu=1)
    one(op="norm", kind=2)
    one(op="norm", kind=3, affine=1)
    for k in (2, 4, 8):
        one(op="upsample", k=k)
        one(op="upsample", k=k, align=1)
    one(op="nearest", k=2)
    one(op="maxpool", k=2)
    one(op="maxpool", k=3, stride=2, pad=1)
    one(op="avgpool", k=2)
    one(op="avgpool", k=1)
    one(op="global")
    one(op="global", max=1)
    one(op="channels")
    one(op="channels", max=1)
    one(op="softmax")
    one(op="reshape", shape=[2, c * 5 * 6 * 7, 1, 1, 1])
    one(op="window", at=[0, 0, 1, 2, 3], shape=[2, c, 3, 3, 3])
    one(op="window", at=[0, -2, -1, 0, -2], shape=[2, c + 9, 8, 6, 9])
    one(op="conv", out=c + 2, k=3, pad=1, bias=1)
    one(op="conv", out=4, k=2, stride=2, transposed=1, bias=1)
    one(op="conv", out=9, k=3, stride=2, pad=1, out_pad=1, transposed=1)
    cases.append((shape, [lead, {"op": "conv", "x": 0, "out": 9, "k": 1}, {"op": "concat", "x": 1, "b": 2}]))
    cases.append((shape, [lead, {"op": "act", "kind": 5, "x": 1}, {"op": "mul", "x": 1, "b": 2}]))
    cases.append((shape, [lead, {"op": "global", "x": 1}, {"op": "linear", "x": 2, "out": c, "bias": 1}, {"op": "act", "kind": 5, "x": 3},
                          {"op": "mul", "x": 1, "b": 4}]))
    cases.append((shape, [lead, {"op": "channels", "max": 1, "x": 1}, {"op": "channels", "x": 1}, {"op": "concat", "x": 2, "b": 3},
                          {"op": "conv", "x": 4, "out": 1, "k": 7, "pad": 3}, {"op": "act", "kind": 5, "x": 5}, {"op": "mul", "x": 1, "b": 6}]))

for k in (1, 2, 3, 5, 7):
    for stride in (1, 2):
        cases.append(([1, 3, 9, 8, 11], [first(5)[1], {"op": "conv", "x": 1, "out": 6, "k": k, "stride": stride, "pad": k // 2, "bias": 1}]))
for d in (2, 3, 6, 8, 12, 16, 18, 24):
    cases.append(([1, 3, 9, 10, 27], [first(9)[1], {"op": "conv", "x": 1, "out": 3, "k": 3, "dilation": d, "pad": d}]))
for c in (1, 5, 13):
    cases.append(([2, 3, 5, 6, 7], [first(c)[1], {"op": "prelu", "x": 1, "shared": 1}]))
    cases.append(([2, 3, 5, 6, 7], [first(c)[1], {"op": "conv", "x": 1, "out": 5, "k": 3, "stride": 2, "pad": 1}, {"op": "detach", "x": 2},
                                    {"op": "add", "x": 3, "b": 2}]))
# Single voxels, primes, one channel and 17: few channels to few and to many, three and five taps by fewer products, panels.
for size, c, one in (
    ((1, 1, 1), 17, {"out": 1, "k": 7, "pad": 3, "bias": 1}),
    ((1, 1, 1), 1, {"out": 17, "k": 3, "pad": 1}),
    ((3, 5, 7), 17, {"out": 1, "k": 5, "pad": 2, "bias": 1}),
    ((3, 5, 7), 1, {"out": 1, "k": 3, "pad": 1, "bias": 1}),
    ((3, 5, 7), 17, {"out": 2, "k": 3, "stride": 2, "pad": 1, "out_pad": 1, "transposed": 1, "bias": 1}),
    ((7, 19, 31), 17, {"out": 3, "k": 3, "pad": 1}),
    ((13, 17, 23), 17, {"out": 17, "k": 3, "pad": 1, "bias": 1}),
    ((13, 17, 23), 17, {"out": 31, "k": 5, "pad": 2, "bias": 1}),
    ((3, 5, 7), 37, {"out": 67, "k": 3, "pad": 1, "bias": 1}),
    ((3, 5, 7), 257, {"out": 257, "k": 1, "pad": 1, "bias": 1}),
):
    cases.append(([1, 3, *size], [first(c)[1], {"op": "conv", "x": 1, **one}]))


def reference(ops, x, dy, weights):
    """PyTorch's output and the gradient of every weight."""
    w = {name: torch.from_numpy(a).requires_grad_() for name, a in weights.items()}
    t = [torch.from_numpy(x)]
    for i, o in enumerate(ops):
        t.append(run(o, t, {k.split(".")[1]: v for k, v in w.items() if k.startswith(f"op{i}.")}))
    t[-1].backward(torch.from_numpy(dy).view(t[-1].shape))
    return {"output": t[-1].detach().numpy(), **{name: a.grad.numpy() for name, a in w.items()}}


bad = 0
for number, (shape, ops) in enumerate(cases):
    label = f"{number} " + " ".join(f"{k}={v}" for k, v in ops[-1].items()) + f" after {len(ops) - 1} on {ops[0]['out']} channels"
    request = T + "/request.json"
    json.dump({"input": shape, "ops": ops}, open(request, "w"))
    listed = subprocess.run([B + "/tests/nn_operators", request, "-"], capture_output=True, text=True)
    if listed.returncode:
        bad += 1
        print(f"not ok - {label}: {listed.stderr}")
        continue
    *order, (_, size) = [l.split() for l in listed.stdout.splitlines()]
    r = np.random.RandomState(number)
    draw = lambda n: r.standard_normal(n).astype("f4")
    x, dy, weights = draw(shape), draw(int(size)), {name: draw(int(n)) for name, n in order}
    np.concatenate([a.ravel() for a in (x, dy, *weights.values())]).tofile(T + "/in")
    for isa in ("portable", "avx2"):
        subprocess.run([B + "/tests/nn_operators", request, T + "/in", T + "/out." + isa], check=True, env=dict(os.environ, VOXTRAIL_ISA=isa))
    sizes = [dy.size] + [a.size for a in weights.values()]
    out = np.fromfile(T + "/out.avx2", "f4")
    ours = dict(zip(["output", *weights], np.split(out, np.cumsum(sizes)[:-1])))
    theirs = reference(ops, x, dy, weights) if torch else {}
    get = lambda name: lambda: theirs[name]
    largest = max(kept.magnitude(f"{label}: {name}", get(name)) for name in weights)
    errors = {name: kept.error(f"{label}: {name}", a, get(name), 1e-30 if name == "output" else max(0.01 * largest, 1e-3)) for name, a in ours.items()}
    where = max(errors, key=errors.get)
    same = open(T + "/out.avx2", "rb").read() == open(T + "/out.portable", "rb").read()
    if not errors[where] <= 1e-4 or not same or out.size != sum(sizes):
        bad += 1
        print(f"not ok - {label}: worst {errors[where]:.1e} at {where}, bits {'agree' if same else 'differ'}")
print(f"{'ok' if not bad else 'not ok'} - {len(cases)} operator cases: forward and gradients within 1e-4 of PyTorch, kernels agree bit for bit")
kept.done()
