"""--grid conform beside FastSurfer's conform (stored numbers), nibabel's MGH header, scipy's sampling and a copy of a conformed head."""
import json, os, subprocess, sys
sys.path.insert(0, os.path.dirname(__file__))
import numpy as np
import nibabel as nib
from scipy import ndimage as ndi
from _conform import CASES, head
from _image import T, done, say, shared

GOLDEN = json.load(open(os.path.join(os.path.dirname(__file__), "golden", "conform.json")))
MANIFEST = os.path.join(T, "manifest.json")
json.dump({"format": 1, "name": "heads", "channels": [{"role": "t1", "files": ["{subject}/t1.nii.gz"]}]}, open(MANIFEST, "w"))


def conform(name, image, *flags):
    scans = os.path.join(T, "scans-" + name)
    os.makedirs(os.path.join(scans, "s"))
    nib.save(image, os.path.join(scans, "s", "t1.nii.gz"))
    out = os.path.join(T, "out-" + name)
    p = subprocess.run(["skullstrip-normalize", "--scans", scans, "--manifest", MANIFEST, "--strip", "never", "--grid", "conform", "--out", out,
                        *flags], capture_output=True, text=True)
    if p.returncode:
        raise RuntimeError(p.stderr)
    return nib.load(os.path.join(out, "s", "t1.nii"))


for name in CASES:
    want, source = GOLDEN[name], head(name)
    img = conform(name, source, "--normalize", "none")
    got = np.asarray(img.dataobj)
    say(nib.aff2axcodes(img.affine) == ("L", "I", "A") and got.shape == (256,) * 3 and np.abs(img.affine - want["affine"]).max() < 1e-4,
        name + ": axes to the left, down and front, 256 voxels of 1 mm, FastSurfer's affine", img.affine)
    some = got.ravel(order="F")[::want["step"]]
    counts = np.bincount(got.astype("u1").ravel(), minlength=256)
    far = int((some != want["voxels"]).sum())
    say(np.array_equal(got, np.rint(got)) and far == 0 and np.abs(counts - want["counts"]).sum() <= 400,  # of 16.8 million: ties of a half, told apart by the header's f32
        "%s: whole numbers, FastSurfer's at all %d sampled voxels and in the histogram" % (name, len(some)),
        (far, np.abs(counts - want["counts"]).sum()))

source = head("oblique")
img = conform("plain", source, "--normalize", "none", "--conform-type", "f32")
header = nib.freesurfer.mghformat.MGHHeader()
header.set_data_shape((256, 256, 256))
header["Mdc"] = np.linalg.inv(np.array([[-1, 0, 0], [0, 0, 1], [0, -1, 0]]))
header["Pxyz_c"] = (source.affine @ np.append(np.array(source.shape) / 2.0, 1))[:3]
affine = header.get_affine()
want = ndi.affine_transform(np.asarray(source.dataobj).astype("f8"), np.linalg.inv(source.affine) @ affine, output_shape=(256,) * 3, order=1)
gap = np.abs(np.asarray(img.dataobj) - want)
say(np.abs(img.affine - affine).max() < 1e-4 and gap.max() < 1e-5 * 1130, "f32: nibabel's affine of such a header, scipy's samples", gap.max())
scaled = np.asarray(conform("unit", source, "--normalize", "minmax").dataobj)
say(scaled.min() == 0 and scaled.max() == 1, "minmax is that of the conformed scan: from 0 to 1", (scaled.min(), scaled.max()))
already = nib.Nifti1Image(np.random.default_rng(1).integers(0, 256, (256,) * 3).astype("u1"), affine)
say(np.array_equal(np.asarray(conform("again", already, "--normalize", "none").dataobj), np.asarray(already.dataobj)),
    "a conformed scan is copied")
done()
