"""Losses, optimizers, averages and schedules against PyTorch: losses with their gradients by autograd from the formulas of
loss.h written again here (and numbers that MONAI gave, training_golden.json), optimizers and schedules step for step.  Where
PyTorch is installed it is run; what it gave (`training.py --keep` makes it anew) lies in steps_golden.json and is compared on
every machine."""
import json, math, os, subprocess, sys
import numpy as np

try:
    import torch
    import torch.nn.functional as F
    O, S = torch.optim, torch.optim.lr_scheduler
except ImportError:
    torch = None
B, T, HERE = os.environ["B"], os.environ["T"], os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from _kept import Kept
from _training_cases import CASES, example
kept = Kept(HERE + "/steps_golden.json", torch is not None, sys.argv[1:] == ["--keep"])
failed = 0


def check(ok, what, why=""):
    global failed
    failed += not ok
    print(("ok - " if ok else "not ok - ") + what + ("" if ok else f": {why}"))


def probe(mode, request, data=b""):
    with open(f"{T}/request.json", "w") as f:
        json.dump({k: int(v) if isinstance(v, bool) else v for k, v in request.items()}, f)
    open(f"{T}/in", "wb").write(data)
    subprocess.run([f"{B}/tests/training_probe", mode, f"{T}/request.json", f"{T}/in", f"{T}/out"], check=True)
    return open(f"{T}/out", "rb").read()


# --- losses --------------------------------------------------------------------------------------------------------------------------

def reference_loss(o, z, r):
    """z [n,c,v] f64 logits, r [n,c,v] 0/1."""
    n, c, v = z.shape
    soft = o.get("softmax")
    p = torch.softmax(z, 1) if soft else torch.sigmoid(z)
    over = (0, 2) if o.get("batch") else (2,)
    s, d = o.get("smooth", 1e-5), o.get("smooth_below", 1e-5)
    first = 1 if soft and o.get("no_background") else 0
    pr, ps, rs = (p * r).sum(over), p.sum(over), r.sum(over)
    loss = 0
    if "dice" in o:
        f = 1 - (2 * pr + s) / (((p * p).sum(over) if o.get("squared") else ps) + rs + d)
        loss = loss + o["dice"] * f[..., first:].mean()
    if "tversky" in o:
        a, b = o.get("false_positive", .5), o.get("false_negative", .5)
        f = 1 - (pr + s) / (pr + a * (ps - pr) + b * (rs - pr) + d)
        loss = loss + o["tversky"] * f[..., first:].mean()
    if "generalized" in o:
        w = 1 / (rs * rs)
        w = torch.where(torch.isinf(w), torch.zeros_like(w), w)
        w = torch.where(rs == 0, w.max(-1, keepdim=True)[0].expand_as(w), w)
        f = 1 - (2 * (w * pr).sum(-1) + s) / ((w * (ps + rs)).sum(-1) + d)
        loss = loss + o["generalized"] * f.mean()
    bce = -(F.log_softmax(z, 1) * r) if soft else F.binary_cross_entropy_with_logits(z, r, reduction="none")
    if "cross_entropy" in o:
        loss = loss + o["cross_entropy"] * (bce.sum(1).mean() if soft else bce.mean())
    if "focal" in o:
        pt = p * r + (1 - p) * (1 - r)
        k = o.get("balance", -1)
        if soft:
            weight = torch.full_like(r, k) if k >= 0 else torch.ones_like(r)
            if k >= 0:
                weight[:, 0] = 1 - k
        else:
            weight = k * r + (1 - k) * (1 - r) if k >= 0 else torch.ones_like(r)
        loss = loss + o["focal"] * (weight * (1 - pt) ** o.get("gamma", 2) * bce).mean()
    return loss


def with_gradient(o, z, r):
    x = torch.tensor(z.astype("f4").astype("f8"), requires_grad=True)
    loss = reference_loss(o, x, torch.tensor(r.astype("f8")))
    loss.backward()
    return loss.item(), x.grad.numpy()


def our_loss(o, z, target):
    n, c, v = z.shape
    raw = probe("loss", {**o, "n": n, "c": c, "voxels": v}, z.astype("<f4").tobytes() + target.tobytes())
    return np.frombuffer(raw[:8], "<f8")[0], np.frombuffer(raw[8:], "<f4").reshape(z.shape)


golden = json.load(open(f"{HERE}/training_golden.json"))
for name, o in CASES.items():
    worst = 0
    for size in (1, 77, 70001):
        z, r, target = example(o, size)
        value, grad = our_loss(o, z, target)
        theirs = with_gradient(o, z, r) if torch else None
        worst = max(worst, kept.error(f"loss {name} {size}", value, lambda: theirs[0], 1), kept.error(f"gradient {name} {size}", grad, lambda: theirs[1]))
    check(worst < 1e-5, f"loss {name}: value and gradient", f"off by {worst:.2e}")
    if name in golden:
        z, r, target = example(o, 77)
        value, grad = our_loss(o, z, target)
        weights = np.cos(np.arange(grad.size)).reshape(grad.shape)
        got = (value, float((grad.astype("f8") * weights).sum()))
        check(np.allclose(got, golden[name], rtol=2e-5, atol=1e-7), f"loss {name}: MONAI's value and gradient", f"{got} for {golden[name]}")
for name, o in CASES.items():
    z, r, target = example(o, 70001)
    out = np.random.RandomState(1).rand(z.shape[2]) < .4
    raw = probe("loss", {**o, "n": z.shape[0], "c": z.shape[1], "voxels": z.shape[2], "ignored": 1},
                z.astype("<f4").tobytes() + target.tobytes() + np.tile(out, z.shape[0]).astype("u1").tobytes())
    got, grad = np.frombuffer(raw[:8], "<f8")[0], np.frombuffer(raw[8:], "<f4").reshape(z.shape)
    share = (~out).mean()  # means are over as many voxels as without
    less = {k: v * share if k in ("cross_entropy", "focal") else v for k, v in o.items()}
    value, rest = our_loss(less, np.ascontiguousarray(z[..., ~out]), np.ascontiguousarray(target[:, ~out]))
    check(abs(got - value) < 1e-9 * max(1, value) and not grad[..., out].any() and np.allclose(grad[..., ~out], rest, rtol=1e-5, atol=1e-12),
          f"loss {name}: ignored voxels are as if they were not there", f"{got} for {value}")
value, grad = our_loss({"cross_entropy": 1, "focal": 1, "dice": 1}, np.array([[[200., -200., 0.]]]), np.array([0, 1, 1], "u1"))
check(np.isfinite(value) and np.isfinite(grad).all(), "logits of +-200: finite")

# --- optimizers ------------------------------------------------------------------------------------------------------------------------

SHAPES = [(3, 2, 3, 3, 3), (3,), (2, 3, 1, 1, 1)]
SGD, ADAM, ADAMW, RADAM, RANGER = range(5)


def gradients(steps):
    rng = np.random.RandomState(5)
    draw = lambda s: rng.standard_normal(s).astype("f4")
    return [draw(s) for s in SHAPES], [[draw(s) * np.float32(10 ** rng.uniform(-3, 1)) for s in SHAPES] for _ in range(steps)]


class Ranger:
    """Wright's Ranger from its published steps: centralized gradient, rectified Adam, decay beside the update, lookahead."""

    def __init__(self, w, lr, betas, eps, weight_decay, k, alpha):
        self.w, self.lr, self.b1, self.b2, self.eps, self.wd, self.k, self.alpha, self.t = w, lr, *betas, eps, weight_decay, k, alpha, 0
        self.m, self.v, self.slow = [[torch.zeros_like(x) for x in w], [torch.zeros_like(x) for x in w], [x.detach().clone() for x in w]]

    def step(self):
        with torch.no_grad():
            self.update()

    def update(self):
        self.t += 1
        b2t = self.b2 ** self.t
        most = 2 / (1 - self.b2) - 1
        n = most - 2 * self.t * b2t / (1 - b2t)
        size = 1 / (1 - self.b1 ** self.t)
        if n > 5:
            size *= math.sqrt((1 - b2t) * (n - 4) / (most - 4) * (n - 2) / n * most / (most - 2))
        for w, m, v, slow in zip(self.w, self.m, self.v, self.slow):
            g = w.grad
            if g.dim() > 1:
                g = g - g.mean(dim=tuple(range(1, g.dim())), keepdim=True)
            v.mul_(self.b2).addcmul_(g, g, value=1 - self.b2)
            m.mul_(self.b1).add_(g, alpha=1 - self.b1)
            u = m / (v.sqrt() + self.eps) if n > 5 else m.clone()
            if self.wd:
                u += self.wd * w
            w.add_(u, alpha=-size * self.lr)
            if self.t % self.k == 0:
                slow.add_(w - slow, alpha=self.alpha)
                w.copy_(slow)


OPTIMIZERS = {
    "sgd": (dict(kind=SGD, momentum=0), lambda w: O.SGD(w, 0.01)),
    "sgd momentum decay": (dict(kind=SGD, momentum=.9, weight_decay=.01), lambda w: O.SGD(w, 0.01, momentum=.9, weight_decay=.01)),
    "sgd nesterov": (dict(kind=SGD, momentum=.99, nesterov=True, weight_decay=3e-5), lambda w: O.SGD(w, 0.01, momentum=.99, nesterov=True, weight_decay=3e-5)),
    "adam": (dict(kind=ADAM), lambda w: O.Adam(w, 0.01)),
    "adam decay": (dict(kind=ADAM, weight_decay=.1), lambda w: O.Adam(w, 0.01, weight_decay=.1)),
    "adamw": (dict(kind=ADAMW, weight_decay=.1), lambda w: O.AdamW(w, 0.01, weight_decay=.1)),
    "radam": (dict(kind=RADAM, weight_decay=.01), lambda w: O.RAdam(w, 0.01, weight_decay=.01)),
    "ranger": (dict(kind=RANGER, momentum=.95, eps=1e-5, weight_decay=.01, centralize=True, lookahead=6, slow_share=.5),
               lambda w: Ranger(w, 0.01, (.95, .999), 1e-5, .01, 6, .5)),
}


def our_steps(request, steps):
    w, grads = gradients(steps)
    data = b"".join(a.tobytes() for a in w) + b"".join(a.tobytes() for g in grads for a in g)
    flat = np.frombuffer(probe("optimizer", {**request, "steps": steps, "lr": .01}, data), "<f4")
    return flat[:flat.size // 2], flat[flat.size // 2:]


def their_steps(make, steps, clip=0, after=lambda w: None):
    w, grads = gradients(steps)
    w = [torch.tensor(a, dtype=torch.float64).requires_grad_() for a in w]
    o = make(w)
    for g in grads:
        for x, a in zip(w, g):
            x.grad = torch.tensor(a, dtype=torch.float64)
        if clip:
            torch.nn.utils.clip_grad_norm_(w, clip)
        o.step()
        after(w)
    return np.concatenate([x.detach().numpy().ravel() for x in w])


def agrees(what, key, ours, theirs, tolerance=1e-6):
    worst = max(kept.error(f"{key} {n}".strip(), got, (lambda n=n: theirs(n))) for n, got in ours.items())
    check(worst < tolerance, what, f"off by {worst:.2e}")


for name, (request, make) in OPTIMIZERS.items():
    ours = {n: our_steps(request, n)[0] for n in (1, 2, 5, 6, 7, 20, 60)}
    agrees(f"optimizer {name}: step for step", f"optimizer {name}", ours, lambda n: their_steps(make, n))
agrees("clipping by the norm of all gradients", "clipping", {20: our_steps(dict(kind=SGD, momentum=.9, clip_norm=2.), 20)[0]},
       lambda n: their_steps(lambda w: O.SGD(w, .01, momentum=.9), n, clip=2.))
got = our_steps(dict(kind=ADAM, weight_decay=.1, factor=0), 5)[0][-6:]
check((got == gradients(1)[0][2].ravel()).all(), "a frozen weight does not move")
agrees("a scaled rate is a parameter group with that rate", "scaled rate", {20: our_steps(dict(kind=ADAM, factor=.1), 20)[0]},
       lambda n: their_steps(lambda w: O.Adam([{"params": w[:2]}, {"params": w[2:], "lr": .001}], .01), n))


def their_mean(decay, steps):
    held = []

    def mean(w):
        flat = np.concatenate([x.detach().numpy().ravel() for x in w])
        held.append(flat if not held else decay * held[-1] + (1 - decay) * flat if decay else held[-1] + (flat - held[-1]) / (len(held) + 1))

    their_steps(lambda w: O.SGD(w, .01), steps, after=mean)
    return held[-1]


for decay, what in ((0, "plain mean of the weights"), (.9, "exponential mean of the weights")):
    agrees(what, what, {12: our_steps(dict(kind=SGD, momentum=0, average=decay), 12)[1]}, lambda n: their_mean(decay, n))

# --- schedules -------------------------------------------------------------------------------------------------------------------------

CONSTANT, COSINE, POLY, EXPONENTIAL, RESTARTS, ONE_CYCLE = range(6)
SCHEDULES = {
    "cosine": (dict(kind=COSINE, least=.1, total=40), lambda o: S.CosineAnnealingLR(o, 40, eta_min=.03)),
    "exponential": (dict(kind=EXPONENTIAL, gamma=.97, period=1, total=40), lambda o: S.ExponentialLR(o, .97)),
    "exponential by epochs": (dict(kind=EXPONENTIAL, gamma=.5, period=7, total=40), lambda o: S.StepLR(o, 7, .5)),
    "poly": (dict(kind=POLY, power=.9, total=40), lambda o: S.LambdaLR(o, lambda t: (1 - t / 40) ** .9)),
    "restarts": (dict(kind=RESTARTS, least=0, period=5, growth=2, total=40), lambda o: S.CosineAnnealingWarmRestarts(o, 5, 2)),
    "one-cycle": (dict(kind=ONE_CYCLE, total=40), lambda o: S.OneCycleLR(o, .3, total_steps=40)),
    "warm-up": (dict(kind=CONSTANT, warmup=8, total=40), lambda o: S.LinearLR(o, 1 / 8, 1, total_iters=7)),
}


def their_schedule(make):
    """Rate and momentum before each of 40 steps."""
    o = O.SGD([torch.zeros(1, requires_grad=True)], .3, momentum=.9)
    s, rows = make(o), []
    for t in range(40):
        rows.append((o.param_groups[0]["lr"], o.param_groups[0]["momentum"]))
        o.step()
        if t < 39:
            s.step()
    return np.array(rows)


for name, (request, make) in SCHEDULES.items():
    got = np.frombuffer(probe("schedule", {"rate": .3, **request}), "<f8").reshape(-1, 2)[:40]
    momentum = np.where(got[:, 1] >= 0, got[:, 1], .9)        # below 0: as the recipe says it
    agrees(f"schedule {name}", f"schedule {name}", {"rate": got[:, 0], "momentum": momentum}, lambda n: their_schedule(make)[:, ["rate", "momentum"].index(n)], 2e-9)
kept.done(1e-7)
sys.exit(failed != 0)
