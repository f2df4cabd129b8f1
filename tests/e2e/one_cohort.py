"""Subjects of one training mean the same, axes included; where a first network found nothing, no file of predict says otherwise."""
import json, os, shutil, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
from _phantoms import NESTED, load, manifest, run, save, subject
import nibabel as nib
from _checks import say

os.chdir(os.environ["T"])
NET = ("--network", '{"init_filters": 8}', "--patch", 16, "--steps", 1)


def mix(name, a, b):
    """s0 of a beside s1 of b."""
    shutil.copytree(a + "/s0", name + "/s0")
    shutil.copytree(b + "/s1", name + "/s1")


def refuses(what, *args, words=()):
    r = run(*args, "--out", "never", status=None)
    said = r.stderr.replace('\\"', '"')
    say(r.returncode == 65 and all(w in said for w in words) and set(os.listdir("never")) <= {".lineage"}, what, (r.returncode, said[-400:]))
    shutil.rmtree("never", ignore_errors=True)


for i in range(2):
    subject("a/s%d" % i, i)
plain = manifest("m.json")
run("skullstrip-normalize", "--scans", "a", "--manifest", "m.json", "--out", "n")
other = {"label.ignore": {**plain, "label": {**plain["label"], "ignore": 9}},
         "region values": {**plain, "regions": [NESTED[0], {"name": "TC", "values": [4]}, {"name": "ET", "values": [1]}]}}
for i, (what, m) in enumerate(other.items()):
    json.dump(m, open("m%d.json" % i, "w"))
crops = {"p": ("m.json",), "crop": ("m.json", "--margin", 4, "--multiple", 4), "ignore": ("m0.json",), "regions": ("m1.json",)}
for name, (m, *more) in crops.items():
    run("crop-patch", "--normed", "n", "--labels", "a", "--manifest", m, "--out", name, *more)
for name, key, words in (("crop", "crop.margin", ("4", "2")), ("ignore", "ignore", ("is 9", "not given")), ("regions", "regions", ('"TC",4', '"TC",1,4'))):
    mix("mix-" + name, "p", name)
    refuses("subjects of other %s are not trained on together" % key, "train", "--patches", "mix-" + name, "--fold", -1, *NET, words=("s0", "s1", "--allow " + key, *words))
run("train", "--patches", "mix-crop", "--fold", -1, *NET, "--allow", "crop", "--out", "t")
run("train", "--patches", "mix-ignore", "--fold", -1, *NET, "--allow", "ignore", "--out", "ti")
say(sorted(load("t/checkpoint.json")["subjects"]["train"]) == ["s0", "s1"], "--allow takes them on purpose")

# --- axes that are kept as they are
axes = {"l": [[0, -1], [1, 1], [2, 1]], "p": [[1, 1], [0, 1], [2, -1]]}
for d, turn in axes.items():
    for i in range(2):
        for c in ("flair", "t1ce", "mask", "seg"):
            os.makedirs("%s/s%d" % (d, i), exist_ok=True)
            nib.save(nib.load("a/s%d/%s.nii.gz" % (i, c)).as_reoriented(np.array(turn)), "%s/s%d/%s.nii.gz" % (d, i, c))
for d in ("a", "l", "p"):
    run("skullstrip-normalize", "--scans", d, "--manifest", "m.json", "--orient", "native", "--out", d + "-n")
    run("crop-patch", "--normed", d + "-n", "--labels", d, "--manifest", "m.json", "--out", d + "-p")
run("train", "--patches", "a-p", "--fold", -1, *NET, "--out", "native")
say(load("native/checkpoint.json")["axes"] == "RAS" and "axes" not in load("t/checkpoint.json"), "checkpoint.json holds the axes where the settings leave them open")
for d in ("l", "p"):
    code = "".join(nib.aff2axcodes(nib.load(d + "/s0/seg.nii.gz").affine))
    refuses("evaluate refuses axes %s" % code, "evaluate", "--model", "native", "--patches", d + "-p", "--subjects", "all", "--trained", "true",
            words=(code, "RAS", "--allow axes"))
    r = run("predict", "--model", "native", "--scans", d, "--manifest", "m.json", "--out", "pr-" + d, status=65)
    say(os.path.exists("pr-%s/quarantine/s0.json" % d) and "--allow axes" in load("pr-%s/quarantine/s0.json" % d)["reason"], "predict quarantines axes %s" % code, r.stderr[-300:])
run("predict", "--model", "native", "--scans", "a", "--manifest", "m.json", "--out", "pr-a")
run("predict", "--model", "native", "--scans", "l", "--manifest", "m.json", "--allow", "axes", "--out", "pr-allowed")
refuses("--previous with other axes", "train", "--patches", "l-p", "--previous", "native", "--fold", -1, *NET, words=("axes", "RAS"))
mix("mix-axes", "a-p", "l-p")
refuses("axes are not mixed in a cohort", "train", "--patches", "mix-axes", "--fold", -1, *NET, words=("s1", "axes", "LAS", "RAS", "--allow axes"))
run("train", "--patches", "mix-axes", "--fold", -1, *NET, "--allow", "axes", "--out", "any")
run("predict", "--model", "any", "--scans", "p", "--manifest", "m.json", "--out", "pr-any")
say(load("any/checkpoint.json")["axes"] is None, "a network that was trained on several axes takes any")

# --- nothing found by the first network
for i in range(2):
    seg = nib.load("a/s%d/seg.nii.gz" % i)
    save("found/s%d/seg.nii.gz" % i, (np.asarray(seg.dataobj) > 0).astype("u1") * i, seg.affine)
    save("all/s%d/seg.nii.gz" % i, (np.asarray(seg.dataobj) > 0).astype("u1"), seg.affine)
run("crop-patch", "--normed", "n", "--labels", "a", "--manifest", "m.json", "--region", "all", "--min-size", 16, "--out", "r-p")
json.dump({**plain, "regions": [{"name": "WT", "values": [1, 2]}, {"name": "ET", "values": [4]}]}, open("soft.json", "w"))
run("crop-patch", "--normed", "n", "--labels", "a", "--manifest", "soft.json", "--region", "all", "--min-size", 16, "--out", "rs-p")
run("crop-patch", "--normed", "n", "--labels", "a", "--manifest", "m.json", "--region", "all", "--min-size", 16, "--margin", 3, "--out", "r2-p")
run("train", "--patches", "r-p", "--fold", -1, *NET, "--out", "both/x")
run("train", "--patches", "r2-p", "--fold", -1, *NET, "--out", "both/y")
run("train", "--patches", "rs-p", "--fold", -1, *NET, "--activation", "softmax", "--out", "soft")
for model, m, names in (("both/x", "m.json", ("WT", "TC", "ET")), ("both", "m.json", ("WT", "TC", "ET")), ("soft", "soft.json", ("WT", "ET"))):
    out = "pn-" + model.replace("/", "-")
    run("predict", "--model", model, "--scans", "a", "--manifest", m, "--region", "found", "--probabilities", "true", "--out", out)
    most = [[float(np.asarray(nib.load("%s/s%d/%s.nii.gz" % (out, i, f)).dataobj).max()) for f in ("seg", *("probability-" + r for r in names))] for i in range(2)]
    say(not any(most[0]) and all(most[1][1:]), "nothing found: label map and every probability are 0 (%s)" % model, most)
