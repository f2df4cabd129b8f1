"""Classes of whole scans: a network with head "classify" learns what the manifest's table says; probabilities against numpy and scipy on the network's logits, cross-entropy, accuracy with Wilson's
interval, AUC with DeLong's (classes_golden.json, made by _classes_golden.py: another program's); scans like containers; an encoder that segmented goes on; refusals."""
import csv, json, os, subprocess, time
import nibabel as nib
import numpy as np
from scipy import stats
from _checks import run, say

T, ROOT, B = os.environ["T"], os.environ["ROOT"], os.environ["B"]
os.chdir(T)
NAMES = ["none", "bright", "dark"]
rng = np.random.default_rng(2)
split, classes = {}, {}
for i in range(30):
    s, k = "s%02d" % i, i % 3
    split[s] = "test" if i >= 21 else i % 2
    classes[s] = NAMES[k]
    d = "scans/" + s
    os.makedirs(d)
    shape = (18, 20, 17)
    at = np.array(shape) / 2 + rng.integers(-2, 3, 3)
    ball = ((np.indices(shape) - at.reshape(3, 1, 1, 1)) ** 2).sum(0) < 20
    x = rng.normal(100, 5, shape) + (0, 60, -60)[k] * ball
    for name, a in (("ct.nii.gz", x.astype("f4")), ("mask.nii.gz", np.ones(shape, "u1")), ("seg.nii.gz", ball.astype("u1"))):
        nib.save(nib.Nifti1Image(a, np.eye(4)), d + "/" + name)
classes.pop("s20")
man = {"format": 1, "name": "nodules", "channels": [{"role": "ct", "files": ["{subject}/ct.nii.gz"]}], "mask": {"files": ["{subject}/mask.nii.gz"], "required": True},
       "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "none", "1": "ball"}}, "regions": [{"name": "ball", "values": [1]}],
       "classes": {"names": NAMES, "subjects": classes}, "split": {"seed": 1, "test": 0, "folds": 2, "subjects": split}}
json.dump(man, open("m.json", "w"))
run("skullstrip-normalize", "--scans", "scans", "--manifest", "m.json", "--out", "n")
run("crop-patch", "--normed", "n", "--manifest", "m.json", "--out", "p")
common = ["--model", "med3d-resnet", "--patch", 16, "--pad", "true", "--warmup", 0, "--learning-rate", 0.001]
net = '{"depth":"10","width":16,"head":"classify"}'
learn = ["train", "--patches", "p", *common, "--network", net, "--batch", 3, "--steps", 32, "--validate-every", 16, "--fold", 1]
run(*learn, "--out", "t")
c = json.load(open("t/checkpoint.json"))
say(c["classifies"] and c["manifest"]["classes"] == {"names": NAMES} and "s20" not in c["subjects"]["train"] + c["subjects"]["validation"] and len(c["subjects"]["train"]) == 10,
    "subjects with a class are trained on; the checkpoint names the classes and not who is what", c["subjects"])


def classify(out, *more):
    run("classify", "--model", "t", *more, "--out", out)
    rows = list(csv.DictReader(open(out + "/predictions.csv")))
    return rows, np.array([[float(r["p_" + n]) for n in NAMES] for r in rows])


def container(path):
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[8:16], "little")
    h = json.loads(raw[16:16 + n])
    return np.frombuffer(raw, "<f4", int(np.prod(h["dims"])), h["offsets"]["image"]).reshape(h["dims"])


def answer(x, weights):
    """The network's logits of the middle, and their softmax."""
    w = np.zeros((16, 16, 16), "<f4")
    at = [(n - 16) // 2 if n >= 16 else -((16 - n) // 2) for n in x.shape]
    piece = x[tuple(slice(max(a, 0), max(a, 0) + 16) for a in at)]
    w[tuple(slice(max(-a, 0), max(-a, 0) + n) for a, n in zip(at, piece.shape))] = piece
    w.tofile("x")
    json.dump({"name": "med3d-resnet", "params": json.loads(net), "in": 1, "out": 3, "n": 1, "patch": [16, 16, 16]}, open("r.json", "w"))
    subprocess.run([B + "/tests/infer_probe", "r.json", weights, "x", "y"], check=True)
    y = np.fromfile("y", "<f4").astype("f8")
    return np.exp(y - y.max()) / np.exp(y - y.max()).sum()


rows, p = classify("e", "--patches", "p")
say([r["subject"] for r in rows] == ["s%02d" % i for i in range(21, 30)], "the test subjects are answered", rows)
want = np.array([answer(container("p/%s/subject.vtp" % r["subject"]), "t/best.safetensors") for r in rows])
say(np.abs(p - want).max() < 1e-6 and all(r["class"] == NAMES[k] for r, k in zip(rows, want.argmax(1))), "probabilities are the softmax of the network's answer to the middle", np.abs(p - want).max())
truth = np.array([NAMES.index(r["truth"]) for r in rows])
say(all(r["truth"] == classes[r["subject"]] for r in rows), "truth is the table's")
m = json.load(open("e/metrics.json"))
right = (p.argmax(1) == truth).sum()
say(right >= 7, "it has learned: %d of %d test subjects are right" % (right, len(rows)), (p, truth))


def delong(y, s):
    a, b = s[y], s[~y]
    psi = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    auc, half = psi.mean(), 1.959963984540054 * np.sqrt(psi.mean(1).var(ddof=1) / len(a) + psi.mean(0).var(ddof=1) / len(b))
    return auc, [max(auc - half, 0), min(auc + half, 1)]


def scores_are(m, truth, p, what):
    n, k = len(truth), int((p.argmax(1) == truth).sum())
    ci = stats.binomtest(k, n).proportion_ci(method="wilson") if hasattr(stats, "binomtest") else None
    say(m["scored"] == n and m["right"] == k and m["accuracy"]["value"] == k / n and (ci is None or np.allclose(m["accuracy"]["ci95"], ci, atol=1e-9)), what + ": accuracy, and scipy's Wilson interval", (m["accuracy"], ci))
    good = True
    for c, name in enumerate(NAMES):
        y = truth == c
        u = stats.mannwhitneyu(p[y, c], p[~y, c], alternative="greater").statistic / (y.sum() * (~y).sum())
        auc, ends = delong(y, p[:, c])
        good = good and np.allclose([m["auc"][name]["value"], auc], u, atol=1e-12) and np.allclose(m["auc"][name]["ci95"], ends, atol=1e-12)
    say(good and abs(m["mean_auc"] - np.mean([m["auc"][c]["value"] for c in NAMES])) < 1e-12, what + ": AUC of each class is scipy's U over all pairs, with DeLong's interval", m["auc"])
    say(m["confusion"] == [[int(((truth == t) & (p.argmax(1) == k)).sum()) for k in range(3)] for t in range(3)], what + ": counts of answers by truth", m["confusion"])


scores_are(m, truth, p, "test subjects")
g = json.load(open(ROOT + "/tests/cli/train/classes_golden.json"))
mine = [delong(np.array(k["truth"], bool), np.array(k["score"])) for k in g["cases"]]
say(all(abs(a - k["auc"]) < 1e-6 and np.allclose(e, np.clip(k["ci95"], 0, 1), atol=1e-6) for (a, e), k in zip(mine, g["cases"])),
    "this test's DeLong interval is that of %s" % g["program"])
short = learn[:-6] + ["--steps", 2, "--validate-every", 2, "--fold", 1]
run(*short, "--out", "short")
run("classify", "--model", "short", "--patches", "p", "--subjects", "all", "--trained", "true", "--out", "all")
rows = [r for r in csv.DictReader(open("all/predictions.csv"))]
say(len(rows) == 30 and [r for r in rows if r["subject"] == "s20"][0]["truth"] == "", "a subject without a class is answered and not scored")
rows = [r for r in rows if r["truth"]]
scores_are(json.load(open("all/metrics.json")), np.array([NAMES.index(r["truth"]) for r in rows]), np.array([[float(r["p_" + n]) for n in NAMES] for r in rows]), "a network that knows little")
rows, p = classify("v", "--patches", "p", "--subjects", "validation", "--weights", "last")
k = [i for i, r in enumerate(rows) if r["truth"]]
last = list(csv.DictReader(open("t/history.csv")))[-1]
t = np.array([NAMES.index(rows[i]["truth"]) for i in k])
say(abs(float(last["cross_entropy"]) + np.log(p[k, t]).mean()) < 1e-9 and abs(float(last["accuracy"]) - (p[k].argmax(1) == t).mean()) < 1e-12, "history.csv holds accuracy and cross-entropy of the validation fold", last)

# --- the same bytes; new scans; an encoder that segmented
subprocess.run([str(a) for a in short] + ["--out", "one"], env=dict(os.environ, VOXTRAIL_THREADS="1"), capture_output=True)
say(open("one/last.safetensors", "rb").read() == open("short/last.safetensors", "rb").read(), "the same bytes with one thread")
few = [str(a) for a in learn[:-6]] + ["--steps", "6", "--validate-every", "3", "--fold", "1", "--save-every", "1"]
run(*few, "--out", "whole")
resumed = few + ["--out", "killed", "--scratch", "scratch"]
saved = lambda: sum(os.stat(os.path.join(d, f)).st_mtime_ns for d, _, fs in os.walk("scratch") for f in fs if f == "state.safetensors")
kills = 0
for k in range(2):  # as soon as a state was saved, and once more
    before = saved()
    p = subprocess.Popen(resumed, stderr=subprocess.DEVNULL)
    while p.poll() is None and saved() == before:
        time.sleep(0.01)
    kills += p.poll() is None
    p.kill()
    p.wait()
p = subprocess.run(resumed, capture_output=True, text=True)
log = p.stderr
say(p.returncode == 0 and kills > 0 and all(open("killed/" + f, "rb").read() == open("whole/" + f, "rb").read() for f in ("last.safetensors", "best.safetensors", "history.csv", "checkpoint.json")),
    "killed %d times and resumed: the bytes of one that was not" % kills, (p.returncode, kills, log[-300:]))
say('"resume' in log or "resum" in log, "and it went on from where it was", log[:600])
os.makedirs("new")
for i in (21, 22):
    os.rename("scans/s%02d" % i, "new/s%02d" % i)
more, q = classify("new-scans", "--scans", "new", "--manifest", "m.json")
ref, p = classify("again", "--patches", "p")
say([r["subject"] for r in more] == ["s21", "s22"] and np.abs(q - p[:2]).max() < 1e-6 and not os.path.exists("new-scans/metrics.json"), "new scans are answered as their containers are", (q, p[:2]))
for i in (21, 22):
    os.rename("new/s%02d" % i, "scans/s%02d" % i)
run("crop-patch", "--normed", "n", "--labels", "scans", "--manifest", "m.json", "--out", "pl")
run("train", "--patches", "pl", *common, "--network", '{"depth":"10","width":16}', "--steps", 2, "--validate-every", 2, "--fold", 1, "--out", "seg")
log = run(*learn[:-6], "--steps", 1, "--validate-every", 1, "--fold", 1, "--previous", "seg", "--reinitialize", "conv_seg,fc", "--allow", "activation", "--out", "moved")
say('"matched":' in log.replace(" ", "") or "matched=" in log, "the encoder of a segmentation goes on under the new head", log[-300:])
say(sorted(os.listdir("t")) == [".lineage", "best.safetensors", "checkpoint.json", "history.csv", "last.safetensors"], "a checkpoint like any other", os.listdir("t"))

# --- refusals
json.dump({**man, "classes": {"names": NAMES, "subjects": {"s00": "huge"}}}, open("bad.json", "w"))
json.dump({k: v for k, v in man.items() if k != "classes"}, open("without.json", "w"))
run("crop-patch", "--normed", "n", "--manifest", "without.json", "--out", "pw")
for args, code, words in ((["crop-patch", "--normed", "n", "--manifest", "bad.json"], 65, "/classes/subjects/s00"), (["train", "--patches", "pw", *common, "--network", net], 65, "has no"),
                          (["predict", "--model", "t", "--scans", "scans", "--manifest", "m.json"], 65, "classify"), (["evaluate", "--model", "t", "--patches", "pl"], 65, "classify"),
                          (["classify", "--model", "seg", "--patches", "pl"], 65, "voxel by voxel"), (["classify", "--model", "t", "--patches", "p", "--subjects", "all"], 65, "was trained on"),
                          (["classify", "--model", "t"], 64, "--patches"), (["train", "--patches", "p", "--patches", "p", *common, "--network", net, "--fold", -1], 64, "one cohort")):
    say(words in run(*args, "--out", "no", code=code), "refused: %s %s" % (args[0], words))
json.dump({**man, "classes": {"names": NAMES, "subjects": {s: "dark" for s in classes}}}, open("same.json", "w"))
json.dump({**man, "classes": {"names": NAMES + ["grim"], "subjects": classes}}, open("four.json", "w"))
for name in ("same", "four"):
    run("crop-patch", "--normed", "n", "--manifest", name + ".json", "--out", "p-" + name)
one_step = ["train", *common, "--network", net, "--steps", 1, "--validate-every", 1, "--fold", 1]
say('are of class \\"dark\\"' in run(*one_step, "--patches", "p-same", "--out", "no", code=65), "refused: all subjects to train on are of one class")
say('"class":"grim"' in run(*one_step, "--patches", "p-four", "--out", "four"), "a class that nobody to train on has is named")
say("compare voxels" in run(*one_step, "--patches", "p", "--tversky", 1, "--out", "no", code=64), "refused: a loss of voxels")
json.dump({**man, "classes": {"names": ["none", "bright", "grim"], "subjects": {"s21": "grim", "s24": "none"}}}, open("other.json", "w"))
run("crop-patch", "--normed", "n", "--manifest", "other.json", "--out", "po")
say('its class \\"grim\\" is none of the 3' in run("classify", "--model", "t", "--patches", "po", "--out", "no", code=65), "a class that the checkpoint does not know is not passed over in silence")
os.makedirs("table")
os.makedirs("stray")
open("table/list.csv", "w").write("x\n")
open("stray/Thumbs.db", "w").write("x")
say("no subject matches" in run("classify", "--model", "t", "--scans", "table", "--manifest", "m.json", "--out", "ct", code=65) and "nothing to do" in run("classify", "--model", "t", "--scans", "stray", "--manifest", "m.json", "--out", "cs")
    and open("ct/predictions.csv").read() == "subject,class,truth,p_none,p_bright,p_dark\n" and sorted(os.listdir("cs")) == [".lineage", "predictions.csv"], "a datum that is no subject: passed over, and nothing else is")
