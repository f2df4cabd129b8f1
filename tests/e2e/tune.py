"""tune against brute force: every threshold and least size by numpy and scipy on the probabilities that predict writes, the choice and what is kept of it; the recipe in
predict and evaluate; folds; softmax; a resampled cohort; refusals."""
import csv, itertools, json, os, shutil
import nibabel as nib
import numpy as np
from scipy import ndimage as nd
from _checks import say
from _phantoms import NESTED, load, manifest, prepare, run, subject, train

os.chdir(os.environ["T"])
AFFINE = np.diag([1, 1.5, 2, 1.0])
REGIONS = [(g["name"], g["values"]) for g in NESTED]
for i in range(6):
    subject("s/s%d" % i, 40 + i, (20, 22, 18), AFFINE)
manifest("m.json", split={"seed": 1, "test": 0, "folds": 2, "subjects": {"s%d" % i: "test" if i == 5 else i % 2 for i in range(6)}})
patches = prepare("c", "s", "m.json")
train("net", patches, "--fold", 1)
validation = ["s1", "s3"]
thresholds, sizes = [0.15, 0.3, 0.42, 0.5, 0.58, 0.7], [0, 10, 40, 120, 400]
run("tune", "--model", "net", "--patches", patches, "--out", "t", "--thresholds", json.dumps([0.7, 0.15, 0.3, 0.42, 0.58, 0.58]), "--sizes", json.dumps(sizes[:0:-1]), "--overlap", 0.25)
run("predict", "--model", "net", "--scans", "s", "--manifest", "m.json", "--out", "p", "--probabilities", "true", "--overlap", 0.25)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else 1.0


def mask(p, t, least):
    m = p.astype("f8") > t
    label, n = nd.label(m, np.ones((3, 3, 3)))
    big = np.bincount(label.ravel(), minlength=n + 1) >= least / 3.0
    big[0] = False
    return big[label]


def brute(root, subjects, thresholds):
    p = {(s, r): np.asarray(nib.load("%s/%s/probability-%s.nii.gz" % (root, s, r)).dataobj) for s in subjects for r, _ in REGIONS}
    truth = {s: np.asarray(nib.load("s/%s/seg.nii.gz" % s).dataobj) for s in subjects}
    table = {(r, t, k): np.mean([dice(mask(p[s, r], t, k), np.isin(truth[s], v)) for s in subjects]) for r, v in REGIONS for t in thresholds for k in sizes}

    def written(pick):  # the nested rule: the innermost region wins
        total = np.zeros(3)
        for s in subjects:
            w, c, e = (mask(p[s, r], *pick[r]) for r, _ in REGIONS)
            label = np.select([e, c, w], [4, 1, 2], 0)
            total += [dice(np.isin(label, v), np.isin(truth[s], v)) for _, v in REGIONS]
        return total / len(subjects)

    pick = {r: (0.5, 0) for r, _ in REGIONS}
    best = {r: min(((t, k) for t in thresholds for k in sizes), key=lambda a: (-table[(r,) + a], abs(a[0] - 0.5), a)) for r, _ in REGIONS}
    before = now = written(pick)
    for r, _ in REGIONS:
        then = written({**pick, r: best[r]})
        if then.mean() > now.mean():
            pick[r], now = best[r], then
    return table, best, pick, before, now


def compare(out, table, best, pick, before, after, what):
    rows = list(csv.DictReader(open(out + "/candidates.csv")))
    far = [x for x in rows if abs(float(x["dice"]) - table[x["region"], float(x["threshold"]), float(x["min_component_mm3"])]) > 1e-12]
    say(len(rows) == len(table) and not far, what + ": Dice of every pair is scipy's", (len(rows), len(table), far[:3]))
    t, recipe = load(out + "/tune.json")["regions"], load(out + "/recipe.json")["params"]
    say({r: (t[r]["threshold"], t[r]["min_component_mm3"]) for r in t} == best, what + ": the best pair of each region", (t, best))
    got = {r: (recipe["threshold"][r], recipe["min-component"][r]) for r, _ in REGIONS}
    say(all(t[r]["kept"] == (got[r] != (0.5, 0)) and ("recipe" in t[r]) == (not t[r]["kept"]) for r in t) and all(x["recipe"].startswith("threshold 0.5, min_component_mm3 0:") for x in t.values() if not x["kept"]),
        what + ": tune.json says where the recipe has 0.5 and 0", t)
    say(got == pick, what + ": the recipe holds what raises the label maps' Dice", (got, pick))
    say(all(abs(t[r]["label_map_dice"] - after[i]) < 1e-12 and abs(t[r]["label_map_dice_plain"] - before[i]) < 1e-12 for i, (r, _) in enumerate(REGIONS)), what + ": Dice of the label maps before and after", (t, before, after))


found = brute("p", validation, thresholds)
compare("t", *found, "a fold")
say(any(v != (0.5, 0) for v in found[2].values()) and found[4].mean() > found[3].mean(), "something is gained", found[2:])
say(load("t/tune.json")["subjects"] == validation, "on the fold's own subjects alone")

# --- what it is for
for name, more in (("plain", ()), ("tuned", ("--recipe", "t/recipe.json"))):
    run("evaluate", "--model", "net", "--patches", patches, "--subjects", "validation", "--overlap", 0.25, "--bootstrap", 0, "--out", name, *more)
got = {n: [load(n + "/metrics.json")["mean"][r]["dice"] for r, _ in REGIONS] for n in ("plain", "tuned")}
say(np.allclose(got["tuned"], found[4], atol=1e-12) and np.allclose(got["plain"], found[3], atol=1e-12), "evaluate --recipe scores what tune promised", (got, found[3:]))
json.dump({"params": {"overlap": 0.25, "min-component": {"WT": 9}}}, open("base.json", "w"))
run("tune", "--model", "net", "--patches", patches, "--out", "tb", "--thresholds", json.dumps(thresholds), "--sizes", json.dumps(sizes), "--overlap", 0.25, "--base", "base.json")
say(load("tb/recipe.json")["params"] == {"overlap": 0.25, **load("t/recipe.json")["params"]}, "--base: its other params are kept")
run("predict", "--model", "net", "--scans", "s", "--manifest", "m.json", "--out", "q", "--recipe", "t/recipe.json", "--overlap", 0.25)
want = np.select([mask(np.asarray(nib.load("p/s1/probability-%s.nii.gz" % r).dataobj), *found[2][r]) for r in ("ET", "TC", "WT")], [4, 1, 2], 0)
say(np.array_equal(np.asarray(nib.load("q/s1/seg.nii.gz").dataobj), want), "predict --recipe writes these label maps")
run("tune", "--model", "net", "--patches", patches, "--out", "again", "--thresholds", json.dumps(thresholds), "--sizes", json.dumps(sizes), "--overlap", 0.25, env={"VOXTRAIL_THREADS": "1"})
say(all(open("t/" + f).read() == open("again/" + f).read() for f in ("recipe.json", "tune.json", "candidates.csv")), "equal bytes with one thread, and lists in another order")

# --- folds: each subject by the network that kept it out
train("other", patches, "--fold", 0)
os.makedirs("both/p")
for n, d in (("f0", "other"), ("f1", "net")):
    shutil.copytree(d, "both/" + n)
shutil.rmtree("both/p")
run("predict", "--model", "other", "--scans", "s", "--manifest", "m.json", "--out", "po", "--probabilities", "true", "--overlap", 0.25)
os.makedirs("pf")
for i in range(5):
    os.symlink(os.path.abspath("%s/s%d" % ("p" if i % 2 else "po", i)), "pf/s%d" % i)
run("tune", "--model", "both", "--patches", patches, "--subjects", "folds", "--out", "tf", "--thresholds", json.dumps(thresholds), "--sizes", json.dumps(sizes), "--overlap", 0.25)
compare("tf", *brute("pf", ["s%d" % i for i in range(5)], thresholds), "all folds")

# --- softmax, and a resampled cohort: sizes alone; evaluate confirms
shells = [{"name": "ED", "values": [2]}, {"name": "NC", "values": [1]}, {"name": "EN", "values": [4]}]
manifest("x.json", regions=shells, spacing_mm=[1.5, 1.5, 1.5], split={"seed": 1, "test": 0, "folds": 2, "subjects": {"s%d" % i: i % 2 for i in range(6)}})
xp = prepare("x", "s", "x.json")
train("soft", xp, "--fold", 1, "--activation", "softmax")
run("tune", "--model", "soft", "--patches", xp, "--out", "ts", "--overlap", 0.25)
params, t = load("ts/recipe.json")["params"], load("ts/tune.json")["regions"]
say(list(params) == ["min-component"], "softmax: no threshold in the recipe", params)
run("evaluate", "--model", "soft", "--patches", xp, "--subjects", "validation", "--overlap", 0.25, "--bootstrap", 0, "--out", "es", "--recipe", "ts/recipe.json")
e = load("es/metrics.json")["mean"]
say(all(abs(e[r]["dice"] - t[r]["label_map_dice"]) < 1e-12 for r in t), "softmax, resampled: evaluate confirms", (e, t))

# --- one region, resampled, sigmoid: every candidate is what an outsider finds in the label maps that predict writes
manifest("w.json", regions=[{"name": "WT", "values": [1, 2, 4]}], spacing_mm=[1.5, 1.5, 1.5], split={"seed": 1, "test": 0, "folds": 2, "subjects": {"s%d" % i: i % 2 for i in range(6)}})
wp = prepare("w", "s", "w.json")
train("wt", wp, "--fold", 1)
run("tune", "--model", "wt", "--patches", wp, "--out", "tw", "--overlap", 0.25, "--thresholds", "[0.5, 0.58, 0.66]", "--sizes", "[60, 9000]")
rows = {(float(x["threshold"]), float(x["min_component_mm3"])): float(x["dice"]) for x in csv.DictReader(open("tw/candidates.csv"))}
far = {}
for t, k in rows:
    json.dump({"params": {"threshold": {"WT": t}, "min-component": {"WT": k}, "overlap": 0.25}}, open("w-recipe.json", "w"))
    run("predict", "--model", "wt", "--scans", "s", "--manifest", "w.json", "--recipe", "w-recipe.json", "--out", "w-%g-%g" % (t, k))
    maps = {s: np.asarray(nib.load("w-%g-%g/%s/seg.nii.gz" % (t, k, s)).dataobj) > 0 for s in validation + ["s5"]}
    far[t, k] = rows[t, k] - np.mean([dice(m, np.asarray(nib.load("s/%s/seg.nii.gz" % s).dataobj) > 0) for s, m in maps.items()])
say(len(rows) == 9 and len(set(rows.values())) == 4 and max(map(abs, far.values())) < 1e-12, "resampled: candidates are scored on the label file's own grid", (rows, far))

# --- refusals
train("whole", patches, "--fold", -1)
for args, status, words in ((("--model", "whole"), 65, "without a validation fold"), (("--model", "net", "--thresholds", "[0.5, 1]"), 64, "number 2 must lie between 0 and 1"),
                            (("--model", "net", "--sizes", "[-1]"), 64, "from 0 to 1e9"), (("--model", "net", "--sizes", '{"WT": 3}'), 64, "list of at most"),
                            (("--model", "both"), 65, "was trained on by checkpoint")):
    p = run("tune", *args, "--patches", patches, "--out", "bad", status=status)
    say(words in p.stderr and not os.path.exists("bad/recipe.json"), "refused: %s" % " ".join(args), p.stderr)
