"""A slightly sheared sform beside a good qform: what is prepared of such a scan keeps a qform, since ITK (SimpleITK, ANTs, 3D Slicer)
reads no file whose sform has axes off the right angle and that has no qform.  A large shear has none.  Where SimpleITK can be imported
it reads the files; elsewhere nibabel reads both forms."""
import json, os, subprocess
import nibabel as nib
import numpy as np
from _checks import say

try:
    import SimpleITK
except ImportError:
    SimpleITK = None
    print("skip - SimpleITK reads them: not installed; nibabel reads both forms")
T, B = os.environ["T"], os.environ["B"]
os.chdir(T)
rng = np.random.default_rng(58)
shape = (40, 44, 36)
r = np.sqrt((((np.indices(shape).T - (np.array(shape) - 1) / 2) / np.array([17, 19, 15])) ** 2).sum(-1)).T
corners = np.array([[x, y, z, 1] for x in (0, shape[0]) for y in (0, shape[1]) for z in (0, shape[2])], float)
json.dump({"format": 1, "name": "sheared", "channels": [{"role": "flair", "files": ["{subject}/flair.nii.gz"]}]}, open("m.json", "w"))
for name, shear in (("none", 0), ("1e-5", 1e-5), ("1e-3", 1e-3), ("0.1", 0.1)):
    affine = np.array([[4.0, 0, 0, -80], [0, 4, 0, -90], [0, 0, 4, -70], [0, 0, 0, 1]])
    affine[0, 1] += 4 * shear
    img = nib.Nifti1Image(np.where(r < 1, 500 + rng.normal(0, 30, shape), 0).astype("i2"), affine)
    img.set_sform(affine, 1)
    img.set_qform(affine, 1)
    os.makedirs("s/" + name)
    nib.save(img, "s/%s/flair.nii.gz" % name)
p = subprocess.run([B + "/bin/skullstrip-normalize", "--scans", "s", "--manifest", "m.json", "--out", "n", "--margin", "-1", "--form-tolerance", "20"], capture_output=True, text=True)
say(p.returncode == 0, "sheared scans are prepared", p.stderr[-400:])
for name, shear in (("none", 0), ("1e-5", 1e-5), ("1e-3", 1e-3), ("0.1", 0.1)):
    for file in ("flair.nii", "mask.nii"):
        img = nib.load("n/%s/%s" % (name, file))
        s, scode = img.get_sform(coded=True)
        q, qcode = img.get_qform(coded=True)
        if shear > 0.01:
            say(qcode == 0 and scode > 0 and abs(s[0, 1] - 0.4) < 1e-5, "%s, shear %s: the sform alone says where it lies" % (file, name), (s, qcode))
            continue
        gap = np.linalg.norm((s - q) @ corners.T, axis=0).max() if q is not None else np.inf
        say(scode > 0 and qcode > 0 and abs(s[0, 1] - 4 * shear) < 1e-6 and gap < 0.25, "%s, shear %s: qform and sform agree to %.3f mm" % (file, name, gap), (s, q, qcode))
        if SimpleITK:
            where = SimpleITK.ReadImage("n/%s/%s" % (name, file))
            far = (np.array(where.TransformContinuousIndexToPhysicalPoint([float(x) for x in shape])) * (-1, -1, 1) - (s @ [*shape, 1])[:3])
            say(np.linalg.norm(far) < 0.25, "SimpleITK reads it, its far corner within 0.25 mm", far)
