"""What the oracles of common/image share: the tool that runs one operation, volumes in scratch, one line a check."""
import os, subprocess, sys
import numpy as np
import nibabel as nib

T, shared = os.environ["T"], os.environ.get("SHARED", "")
tool = os.path.join(os.environ["B"], "tests", "image_op")
failed = 0


def say(good, what, why=""):
    global failed
    failed += not good
    print(("ok - " if good else "not ok - ") + what + ("" if good else ": " + str(why)))
    sys.stdout.flush()


def save(x, name="in.nii", affine=np.eye(4)):
    path = os.path.join(T, name)
    nib.save(nib.Nifti1Image(x, affine), path)
    return path


def run(op, source, *args, env=None):
    """(result array or None, image, printed text)"""
    out = os.path.join(T, "out.nii")
    p = subprocess.run([tool, op, source, out] + [str(a) for a in args], capture_output=True, text=True,
                       env=dict(os.environ, **(env or {})))
    if p.returncode:
        raise RuntimeError("%s: exit %d: %s" % (op, p.returncode, p.stderr))
    img = nib.load(out) if os.path.exists(out) else None
    x = np.asarray(img.dataobj).copy() if img else None
    if img:
        os.remove(out)
    return x, img, p.stdout


def done():
    sys.exit(failed != 0)
