"""What a stored label value means is said once, in the manifest, and holds wherever label maps are read: maps, tolerances, names with
fields, ignored values, eight regions; evaluate, train and measure beside numpy."""
import json, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
from _phantoms import load, manifest, run, save
import nibabel as nib
from _checks import say

os.chdir(os.environ["T"])


rng = np.random.default_rng(3)
shape = (12, 13, 14)
regions = [{"name": "R1", "values": [1]}, {"name": "R2", "values": [2, 3]}]
values = {str(v): "v%d" % v for v in range(4)}


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


# --- a map of stored values, and values that are not quite whole: the reference's, not the prediction's
truth = {s: rng.integers(0, 4, shape) for s in ("s1", "s2")}
found = {s: np.where(rng.random(shape) < 0.3, rng.integers(0, 4, shape), t) for s, t in truth.items()}
swap = {1: 2, 2: 1, 3: 1003}  # meaning to stored
for s in truth:
    stored = np.copy(truth[s])
    for v, k in swap.items():
        stored[truth[s] == v] = k
    save("own/%s.nii.gz" % s, (stored + rng.uniform(-0.04, 0.04, shape)).astype("f4"))
    save("found/%s/seg.nii.gz" % s, found[s].astype("u1"))
label = {"files": ["{subject}.nii.gz"], "values": values, "map": {"1": 2, "2": 1, "1003-1010": 3}, "tolerance": 0.05}
manifest("map.json", ("t1",), regions, label=label)
run("evaluate", "--predictions", "found", "--labels", "own", "--manifest", "map.json", "--out", "e", "--bootstrap", 0)
m = load("e/metrics.json")["subjects"]
bad = [(s, g["name"]) for s in truth for g in regions
       if abs(m[s][g["name"]]["dice"] - dice(np.isin(truth[s], g["values"]), np.isin(found[s], g["values"]))) > 1e-12]
say(len(m) == 2 and not bad, "evaluate --predictions reads references through label.map and label.tolerance, predictions as predict writes them", bad)
run("measure", "--masks", "found", "--manifest", "map.json", "--texture", "false", "--out", "w")
run("measure", "--masks", "own", "--manifest", "map.json", "--texture", "false", "--out", "o")
for d, maps, what in (("w", found, "predict's"), ("o", truth, "the cohort's own")):
    got = {(s["subject"], r["region"]): r["voxels"] for s in load(d + "/measures.json")["subjects"] for r in s["regions"]}
    want = {(s, g["name"]): int(np.isin(maps[s], g["values"]).sum()) for s in maps for g in regions}
    say(got == want, "measure: voxels of %s files" % what, (got, want))
manifest("both.json", ("t1",), regions, label={**label, "files": ["{subject}/seg.nii.gz"]})
r = run("measure", "--masks", "found", "--manifest", "both.json", "--out", "n", status=65)
say("--values written" in r.stderr, "measure does not guess whether <subject>/seg.nii.gz has gone through the map", r.stderr[-300:])
run("measure", "--masks", "found", "--manifest", "both.json", "--values", "written", "--texture", "false", "--out", "y")
say(load("y/measures.json") == load("w/measures.json"), "--values says it")

# --- fields of a subject's name in the place of a prediction
for s in ("sub-a_ses-1", "sub-a_ses-2"):
    a, b = s.split("_")
    t = rng.integers(0, 4, shape)
    save("bids/%s/%s/%s_seg.nii.gz" % (a, b, s), t.astype("u1"))
    save("theirs/%s/%s/seg.nii.gz" % (a, b), t.astype("u1"))
manifest("bids.json", ("t1",), regions, subject="sub-{patient}_ses-{session}",
         label={"files": ["sub-{patient}/ses-{session}/{subject}_seg.nii.gz"], "values": values})
for what, extra in (("as the manifest lays out labels", ("--predictions", "bids")), ("by --pattern", ("--predictions", "theirs", "--pattern", "sub-{patient}/ses-{session}/seg.nii.gz"))):
    run("evaluate", *extra, "--labels", "bids", "--manifest", "bids.json", "--out", "b" + str(len(extra)), "--bootstrap", 0)
    m = load("b%d/metrics.json" % len(extra))
    say(len(m["subjects"]) == 2 and m["mean"]["R2"]["dice"] == 1 and not m["mean"]["R2"]["absent"], "predictions %s, with fields" % what, m["mean"]["R2"])

# --- a prediction whose values nobody knows, one without a reference
for s in ("u1", "u2"):
    save("known/%s/seg.nii.gz" % s, truth["s1"].astype("u1"))
    save("guess/%s/seg.nii.gz" % s, np.where(truth["s1"] == 3, 77 if s == "u2" else 3, truth["s1"]).astype("u1"))
for s in ("w1", "w2"):
    save("guess/%s/seg.nii.gz" % s, truth["s1"].astype("u1"))
os.makedirs("guess/quarantine", exist_ok=True)
open("guess/quarantine/w3.json", "w").write("{}")
manifest("known.json", ("t1",), regions, values)
r = run("evaluate", "--predictions", "guess", "--labels", "known", "--manifest", "known.json", "--out", "kn", "--bootstrap", 0, status=65)
m = load("kn/metrics.json")
size = {g["name"]: int(np.isin(truth["s1"], g["values"]).sum()) / 1000 for g in regions}
say(all(abs(m["subjects"][s][k]["reference_ml"] - v) < 1e-12 for s in ("u1", "u2") for k, v in size.items()) and m["subjects"]["u2"]["R2"]["empty"] == "absent"
    and "77" in load("kn/quarantine/u2.json")["reason"], "a prediction with an unknown value is absent, its reference keeps its volume", m["subjects"]["u2"])
say(m["without_reference"] == ["w1", "w2"] and '"w1"' not in json.dumps(m["subjects"]) and all(s in r.stderr and s in open("kn/report.html").read() for s in ("w1", "w2")),
    "predictions without a reference are named", m.get("without_reference"))

# --- a column that is not defined for a subject
save("none/a/seg.nii.gz", np.zeros(shape, "u1"))
save("none/b/seg.nii.gz", np.ones(shape, "u1"))
manifest("none.json", ("t1",), regions[:1], values)
run("evaluate", "--predictions", "none", "--labels", "none", "--manifest", "none.json", "--out", "u", "--bootstrap", 0)
run("select", "--scores", "u", "--by", "sensitivity", "--out", "sel")
say([x["name"] for x in load("sel/selection.json")["kept"]] == ["b"], "select --by sensitivity: who has none is not scored", load("sel/selection.json"))

# --- eight regions: the last one's voxels are foreground as well
many = [{"name": "R%d" % v, "values": [v]} for v in range(1, 9)]
t = rng.integers(0, 9, (16, 16, 16)).astype("u1")
save("eight/a/t1.nii.gz", rng.normal(100, 10, t.shape).astype("f4"))
save("eight/a/mask.nii.gz", np.ones(t.shape, "u1"))
save("eight/a/seg.nii.gz", t)
manifest("eight.json", ("t1",), many, {str(v): "v%d" % v for v in range(9)})
run("skullstrip-normalize", "--scans", "eight", "--manifest", "eight.json", "--out", "eight-n")
run("crop-patch", "--normed", "eight-n", "--labels", "eight", "--manifest", "eight.json", "--out", "eight-p")
raw = open("eight-p/a/subject.vtp", "rb").read()
header = json.loads(raw[16:16 + int.from_bytes(raw[8:16], "little")])
say(header["n_foreground"] == (t > 0).sum(), "eight regions: every labeled voxel is foreground", (header["n_foreground"], int((t > 0).sum())))

# --- an ignored value: --keep loss and the threshold leave it out
r2 = [{"name": "A", "values": [1]}, {"name": "B", "values": [2]}]
maps = []
for i in range(4):
    t = rng.integers(0, 3, (16, 16, 16))
    for k, c in enumerate(("flair", "t1ce")):
        image = 4 * (t == k + 1) - 1 + rng.normal(0, 0.3, t.shape)
        image[:6] = 7
        save("ign/s%d/%s.nii.gz" % (i, c), image.astype("f4"))
    t[:6] = 9
    save("ign/s%d/mask.nii.gz" % i, np.ones(t.shape, "u1"))
    save("ign/s%d/seg.nii.gz" % i, t.astype("u1"))
    maps.append(t)
manifest("ign.json", ("flair", "t1ce"), r2, label={"files": ["{subject}/seg.nii.gz"], "values": {"0": "n", "1": "a", "2": "b"}, "ignore": 9},
         split={"seed": 1, "test": 0, "folds": 2, "subjects": {"s0": 0, "s1": 1, "s2": 1, "s3": "test"}})
run("skullstrip-normalize", "--scans", "ign", "--manifest", "ign.json", "--normalize", "none", "--out", "ign-n")
run("crop-patch", "--normed", "ign-n", "--labels", "ign", "--manifest", "ign.json", "--margin", 0, "--out", "ign-p")
net = ("--model", "meshnet", "--network", json.dumps({"channels": 2, "dilations": [1], "norm": "none", "act": "relu"}), "--patch", 16, "--steps", 1,
       "--validate-every", 1, "--keep", "loss", "--keep-patches", 1, "--learning-rate", "1e-8", "--warmup", 0, "--fold", 0)


def start(name, head, bias):
    """A network whose logits are head . relu(channels) + bias."""
    kernel = np.zeros((2, 2, 3, 3, 3), "f4")
    kernel[0, 0, 1, 1, 1] = kernel[1, 1, 1, 1, 1] = 1
    tensors = {"model.0.0.weight": kernel, "model.0.0.bias": np.zeros(2, "f4"), "model.1.weight": np.array(head, "f4").reshape(-1, 2, 1, 1, 1), "model.1.bias": np.array(bias, "f4")}
    header, body = {}, b""
    for k, v in tensors.items():
        header[k] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [len(body), len(body) + v.nbytes]}
        body += v.tobytes()
    text = json.dumps(header).encode()
    open(name, "wb").write(len(text).to_bytes(8, "little") + text + body)


channel = [np.maximum(np.asarray(nib.load("ign/s0/%s.nii.gz" % c).dataobj, "f8"), 0) for c in ("flair", "t1ce")]
keep = maps[0] != 9
for act, head, bias in (("sigmoid", [[1, 0], [0, 1]], [-1.5, -1.5]), ("softmax", [[0, 0], [1, 0], [0, 1]], [0, -1, -1])):
    os.makedirs(act)
    start(act + "/w.safetensors", head, bias)
    run("train", "--patches", "ign-p", "--out", "k-" + act, "--previous", act, "--activation", act, *net)
    z = [sum(w * c for w, c in zip(row, channel)) + b for row, b in zip(head, bias)]
    p = [1 / (1 + np.exp(-x)) for x in z] if act == "sigmoid" else [np.exp(x) / sum(np.exp(y) for y in z) for x in z][1:]
    want = 1 - np.mean([(2 * (q * (maps[0] == v))[keep].sum() + 1) / ((q ** 2)[keep].sum() + (maps[0] == v).sum() + 1) for v, q in ((1, p[0]), (2, p[1]))])
    got = float(open("k-%s/history.csv" % act).read().strip().splitlines()[-1].split(",")[-1])
    say(abs(got - want) < 1e-4, "--keep loss with %s: the validation loss leaves out what is to be ignored" % act, (got, want))
run("train", "--patches", "ign-p", "--out", "k-background", "--previous", "softmax", "--activation", "softmax", "--include-background", "true", *net)
p = [1 - p[0] - p[1], *p]
want = 1 - np.mean([(2 * (q * (maps[0] == v))[keep].sum() + 1) / ((q ** 2)[keep].sum() + (maps[0] == v).sum() + 1) for v, q in enumerate(p)])
got = float(open("k-background/history.csv").read().strip().splitlines()[-1].split(",")[-1])
say(abs(got - want) < 1e-4, "and with --include-background: they are no correct background", (got, want))
run("evaluate", "--model", "k-sigmoid", "--patches", "ign-p", "--out", "ke", "--bootstrap", 0)
m = load("ke/metrics.json")
x = np.asarray(nib.load("ign/s3/flair.nii.gz").dataobj)
edge = m["mean"]["A"]["threshold"]
hit, t = (x >= edge) & (maps[3] != 9), maps[3] == 1
say(abs(m["subjects"]["s3"]["A"]["threshold_dice"] - dice(hit, t)) < 1e-9, "threshold_dice leaves it out", (m["subjects"]["s3"]["A"]["threshold_dice"], dice(hit, t)))

# --- folds, and a list of who is expected
os.makedirs("cv")
for k in (0, 1):
    run("train", "--patches", "ign-p", "--out", "cv/f%d" % k, *net[:4], "--patch", 16, "--steps", 1, "--validate-every", 1, "--fold", k)
open("list", "w").write("s0\ns1\ns2\n")
run("evaluate", "--model", "cv", "--patches", "ign-p", "--subjects", "folds", "--expected", "list", "--out", "cve", "--bootstrap", 0)
m = load("cve/metrics.json")
say({s: q["predicted_by"] for s, q in m["sources"].items()} == {"s0": "f0", "s1": "f1", "s2": "f1"}, "--subjects folds with --expected: each by the network that kept it out", m["sources"])
open("list", "w").write("s3\n")
r = run("evaluate", "--model", "cv", "--patches", "ign-p", "--subjects", "folds", "--expected", "list", "--out", "cvn", status=65)
say("s3" in r.stderr and "no checkpoint's fold" in r.stderr, "who is in no fold is refused by name", r.stderr[-300:])
