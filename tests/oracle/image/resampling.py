"""Resampling against scipy: nearest, trilinear, cubic B-spline, labels, conformed grids, oblique affines."""
import os, sys
sys.path.insert(0, os.path.dirname(__file__))
import numpy as np
import nibabel as nib
from scipy import ndimage as ndi
from _image import T, done, run, save, say

rng = np.random.default_rng(3)


def source_points(out_img, in_affine):
    """Input index of every output voxel, [3, x, y, z]."""
    m = np.linalg.inv(in_affine) @ out_img.affine
    grid = np.indices(out_img.shape).reshape(3, -1)
    return (m[:3, :3] @ grid + m[:3, 3:]).reshape(3, *out_img.shape)


turned = np.linalg.qr(np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3)))[0]
turned *= np.sign(np.diag(turned))
for name, affine, shape in (("straight", np.diag([1.0, 1.2, 3.0, 1]), (21, 18, 11)),
                            ("oblique", np.block([[turned @ np.diag([0.9, 0.9, 2.5]), np.array([[5.0], [-7], [3]])],
                                                  [np.zeros((1, 3)), np.ones((1, 1))]]), (17, 23, 40))):
    x = ndi.gaussian_filter(rng.normal(size=shape), 1).astype("f4")
    path = save(x, affine=affine)
    affine = nib.load(path).affine
    for target in ((2, 2, 2), (0.7, 1.1, 1.3)):
        for how, order, tol in (("nearest", 0, 0), ("linear", 1, 2e-6), ("cubic", 3, 4e-6)):
            got, img, _ = run("resample", path, how, "nan", *target)
            p = source_points(img, affine)
            inside = np.all([(p[i] >= 0) & (p[i] <= shape[i] - 1) for i in range(3)], axis=0)
            if order == 0:
                inside &= np.all([np.abs(p[i] - np.floor(p[i]) - 0.5) > 1e-4 for i in range(3)], axis=0)
            want = ndi.map_coordinates(x.astype("f8"), p, order=order, mode="mirror")
            gap = np.abs(got - want)[inside].max()
            say(gap <= tol and inside.sum() > 100, "%s %s to %s mm equals scipy at %d points" % (name, how, target, inside.sum()), gap)
    back = run("resample", path, "cubic", "nan", *nib.load(path).header.get_zooms())[0]
    say(back.shape == x.shape and np.abs(back - x).max() < 2e-6, "%s: cubic onto its own grid gives the input" % name)
    labels = (ndi.gaussian_filter(rng.normal(size=shape), 2) * 60).round().clip(0, 4).astype("u1")
    path = save(labels, "labels.nii", affine)
    got, img, _ = run("resample", path, "labels", 0, 1.3, 0.8, 1.7)
    one, two = (run("resample", path, "labels", 0, 1.3, 0.8, 1.7, env={"VOXTRAIL_THREADS": t})[0] for t in "12")
    # Voxels of the input whose center lies in the output's box, by label.
    q = np.linalg.inv(img.affine) @ affine
    q = np.tensordot(q[:3, :3], np.indices(shape), 1) + q[:3, 3].reshape(3, 1, 1, 1)
    inside = np.all([(q[i] >= -0.5) & (q[i] < img.shape[i] - 0.5) for i in range(3)], axis=0)
    per = abs(np.linalg.det(affine[:3, :3]) / np.linalg.det(img.affine[:3, :3]))
    want = np.bincount(labels[inside], minlength=5)[1:] * per
    have = np.bincount(got.ravel(), minlength=5)[1:]
    say(np.abs(want - have).max() <= 0.02 * want.sum() / 4 + 2 and abs(want.sum() - have.sum()) <= 1 and got.max() <= 4 and np.array_equal(one, two),
        "%s: labels keep their volume, each to 2 %% and all together to a voxel, none is invented, one and two threads agree" % name, (want, have))
    same = run("resample", path, "labels", 0, *nib.load(path).header.get_zooms())[0]
    say(np.array_equal(same, labels), "%s: labels onto their own grid are copied" % name)

x = rng.normal(size=(30, 31, 20)).astype("f4")
a = np.diag([-2.0, 3, 4, 1])
got, img, _ = run("resample", save(x, affine=a), "linear", 0, "conform")
center = a @ [15, 15.5, 10, 1]
say(got.shape == (256, 256, 256) and nib.aff2axcodes(img.affine) == ("L", "I", "A") and np.allclose(img.header.get_zooms(), 1) and
    np.allclose((img.affine @ [128, 128, 128, 1])[:3], center[:3], atol=1e-3), "conform: 256 voxels of 1 mm; voxel 128 where the scan's dim / 2 is")
done()
