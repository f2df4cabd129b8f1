"""cohort-spacing against nibabel and numpy: median and mean of spacings along right, anterior, superior of scans in any axis order; the manifest that it writes prepares one subject alone;
whose header is broken is named."""
import csv, json, os
import nibabel as nib
import numpy as np
from _checks import run, say

os.chdir(os.environ["T"])
rng = np.random.default_rng(1)
man = {"format": 1, "name": "c", "channels": [{"role": "ct", "files": ["{subject}/ct.nii.gz"]}], "mask": {"files": ["{subject}/mask.nii.gz"], "required": False},
       "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "none", "1": "liver"}}, "regions": [{"name": "liver", "values": [1]}], "spacing_mm": [9, 9, 9],
       "split": {"seed": 1, "test": 0, "folds": 2}}
json.dump(man, open("m.json", "w"))
true = {}
for i in range(6):
    mm = np.round(rng.uniform(0.7, 5, 3), 3)
    order = rng.permutation(3)
    affine = np.zeros((4, 4))
    for voxel_axis, world in enumerate(order):
        affine[world, voxel_axis] = mm[world] * rng.choice([-1, 1])
    affine[3, 3] = 1
    true["s%d" % i] = mm
    os.makedirs("s/s%d" % i)
    shape = tuple(int(60 / mm[w]) + 8 for w in order)
    nib.save(nib.Nifti1Image(rng.normal(100, 10, shape).astype("f4"), affine), "s/s%d/ct.nii.gz" % i)
    nib.save(nib.Nifti1Image(np.ones(shape, "u1"), affine), "s/s%d/mask.nii.gz" % i)
all_mm = np.array(list(true.values()))
for of, f in (("median", np.median), ("mean", np.mean)):
    run("cohort-spacing", "--scans", "s", "--manifest", "m.json", "--of", of, "--out", of)
    got = json.load(open(of + "/manifest.json"))
    say(np.allclose(got["spacing_mm"], f(all_mm, 0), atol=0.51e-4, rtol=0), "the %s, by axis of the body" % of, (got["spacing_mm"], f(all_mm, 0)))
    say({**got, "spacing_mm": 0} == {**man, "spacing_mm": 0}, "nothing else of the manifest is changed")
rows = {r["subject"]: [float(r[k]) for k in ("right_mm", "anterior_mm", "superior_mm")] for r in csv.DictReader(open("mean/spacing.csv"))}
say(sorted(rows) == sorted(true) and all(np.allclose(rows[s], true[s], atol=1e-6) for s in true), "spacing.csv holds each subject's", rows)
os.makedirs("one")
os.rename("s/s3", "one/s3")
run("skullstrip-normalize", "--scans", "one", "--manifest", "mean", "--out", "n")
got = nib.load("n/s3/ct.nii").header.get_zooms()
say(np.allclose(got, np.mean(all_mm, 0), atol=1e-4), "one subject alone is resampled to the cohort's mean", got)
os.rename("one/s3", "s/s3")
open("s/s1/ct.nii.gz", "wb").write(b"broken")
run("cohort-spacing", "--scans", "s", "--manifest", "m.json", "--out", "some", code=65)
say(os.path.exists("some/quarantine/s1.json") and np.allclose(json.load(open("some/manifest.json"))["spacing_mm"], np.median(np.delete(all_mm, 1, 0), 0), atol=0.51e-4, rtol=0),
    "a broken header: quarantine, and the others count")
os.makedirs("none")
run("cohort-spacing", "--scans", "none", "--manifest", "m.json", "--out", "bad", code=66)
say(not os.path.exists("bad/manifest.json"), "nobody at all is 66")
