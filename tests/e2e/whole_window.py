"""--window whole: the network's answer to the whole container, which numpy pads behind to what the network divides by, crops and turns; predict, evaluate and tune alike."""
import json, os, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nibabel as nib
import numpy as np
from _checks import say
from _phantoms import B, NESTED, gaps, load, manifest, prepare, run, subject, train

os.chdir(os.environ["T"])
shapes = [(21, 26, 19), (21, 26, 19), (24, 17, 30), (16, 24, 16)]
for i, shape in enumerate(shapes):
    subject("s/s%d" % i, 70 + i, shape)
manifest("m.json", split={"seed": 1, "test": 0, "folds": 2, "subjects": {"s0": 0, "s1": 1, "s2": 1, "s3": 0}})
patches = prepare("c", "s", "m.json", crop=("--multiple", 1, "--min-size", 1))
run("train", "--patches", patches, "--out", "net", "--network", '{"init_filters": 8}', "--patch", 16, "--steps", 12, "--validate-every", 12, "--learning-rate", "0.01", "--fold", 1)
model = load("net/checkpoint.json")


def container(path):
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[8:16], "little")
    h = json.loads(raw[16:16 + n])
    dims = [len(h["channels"])] + h["dims"]
    kind = {"f32": "<f4", "f16": "<f2"}[h["dtype"]]
    return np.frombuffer(raw, kind, int(np.prod(dims)), h["offsets"]["image"]).reshape(dims).astype("f4"), h


def network(x):
    request = {"name": model["model"]["name"], "params": model["model"]["params"], "in": 2, "out": 3, "n": 1, "patch": list(x.shape[1:])}
    json.dump(request, open("request.json", "w"))
    np.ascontiguousarray(x, "<f4").tofile("x")
    subprocess.run([B + "/tests/infer_probe", "request.json", "net/best.safetensors", "x", "y"], check=True)
    return np.fromfile("y", "<f4").reshape((3,) + x.shape[1:])


def whole(x, square=False):
    n = np.array(x.shape[1:])
    if square:
        n[1:] = n[1:].max()
    n += -n % 8
    y = network(np.pad(x, [(0, 0)] + [(0, int(b - a)) for a, b in zip(x.shape[1:], n)]))
    return y[:, :x.shape[1], :x.shape[2], :x.shape[3]]


def sigmoid(y):
    return 1 / (1 + np.exp(-y.astype("f8")))


common = ("--model", "net", "--scans", "s", "--manifest", "m.json", "--probabilities", "true")
run("predict", *common, "--window", "whole", "--out", "w")
run("predict", *common, "--out", "p")
turns = [(m, q, z) for m in (False, True) for q in range(4) for z in (False, True)]


def forth(v, t):
    v = np.flip(v, 3) if t[0] else v
    v = np.rot90(v, t[1], (2, 3))
    return np.flip(v, 1) if t[2] else v


def back(v, t):
    v = np.flip(v, 1) if t[2] else v
    v = np.rot90(v, -t[1], (2, 3))
    return np.flip(v, 3) if t[0] else v


def on_scan(y, h, shape):
    """[c, z, y, x] of the container -> the scan's own x, y, z; the phantoms' axes are not turned."""
    full = np.zeros((3,) + shape[::-1])
    z, y0, x = h["box"]
    assert min(h["box"]) >= 0
    full[:, z:z + y.shape[1], y0:y0 + y.shape[2], x:x + y.shape[3]] = y
    return full.transpose(0, 3, 2, 1)


read = lambda root, i: np.stack([np.asarray(nib.load("%s/s%d/probability-%s.nii.gz" % (root, i, g["name"])).dataobj) for g in NESTED])
worst, other = 0, 1
for i, shape in enumerate(shapes):
    x, h = container("%s/s%d/subject.vtp" % (patches, i))
    want = on_scan(sigmoid(whole(x)), h, shape)
    worst = max(worst, np.abs(read("w", i) - want).max())
    other = min(other, np.abs(read("p", i) - want).max())
say(worst < 1e-6, "the network's answer to the padded whole, in %d sizes (off by %.0e)" % (len(set(shapes)), worst), worst)
say(other > 1e-3, "which windows of the training's patch do not give: norms see all of it (%.3f)" % other, other)
for tta, members in (("axial16", turns), ("flips", [t for t in turns if t[1] % 2 == 0])):
    run("predict", *common, "--window", "whole", "--tta", tta, "--out", tta)
    worst = 0
    for i in (0, 2):
        x, h = container("%s/s%d/subject.vtp" % (patches, i))
        mean = sum(back(sigmoid(whole(np.ascontiguousarray(forth(x, t)), tta == "axial16")), t) for t in members) / len(members)
        worst = max(worst, np.abs(read(tta, i) - on_scan(mean, h, shapes[i])).max())
    say(worst < 1e-5, "--tta %s: the mean over %d turned wholes (off by %.0e)" % (tta, len(members), worst), worst)
run("evaluate", "--model", "net", "--patches", patches, "--subjects", "all", "--window", "whole", "--bootstrap", 0, "--out", "e")
bad = gaps(load("e/metrics.json"), "w", "s", NESTED)
say(not bad, "evaluate --window whole scores what predict --window whole writes", bad[:3])
run("tune", "--model", "net", "--patches", patches, "--window", "whole", "--out", "t")
run("evaluate", "--model", "net", "--patches", patches, "--subjects", "validation", "--window", "whole", "--bootstrap", 0, "--out", "v", "--recipe", "t/recipe.json")
t, e = load("t/tune.json")["regions"], load("v/metrics.json")["mean"]
say(all(abs(t[r]["label_map_dice"] - e[r]["dice"]) < 1e-12 for r in t), "tune --window whole tunes these answers", (t, e))
p = run("predict", *common, "--window", "whole", "--subvolumes", 27, "--out", "bad", status=64)
say("--subvolumes" in p.stderr, "--subvolumes with --window whole is refused", p.stderr)
