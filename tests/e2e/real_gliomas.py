"""What evaluate says is what scipy computes from predict's label maps and the cohort's files, on whole heads: BRATS 2013 cases where the
development data is present, phantoms of a head's size elsewhere.  A network of 2 mm cubes on scans of 1 mm, and masks that cut the tumor."""
import json, os, shutil, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
import nibabel as nib
from _phantoms import B, gaps, load, prepare, run, save, train
from _checks import say

ROOT, SHARED = os.environ["ROOT"], os.environ.get("SHARED", "")
os.chdir(os.environ["T"])
real = SHARED + "/data/tumour/brats_2013_pat000%d_1"
if SHARED and os.path.isdir(real % 3):
    what, cases, man = "a real glioma", [real % k for k in (3, 6)], load(ROOT + "/manifests/brats-2013.json")
    where = {"flair": "flair.nii.gz", "t1ce": "t1ce.nii.gz", "seg": "seg_0to4.nii.gz"}
else:
    print("skip - real gliomas: development data not present; phantoms of a head's size instead")
    run("make-cohort", "--out", "made", "--subjects", 2, "--seed", 15)
    what, cases, man = "a phantom", ["made/scans/sub-001", "made/scans/sub-002"], load(ROOT + "/manifests/embedded.json")
    where = {c["role"]: c["role"] + ".nii.gz" for c in man["channels"]}
    where["seg"] = "../../labels/%s/seg.nii.gz"
man["mask"] = {"files": ["{subject}/mask.nii.gz"], "required": False}
man["label"]["files"] = ["{subject}/seg.nii.gz"]
for c in man["channels"]:
    c["files"] = ["{subject}/%s.nii.gz" % c["role"]]
man["split"] = {"seed": 1, "test": 0, "folds": 2}
for case in cases:
    name = os.path.basename(case)
    for role, path in where.items():
        os.makedirs("whole/" + name, exist_ok=True)
        shutil.copy(case + "/" + (path % name if "%s" in path else path), "whole/%s/%s.nii.gz" % (name, role))
name = os.path.basename(cases[0])
shutil.copytree("whole/" + name, "cut/" + name)
img = nib.load("cut/%s/seg.nii.gz" % name)
tumor = np.asarray(img.dataobj) > 0
flair = np.asarray(nib.load("cut/%s/flair.nii.gz" % name).dataobj)
half = flair != flair.flat[0]
half[:, int(np.median(np.nonzero(tumor)[1])):] = False
save("cut/%s/mask.nii.gz" % name, half.astype("u1"), img.affine)
for cohort, spacing, tta in (("whole", [2, 2, 2], "flips"), ("cut", None, "none")):
    m = dict(man, **({"spacing_mm": spacing} if spacing else {}))
    json.dump(m, open(cohort + ".json", "w"))
    patches = prepare(cohort, cohort, cohort + ".json")
    train(cohort + "-t", patches, "--fold", -1, steps=40)
    how = ("--overlap", 0, "--tta", tta)
    run("evaluate", "--model", cohort + "-t", "--patches", patches, "--subjects", "all", "--out", cohort + "-e", "--bootstrap", 0, "--trained", "true", *how)
    run("predict", "--model", cohort + "-t", "--scans", cohort, "--manifest", cohort + ".json", "--out", cohort + "-s", *how)
    e = load(cohort + "-e/metrics.json")
    bad = gaps(e, cohort + "-s", cohort, m["regions"])
    wt = {s: own["WT"] for s, own in e["subjects"].items()}
    say(not bad and len(wt) == len(os.listdir(cohort)), "%s, %s: every region and metric is scipy's of the two files (WT %s)" % (what, cohort, ", ".join("%.4f" % v["dice"] for v in wt.values())), bad[:3])
    say(all(v["tp"] + v["fn"] == int((np.asarray(nib.load("%s/%s/seg.nii.gz" % (cohort, s)).dataobj) > 0).sum()) for s, v in wt.items()) and any(v["tp"] for v in wt.values()),
        "and every voxel of the reference counts, %s" % ", ".join("%d" % (v["tp"] + v["fn"]) for v in wt.values()), wt)
