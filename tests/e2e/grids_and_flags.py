"""Label maps that lie beside their scans, labels where nobody looks, masks of an odd volume, and scans that only the training's own
tolerance or registration lets through."""
import glob, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
import nibabel as nib
from _phantoms import load, manifest, prepare, run, save, subject, train
from _checks import say

os.chdir(os.environ["T"])


def moved(source, to, mm):
    """The file with its origin elsewhere, by so much along x."""
    i = nib.load(source)
    a = i.affine.copy()
    a[0, 3] += mm
    save(to, np.asarray(i.dataobj), a)


# A label that the manifest does not know is refused wherever it is: outside the brain's box too, and named by its place in the file (24 * 26 voxels before it).
manifest("m.json")
mask = np.zeros((24, 26, 28))
mask[4:20, 4:20, 4:20] = 1
subject("far/a", 0, mask=mask)
seg = nib.load("far/a/seg.nii.gz")
x = np.asarray(seg.dataobj).copy()
x[0, 0, 1] = 3
save("far/a/seg.nii.gz", x, seg.affine)
run("skullstrip-normalize", "--scans", "far", "--manifest", "m.json", "--margin", 0, "--out", "far-n")
run("crop-patch", "--normed", "far-n", "--labels", "far", "--manifest", "m.json", "--margin", 0, "--multiple", 1, "--out", "far-p", status=65)
why = load("far-p/quarantine/a.json")["reason"]
say("label value 3 at voxel 624 " in why and "seg.nii.gz" in why, "an unknown label outside the box is refused, with its voxel", why)

# Corners of a label map: 0.05 mm, whatever the voxels are; more by --tolerance alone.
fine = np.diag([0.25, 0.25, 0.25, 1])
subject("near/a", 1, affine=fine)
moved("near/a/seg.nii.gz", "near/a/seg.nii.gz", 0.49)
run("skullstrip-normalize", "--scans", "near", "--manifest", "m.json", "--out", "near-n")
crop = ("crop-patch", "--normed", "near-n", "--labels", "near", "--manifest", "m.json")
run(*crop, "--out", "near-p", status=65)
why = load("near-p/quarantine/a.json")["reason"]
say("0.490 mm apart" in why and "0.05 mm allowed" in why, "a label map two voxels of 0.25 mm off is refused with both values", why)
run(*crop, "--tolerance", 0.5, "--out", "near-q")
say(os.path.exists("near-q/a/subject.vtp"), "and taken with --tolerance 0.5")

# A stripped input's mask is judged like any other.
g = (np.indices((60, 60, 60)) - 29.5) * 3
rng = np.random.default_rng(5)
flags = {}
for ml in (450, 1400, 2250):
    r = (3e3 * ml / (4 * np.pi)) ** (1 / 3)
    save("odd/s%d/flair.nii.gz" % ml, np.where((g ** 2).sum(0) < r * r, rng.integers(600, 900, g.shape[1:]), 0).astype("i2"), np.diag([3.0, 3, 3, 1]))
manifest("one.json", roles=("flair",))
text = run("skullstrip-normalize", "--scans", "odd", "--manifest", "one.json", "--out", "odd-n").stderr
for ml in (450, 1400, 2250):
    m = load("odd-n/s%d/geometry.json" % ml)["mask"]
    flags[ml] = [m["method"]] + m["flags"]
say(flags == {450: ["stripped", "under 700 ml"], 1400: ["stripped"], 2250: ["stripped", "over 2200 ml"]}, "stripped input of 450 and of 2250 ml is flagged", flags)
say("under 700 ml" in text and "over 2200 ml" in text, "on the screen too", text[-400:])
refused = run("skullstrip-normalize", "--scans", "odd", "--manifest", "one.json", "--implausible", "refuse", "--out", "odd-r", status=65)
say(sorted(os.listdir("odd-r/quarantine")) == ["s2250.json", "s450.json"], "and refused with --implausible refuse", refused.stderr[-400:])

# What the training's preparation allowed, serving allows; what it did not, serving does not.
for s in range(3):
    subject("off/s%d" % s, 10 + s)
    moved("off/s%d/t1ce.nii.gz" % s, "off/s%d/t1ce.nii.gz" % s, 0.3)
    subject("on/s%d" % s, 10 + s)
wide = train("wide", prepare("wide", "off", "m.json", norm=("--tolerance", 0.5)), "--fold", -1, steps=1)
strict = train("strict", prepare("strict", "on", "m.json"), "--fold", -1, steps=1)
run("predict", "--model", wide, "--scans", "off", "--manifest", "m.json", "--overlap", 0, "--out", "wide-o")
say(len(glob.glob("wide-o/*/seg.nii.gz")) == 3, "predict takes channels 0.3 mm apart where the training did")
p = run("predict", "--model", strict, "--scans", "off", "--manifest", "m.json", "--overlap", 0, "--out", "strict-o", status=65)
say("0.300 mm apart" in p.stderr and len(os.listdir("strict-o/quarantine")) == 3, "and refuses them where it did not", p.stderr[-300:])
