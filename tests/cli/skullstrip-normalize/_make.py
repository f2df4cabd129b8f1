"""Makes the cohort of quarantine.sh: three good subjects (one with a skull), four bad ones.  usage: _make.py DIR"""
import os, sys
import numpy as np
import nibabel as nib

rng = np.random.default_rng(1)
shape, affine = (80, 90, 76), np.diag([-2.0, -2, 2, 1])
g = np.indices(shape) - np.array([40, 45, 40])[:, None, None, None]
r = np.sqrt((g[0] / 33.0) ** 2 + (g[1] / 41.0) ** 2 + (g[2] / 31.0) ** 2)


def subject(name, roles=("flair", "t1ce"), skull=False, shift=0, change=None):
    d = os.path.join(sys.argv[1], name)
    os.makedirs(d)
    for k, role in enumerate(roles):
        x = 300 + 100 * np.sin(g[0] / 5.0) * np.cos(g[1] / 6.0) + rng.normal(0, 8, shape)
        if skull:
            x = np.where(r < 1, x, np.where(r < 1.12, 20, np.where(r < 1.2, 500, 5))) + rng.normal(0, 3, shape)
        else:
            x = np.where(r < 1, x, 0)
        a = affine.copy()
        a[0, 3] += shift * k
        if change and k:
            x = change(x)
        nib.save(nib.Nifti1Image(x.clip(0) if change is None else x, a), os.path.join(d, role + ".nii.gz"))


subject("good-1")
subject("good-2")
subject("head", skull=True)
subject("bad-moved", shift=5)
subject("bad-nan", change=lambda x: np.where(g[0] == 0, np.nan, x))
subject("bad-missing", roles=("flair",))
subject("bad-cut")
cut = os.path.join(sys.argv[1], "bad-cut", "t1ce.nii.gz")
content = open(cut, "rb").read()
open(cut, "wb").write(content[:len(content) // 2])
open(os.path.join(sys.argv[1], "README.txt"), "w").write("not a subject\n")
