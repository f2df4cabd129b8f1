"""Masks against scipy.ndimage, statistics against numpy in double, orientation against nibabel."""
import os, sys
sys.path.insert(0, os.path.dirname(__file__))
import numpy as np
import nibabel as nib
from scipy import ndimage as ndi
from _image import T, done, run, save, say

rng = np.random.default_rng(11)
spacing = np.array([0.9, 1.1, 2.5])
affine = np.diag(list(spacing) + [1])

for density in (0.15, 0.4, 0.6):
    m = (ndi.gaussian_filter(rng.normal(size=(23, 19, 14)), 0.8) > np.quantile(rng.normal(size=999), 1 - density) * 0.3)
    path = save(m.astype("u1"), affine=affine)
    wrong = []
    for r in (0.5, 1.2, 2.6, 4.0):
        d = ndi.distance_transform_edt(~m, sampling=spacing)
        got = run("dilate", path, r)[0]
        if not np.array_equal(got > 0, d <= r * (1 + 1e-6)):
            wrong.append("dilate %g" % r)
        padded = np.pad(m, 1)
        d = ndi.distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1, 1:-1]
        got = run("erode", path, r)[0]
        if not np.array_equal(got > 0, d > r * (1 + 1e-6)):
            wrong.append("erode %g" % r)
    if not np.array_equal(run("fill", path)[0] > 0, ndi.binary_fill_holes(m)):
        wrong.append("fill")
    for connect, rank in ((6, 1), (18, 2), (26, 3)):
        label, n = ndi.label(m.transpose(2, 1, 0), ndi.generate_binary_structure(3, rank))
        got, _, text = run("components", path, connect)
        if int(text) != n or not np.array_equal(got, label.transpose(2, 1, 0)):
            wrong.append("components %d: %s, scipy %d" % (connect, text.strip(), n))
        sizes = np.bincount(label.ravel())[1:]
        if not np.array_equal(run("largest", path, connect)[0] > 0, label.transpose(2, 1, 0) == sizes.argmax() + 1):
            wrong.append("largest %d" % connect)
    say(not wrong, "erosion, dilation, holes, components of a %d %% mask equal scipy" % (m.mean() * 100), wrong)

q = [0, 0.5, 1, 2, 25, 50, 98, 99, 99.5, 100]
for name, x in (("int16", rng.integers(-500, 3000, (40, 31, 22)).astype("i2")), ("float32", rng.normal(size=(33, 30, 21)).astype("f4")),
                ("three values", rng.integers(0, 3, (9, 9, 9)).astype("u1")), ("one voxel", np.array([[[7]]], dtype="i2"))):
    inside = x[x != 0].astype("f8")
    got = [float(v) for v in run("stats", save(x))[2].split()]
    want = [inside.size, inside.mean(), inside.std(), inside.min(), inside.max()]
    exact = [float(np.percentile(x[x != 0].astype("f8"), v)) for v in q]
    say(np.allclose(got[:5], want, rtol=1e-14, atol=1e-14) and got[5:] == exact,
        "moments and percentiles of %s equal numpy (percentiles to the bit)" % name, (got, want, exact))

x = np.abs(rng.normal(300, 90, (31, 27, 25))).astype("f4")
x[:6] = 0
n = x[x != 0].astype("f8")


def clip_z():
    y = np.clip(x.astype("f8"), *np.percentile(x.astype("f8"), [0.5, 99.5])).astype("f4").astype("f8")
    return (y - y.mean()) / y.std()


p1, p99 = np.percentile(n, [1, 99])
p2, p98 = np.percentile(n, [2, 98])
rules = {"zscore": np.where(x != 0, (x - n.mean()) / n.std(), 0),
         "clip-minmax": (np.clip(x, p1, p99) - p1) / (p99 - p1),
         "clip-zscore": clip_z(),
         "minmax": (x - x.min()) / (x.max() - x.min()),
         "quantile": np.where(x != 0, (x - p2) / (p98 - p2), 0)}
for rule, want in rules.items():
    got = run("normalize", save(x), rule)[0]
    say(np.abs(got - want).max() <= 1e-6 * np.abs(want).max(), "normalization %s equals its formula in numpy" % rule,
        np.abs(got - want).max())
say(not run("normalize", save(np.full((5, 5, 5), 7, "f4")), "zscore")[0].any(), "a constant image normalizes to 0, not NaN")

def affine_of(img):
    """A qform's a is sqrt(1 - b^2 - c^2 - d^2) in NIfTI-1 and in nifti_clib; newer nibabel takes it for 0 near a half turn."""
    h = img.header
    if int(h["sform_code"]):
        return img.affine
    b, c, d = (float(h["quatern_" + k]) for k in "bcd")
    a = np.eye(4)
    a[:3, :3] = nib.quaternions.quat2mat([np.sqrt(max(0, 1 - b * b - c * c - d * d)), b, c, d]) * h["pixdim"][1:4]
    a[:3, 2] *= h["pixdim"][0]
    a[:3, 3] = [h["qoffset_" + k] for k in "xyz"]
    return a


for trial in range(12):
    # Up to about 35 degrees off the axes: beyond that versions of nibabel disagree with each other.
    turned = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3) + rng.uniform(-0.3, 0.3, (3, 3))
    u, _, v = np.linalg.svd(turned)
    a = np.eye(4)
    a[:3, :3] = (u @ v) @ np.diag([0.8, 1.3, 2.9])
    a[:3, 3] = rng.normal(size=3) * 40
    x = rng.integers(0, 999, (7, 9, 11)).astype("f4")
    img = nib.Nifti1Image(x, a)
    img.set_qform(a, 1)
    img.set_sform(a, 2 * (trial % 2))
    path = os.path.join(T, "oblique.nii")
    nib.save(img, path)
    img = nib.load(path)
    want = nib.as_closest_canonical(nib.Nifti1Image(x, affine_of(img)))
    got, out, _ = run("canonical", path)
    back, native, _ = run("there-and-back", path)
    core = np.full(x.shape, -1.0)
    core[1:-1, 1:-1, 1:-1] = x[1:-1, 1:-1, 1:-1]
    if not (np.array_equal(got, want.get_fdata()) and np.allclose(out.affine, want.affine, atol=1e-4)):
        say(False, "canonical orientation equals nibabel", (a, out.affine, want.affine))
        break
    if not (np.array_equal(back, core) and np.allclose(affine_of(native), affine_of(img), atol=1e-5) and
            np.allclose(native.get_qform(), img.get_qform(), atol=1e-4)):
        say(False, "crop, JSON and paste give the native voxels back")
        break
else:
    say(True, "canonical orientation of 12 oblique grids equals nibabel")
    say(True, "crop, JSON and paste give the native voxels back on 12 oblique grids")
done()
