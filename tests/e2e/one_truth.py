"""What evaluate says is what scipy computes from the label map that predict writes and the label file as the cohort holds it, in
that file's own grid, to the last voxel: cut masks, regions that overlap without being nested, resampled and turned grids, ensembles
of one and of two preparations, a box found by a first network, averages over turned volumes, thresholds, dropped components."""
import json, os, shutil, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
from _phantoms import NESTED, gaps, load, manifest, prepare, run, save, subject, train
import nibabel as nib
from _checks import say

os.chdir(os.environ["T"])


def equal(what, model, patches, scans, man, regions=NESTED, more=(), also=()):
    """evaluate beside predict and scipy; returns the metrics."""
    shutil.rmtree("e", ignore_errors=True)
    shutil.rmtree("s", ignore_errors=True)
    run("evaluate", "--model", model, "--patches", patches, "--subjects", "all", "--out", "e", "--bootstrap", 0, "--trained", "true", *more)
    run("predict", "--model", model, "--scans", scans, "--manifest", man, "--out", "s", *more, *also)
    m = load("e/metrics.json")
    bad = gaps(m, "s", scans, regions)
    say(not bad and len(m["subjects"]) == len(os.listdir(scans)), what, bad[:3])
    return m


# --- masks that cut the lesion
for i in range(4):
    half = np.zeros((24, 26, 28), bool)
    half[:, :, 13:] = True
    subject("cut/s%d" % i, i, mask=half)
manifest("cut.json")
patches = prepare("cut", "cut", "cut.json")
train("t", patches, "--fold", 0)
m = equal("a mask that cuts the lesion: what it cuts off counts as missed", "t", patches, "cut", "cut.json")
truth = sum((np.asarray(nib.load("cut/s%d/seg.nii.gz" % i).dataobj) > 0).sum() for i in range(4))
say(m["mean"]["WT"]["tp"] + m["mean"]["WT"]["fn"] == truth, "every voxel of the reference is counted: %d" % truth)
run("evaluate", "--predictions", "s", "--labels", "cut", "--manifest", "cut.json", "--out", "maps", "--bootstrap", 0)
maps = load("maps/metrics.json")
same = all(maps["subjects"][s][r][k] == v for s, own in m["subjects"].items() for r, columns in own.items() for k, v in columns.items() if "threshold" not in k)
say(same and len(maps["subjects"]) == 4, "--predictions and --labels give the same scores without the checkpoint")
say(all(m["sources"][s][k] == maps["sources"][s][k] for s in m["sources"] for k in ("prediction_voxels_sha256", "reference_voxels_sha256", "reference_file_sha256")),
    "and the same digests of what was scored against what")
e = {}
for fold in ("validation",):
    run("evaluate", "--model", "t", "--patches", patches, "--subjects", fold, "--overlap", "0.25", "--out", "v", "--bootstrap", 0)
    e = load("v/metrics.json")["mean"]
last = open("t/history.csv").read().strip().splitlines()[-1].split(",")[2:]
say(all(abs(float(a) - e[r]["dice"]) < 1e-12 for a, r in zip(last, ("WT", "TC", "ET"))), "history.csv holds evaluate's Dice of the validation fold", (last, e["WT"]["dice"]))

# --- after the network: turns, thresholds, components
m0 = m
for tta in ("flips", "axial16"):
    equal("--tta %s" % tta, "t", patches, "cut", "cut.json", more=("--tta", tta))
m1 = equal("--threshold by region", "t", patches, "cut", "cut.json", more=("--threshold", '{"WT": 0.2, "ET": 0.7}'))
say(m1["mean"]["WT"]["volume_ml"] > m0["mean"]["WT"]["volume_ml"], "a lower threshold gives more")
m2 = equal("--min-component drops components", "t", patches, "cut", "cut.json", more=("--min-component", '{"WT": 30, "TC": 30, "ET": 30}'))
from scipy import ndimage as nd
sizes = [np.bincount(nd.label(np.isin(np.asarray(nib.load("s/s%d/seg.nii.gz" % i).dataobj), g["values"]), np.ones((3, 3, 3)))[0].ravel())[1:].tolist() for i in range(4) for g in NESTED[:1]]
say(min([x for s in sizes for x in s], default=30) >= 30, "no component below the least size is left", sizes)

# --- the label map rule: a network that shows its channels as regions
rule = [{"name": "A", "values": [1, 3]}, {"name": "B", "values": [2, 3]}, {"name": "C", "values": [4]}]
known = {"0": "none", "1": "a", "2": "b", "3": "both", "4": "c"}
roles = ("one", "two", "three")
rng = np.random.default_rng(5)
for i in range(3):
    for k, c in enumerate(roles):
        save("over/s%d/%s.nii.gz" % (i, c), (nd.gaussian_filter(rng.normal(size=(16, 16, 16)), 2) > 0.02).astype("f4"))
    save("over/s%d/mask.nii.gz" % i, np.ones((16, 16, 16), "u1"))
    save("over/s%d/seg.nii.gz" % i, rng.integers(0, 5, (16, 16, 16)).astype("u1"))
manifest("over.json", roles, rule, known)
patches = prepare("over", "over", "over.json", norm=("--normalize", "none"))
run("train", "--patches", patches, "--out", "tr", "--model", "meshnet", "--network", json.dumps({"channels": 3, "dilations": [1], "norm": "none", "act": "relu"}),
    "--patch", 16, "--steps", 1, "--validate-every", 1, "--fold", -1)
raw = open("tr/best.safetensors", "rb").read()
n = int.from_bytes(raw[:8], "little")
header, body = json.loads(raw[8:8 + n]), bytearray(raw[8 + n:])
kernel = np.zeros((3, 3, 3, 3, 3), "f4")
for c in range(3):
    kernel[c, c, 1, 1, 1] = 1
for key, value in {"model.0.0.weight": kernel, "model.0.0.bias": np.zeros(3, "f4"), "model.1.weight": 20 * np.eye(3, dtype="f4").reshape(3, 3, 1, 1, 1),
                   "model.1.bias": np.full(3, -10, "f4")}.items():
    a, b = header[key]["data_offsets"]
    body[a:b] = value.astype("<f4").tobytes()
open("tr/best.safetensors", "wb").write(raw[:8 + n] + bytes(body))
shutil.rmtree("tr/.lineage", ignore_errors=True)
equal("regions that overlap and are not nested", "tr", patches, "over", "over.json", rule)
good = True
for i in range(3):
    on = [np.asarray(nib.load("over/s%d/%s.nii.gz" % (i, c)).dataobj) > 0.5 for c in roles]
    want = np.zeros((16, 16, 16), "u1")
    for v, b in ((1, on[0]), (2, on[1]), (4, on[2])):
        want[b] = v
    want[on[0] & on[1] & ~on[2]] = 3
    good = good and np.array_equal(np.asarray(nib.load("s/s%d/seg.nii.gz" % i).dataobj), want)
say(good, "the label map is written region by region, the last one wins; a combination that is one label's is that label")

# --- grids: turned and mirrored, and resampled
turn = np.array([[0, 0, -2.0, 30], [-1.5, 0, 0, 10], [0, 2.5, 0, -7], [0, 0, 0, 1]])
for i in range(3):
    subject("turned/s%d" % i, 10 + i, shape=(30, 22, 24), affine=turn)
manifest("turned.json")
patches = prepare("turned", "turned", "turned.json")
train("tt", patches, "--fold", -1)
equal("turned, mirrored, anisotropic scans", "tt", patches, "turned", "turned.json")
manifest("res.json", spacing_mm=[2, 2, 2])
patches = prepare("res", "turned", "res.json")
train("ts", patches, "--fold", -1)
equal("a network of 2 mm cubes on them", "ts", patches, "turned", "res.json")

# --- ensembles, and two preparations
os.makedirs("folds")
for k in (0, 1):
    train("folds/f%d" % k, patches, "--fold", -1, "--seed", 20 + k, steps=15)
m = equal("an ensemble of two", "folds", patches, "turned", "res.json")
two = prepare("two", "turned", "turned.json", norm=("--normalize", "minmax"), crop=("--margin", 4, "--dtype", "f16"))
os.makedirs("mixed")
shutil.copytree("ts", "mixed/a")
train("mixed/b", two, "--fold", -1, steps=15)
equal("f16 containers with another margin", "mixed/b", two, "turned", "turned.json")
r = run("evaluate", "--model", "mixed", "--patches", patches, "--subjects", "all", "--trained", "true", "--out", "no", status=65)
say("settings.normalize" in r.stderr and "minmax" in r.stderr and "--allow settings.normalize" in r.stderr, "members of another preparation are not scored on these containers", r.stderr[-300:])
run("predict", "--model", "mixed", "--scans", "turned", "--manifest", "turned.json", "--out", "both", "--probabilities", "true")
run("evaluate", "--predictions", "both", "--labels", "turned", "--manifest", "turned.json", "--out", "bothe", "--bootstrap", 0)
say(not gaps(load("bothe/metrics.json"), "both", "turned", NESTED), "two preparations in one ensemble: predict joins them, evaluate --predictions scores the files")
parts = [[np.asarray(nib.load("%s/s0/probability-WT.nii.gz" % d).dataobj) for d in ds] for ds in (("both",),)]
for k, d in enumerate(("mixed/a", "mixed/b")):
    run("predict", "--model", d, "--scans", "turned", "--manifest", "turned.json", "--out", "alone%d" % k, "--probabilities", "true")
alone = [np.asarray(nib.load("alone%d/s0/probability-WT.nii.gz" % k).dataobj) for k in (0, 1)]
say(np.abs(parts[0][0] - (alone[0] + alone[1]) / 2).max() < 1e-6, "its probabilities are the mean of the members'")

# --- a box that a first network found
patches = prepare("coarse", "cut", "cut.json")
run("predict", "--model", "t", "--scans", "cut", "--manifest", "cut.json", "--out", "found")
nothing = nib.load("found/s3/seg.nii.gz")
save("found/s3/seg.nii.gz", np.zeros(nothing.shape, "u1"), nothing.affine)
shutil.rmtree("found/.lineage", ignore_errors=True)
run("crop-patch", "--normed", "coarse-n", "--labels", "cut", "--manifest", "cut.json", "--region", "found", "--out", "fine-p", "--min-size", 16)
train("tf", "fine-p", "--fold", -1)
m = equal("a box found by a first network; one where it found nothing", "tf", "fine-p", "cut", "cut.json", also=("--region", "found"))
say(m["subjects"]["s3"]["WT"]["empty"] == "missed" and m["subjects"]["s3"]["WT"]["fn"] > 0, "who it missed is missed, not gone")
r = run("predict", "--model", "tf", "--scans", "cut", "--manifest", "cut.json", "--out", "no", status=65)
say("--region" in r.stderr, "such a checkpoint asks for the region", r.stderr[-300:])
