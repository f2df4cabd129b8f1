"""Scans whose outside is NaN (SPM, fMRIPrep), through the whole pipeline: prepared, cropped, trained on, predicted and scored with --nan background, beside numpy and
scipy, and beside the same scans with a mask and 0 outside."""
import json, os
import nibabel as nib
import numpy as np
from scipy import ndimage as nd
from _checks import say
from _phantoms import NESTED, from_files, load, manifest, run, subject, train

os.chdir(os.environ["T"])
SHAPE, MM = (40, 44, 38), np.diag([4.0, 4, 4.5, 1])
g = np.indices(SHAPE) - (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2
brain = (g[0] / 17) ** 2 + (g[1] / 19) ** 2 + (g[2] / 16) ** 2 < 1
for i in range(4):
    subject("with/s%d" % i, i, SHAPE, MM, mask=brain)
    os.makedirs("nan/s%d" % i)
    for name in ("flair", "t1ce", "seg"):
        img = nib.load("with/s%d/%s.nii.gz" % (i, name))
        x = np.asarray(img.dataobj)
        for root, outside in (("with", 0), ("nan", 0 if name == "seg" else np.nan)):
            nib.save(nib.Nifti1Image(np.where(brain, x, outside).astype(x.dtype), MM), "%s/s%d/%s.nii.gz" % (root, i, name))
split = {"seed": 1, "test": 0, "folds": 2, "subjects": {"s%d" % i: "test" if i == 3 else i % 2 for i in range(4)}}
manifest("m.json", split=split)
run("skullstrip-normalize", "--scans", "nan", "--manifest", "m.json", "--out", "refused", status=65)
say(sorted(os.listdir("refused/quarantine")) == ["s%d.json" % i for i in range(4)], "NaN is refused where nobody declared it")
for root, how in (("nan", ("--nan", "background")), ("with", ())):
    run("skullstrip-normalize", "--scans", root, "--manifest", "m.json", "--out", root + "-n", "--margin", 2, *how)
    run("crop-patch", "--normed", root + "-n", "--labels", root, "--manifest", "m.json", "--out", root + "-p")
worst = 0
for i in range(4):
    own = nib.load("nan-n/s%d/t1ce.nii" % i)
    raw = nib.load("nan/s%d/t1ce.nii.gz" % i)
    x = np.asarray(raw.dataobj).astype("f8")
    inside = np.isfinite(x)
    z = np.where(inside, (x - x[inside].mean()) / x[inside].std(), 0)
    # where the output's voxels lie in the scan
    at = np.rint(np.linalg.inv(raw.affine) @ own.affine)[:3, 3].astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(at, own.shape))
    worst = max(worst, np.abs(np.asarray(own.dataobj) - z[box]).max())
    mask = np.asarray(nib.load("nan-n/s%d/mask.nii" % i).dataobj) > 0
    worst += (mask != inside[box]).sum() + (inside.sum() != mask.sum())
say(worst < 1e-5, "the z-score of what is no NaN, 0 outside, and the mask is what is no NaN: numpy's", worst)
say(all(np.array_equal(np.asarray(nib.load("nan-n/s%d/%s" % (i, f)).dataobj), np.asarray(nib.load("with-n/s%d/%s" % (i, f)).dataobj)) for i in range(4) for f in ("flair.nii", "t1ce.nii", "mask.nii")),
    "the same voxels as with a mask and 0 outside")
train("t", "nan-p", "--fold", 1)
run("evaluate", "--model", "t", "--patches", "nan-p", "--out", "e", "--bootstrap", 0)
run("predict", "--model", "t", "--scans", "nan", "--manifest", "m.json", "--out", "s")
m, want = load("e/metrics.json")["subjects"]["s3"], from_files("s/s3/seg.nii.gz", "nan/s3/seg.nii.gz", NESTED)
say(all(abs(m[r][k] - want[r][k]) < 1e-9 for r in want for k in ("dice", "sensitivity", "hd95_mm")), "predict prepares as the training was: the scores are scipy's on the file it writes", (m, want))
run("predict", "--model", "t", "--scans", "with", "--manifest", "m.json", "--out", "s0")
say(open("s/s3/seg.nii.gz", "rb").read() == open("s0/s3/seg.nii.gz", "rb").read(), "the label map is that of the scan with a mask and 0 outside")
# resampled: scipy on the scan with its smallest value where it is NaN (volume.h)
run("skullstrip-normalize", "--scans", "nan", "--manifest", "m.json", "--out", "fine", "--nan", "background", "--spacing", 3, "--normalize", "none")
own, raw = nib.load("fine/s0/flair.nii"), nib.load("nan/s0/flair.nii.gz")
mask = np.asarray(nib.load("fine/s0/mask.nii").dataobj) > 0
way = np.linalg.inv(raw.affine) @ own.affine
x0 = np.asarray(raw.dataobj).astype("f8")
points = way[:3, :3] @ np.indices(own.shape).reshape(3, -1) + way[:3, 3:]
want = nd.map_coordinates(np.nan_to_num(x0, nan=np.nanmin(x0)), points, order=1, mode="nearest").reshape(own.shape)
got = np.asarray(own.dataobj)
say(np.isfinite(got).all() and mask.any() and np.abs(got - want)[mask].max() < 1e-3, "resampled: scipy's linear interpolation inside the mask", np.abs(got - want)[mask].max())
