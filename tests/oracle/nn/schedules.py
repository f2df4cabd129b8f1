"""Rates behind a hold, restarts with fresh moments, and what is kept: against the closed forms of PyTorch's CosineAnnealingLR and of Adam,
written here with numpy; Ranger's own defaults; the checkpoint with the lowest validation loss."""
import csv, json, math, os, subprocess, sys
import numpy as np

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
sys.path.insert(0, ROOT + "/tests/tools")
from patches import container
from _checks import say as check


def rates(**request):
    json.dump(request, open(T + "/request.json", "w"))
    open(T + "/in", "wb").close()
    subprocess.run([B + "/tests/training_probe", "schedule", T + "/request.json", T + "/in", T + "/out"], check=True)
    return np.fromfile(T + "/out", "<f8").reshape(-1, 2)[:, 0]


CONSTANT, COSINE, POLY, EXPONENTIAL, RESTARTS = range(5)
t = np.arange(200)
want = np.where(t < 100, 1e-4, 1e-4 * (1 + np.cos(np.pi * (t - 100) / 100)) / 2)      # open_brats2020: constant, then CosineAnnealingLR with T_max 100
check(np.abs(rates(kind=COSINE, rate=1e-4, total=200, hold=100) - want).max() < 1e-18, "hold: constant for half the run, then a cosine to 0")
got = rates(kind=COSINE, rate=2, total=50, warmup=10, hold=15, least=0.1)
want = np.array([2 * (k + 1) / 10 if k < 10 else 2 if k < 25 else 2 * (0.1 + 0.9 * (1 + math.cos(math.pi * (k - 25) / 25)) / 2) for k in range(50)])
check(np.abs(got - want).max() < 1e-14, "warm-up, hold and cosine follow each other")
got = rates(kind=RESTARTS, rate=1, total=40, hold=10, period=10)
want = np.array([1 if k < 10 else (1 + math.cos(math.pi * (k % 10) / 10)) / 2 for k in range(40)])
check(np.abs(got - want).max() < 1e-14, "restarts begin behind the hold")

# --- training -----------------------------------------------------------------------------------------------------------------
manifest = json.load(open(ROOT + "/manifests/embedded.json"))
for i in range(3):
    container("%s/p/s%d/subject.vtp" % (T, i), "s%d" % i, i % 2, manifest, i)


def train(name, *more, code=0):
    words = {"--patches": T + "/p", "--patch": "16", "--network": '{"init_filters": 8}', "--steps": "8", "--validate-every": "2", "--warmup": "0", "--out": T + "/" + name}
    words.update(zip(more[::2], more[1::2]))
    p = subprocess.run([B + "/bin/train", *(w for pair in words.items() for w in pair)], capture_output=True, text=True)
    if p.returncode != code:
        print("not ok - %s: exit %d: %s" % (name, p.returncode, p.stderr[-600:]))
        sys.exit(1)
    return p.stderr


raw = lambda name, file="last": open("%s/%s/%s.safetensors" % (T, name, file), "rb").read()


def tensors(data):
    n = int.from_bytes(data[:8], "little")
    return {k: np.frombuffer(data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]], "<f4").astype("f8")
            for k, v in json.loads(data[8:8 + n]).items() if k != "__metadata__" and v["dtype"] == "F32"}


train("ranger", "--optimizer", "ranger")
train("spelled", "--optimizer", "ranger", "--momentum", "0.95", "--eps", "1e-5", "--weight-decay", "0", "--lookahead-steps", "6", "--centralize-gradients", "true")
train("bare", "--optimizer", "ranger", "--lookahead-steps", "0", "--centralize-gradients", "false")
check(raw("ranger") == raw("spelled") and raw("ranger") != raw("bare"), "ranger alone is Ranger: betas, eps, lookahead 6 and centralized gradients")
train("adam")
train("adam-spelled", "--momentum", "0.9", "--eps", "1e-8", "--weight-decay", "1e-5", "--lookahead-steps", "0", "--centralize-gradients", "false")
check(raw("adam") == raw("adam-spelled"), "adam's defaults are what they were")

# Adam's first step moves each weight by the rate times g / (|g| + eps): at a restart with fresh moments as at the very first.
cycle = ["--schedule", "restarts", "--period", "4", "--weight-decay", "0", "--learning-rate", "1e-3", "--fold", "-1", "--min-rate-factor", "1"]
moves = {}
for how in ("true", "false"):
    w = []
    for steps in ("4", "5"):
        train("r-%s-%s" % (how, steps), *cycle, "--reset-moments", how, "--steps", steps)
        w.append(tensors(raw("r-%s-%s" % (how, steps))))
    moves[how] = np.concatenate([np.abs(w[1][k] - w[0][k]) for k in w[0]])
fresh, kept = np.median(moves["true"]), np.median(moves["false"])
check(abs(fresh - 1e-3) < 1e-5 and kept < 9e-4, "--reset-moments: the step behind a restart is Adam's first, rate in every weight", (fresh, kept))
train("killed", *cycle, "--reset-moments", "true", "--steps", "5", "--scratch", T + "/scratch", "--save-every", "1")
check(raw("killed") == raw("r-true-5"), "with a scratch directory: the same bytes")

# --- what is kept -------------------------------------------------------------------------------------------------------------
train("dice", "--learning-rate", "0.01", "--fold", "1")
train("loss", "--learning-rate", "0.01", "--fold", "1", "--keep", "loss", "--keep-patches", "3")
check(raw("dice") == raw("loss"), "--keep does not change the training")
rows = list(csv.DictReader(open(T + "/loss/history.csv")))
best = json.load(open(T + "/loss/checkpoint.json"))["best"]
losses = [float(r["validation_loss"]) for r in rows]
k = int(np.argmin(losses))
check(best["step"] == int(rows[k]["step"]) and abs(best["loss"] - losses[k]) < 1e-15 and abs(best["dice"] - np.mean([float(rows[k]["dice_" + r]) for r in ("WT", "TC", "ET")])) < 1e-12,
      "--keep loss: best is the step with the lowest validation loss", (best, rows))
check(len(set(losses)) > 1 and "validation_loss" not in open(T + "/dice/history.csv").read(), "the loss stands in history.csv only where it is asked for")
