"""Heads for the test of conform: the template's tissue, in several types and placements."""
import os
import numpy as np
import nibabel as nib

TEMPLATE = os.path.join(os.environ.get("ROOT") or os.path.dirname(os.path.abspath(__file__)) + "/../../..", "examples/cohort/template")
CASES = ("straight", "oblique", "bytes", "thick")


def turn(degrees, axis):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    m = np.eye(4)
    i, j = [(1, 2), (0, 2), (0, 1)][axis]
    m[i, i] = m[j, j] = c
    m[i, j], m[j, i] = -s, s
    return m


def head(name):
    """A NIfTI image; odd sizes, so that the center lies between voxels."""
    part = [nib.load(os.path.join(TEMPLATE, "colin27_%s_2mm.nii.gz" % t)) for t in ("csf", "gm", "wm")]
    x = sum(w * np.asarray(p.dataobj).astype("f8") / 255 for w, p in zip((310, 720, 1130), part))
    affine = part[0].affine.copy()  # headers hold f32; so do the test's affines below
    if name == "straight":
        return nib.Nifti1Image(x.astype("i2"), affine)
    if name == "oblique":
        return nib.Nifti1Image((x - 20).astype("f4"), (turn(9, 0) @ turn(-6, 2) @ affine).astype("f4").astype("f8"))
    if name == "bytes":
        return nib.Nifti1Image((x / 5).astype("u1")[:, ::-1], affine @ np.array([[1, 0, 0, 0], [0, -1, 0, x.shape[1] - 1], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    y = np.ascontiguousarray(np.transpose(x, (1, 2, 0))[:, ::2])
    return nib.Nifti1Image(y.astype("u2"), affine @ np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 2, 0, 0.5], [0, 0, 0, 1.0]]))
