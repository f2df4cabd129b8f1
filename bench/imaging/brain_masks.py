"""Brain masks of clinical heads: the surface method beside brainextractor (the same algorithm as published, PyPI), CPU time and Dice
against the reference masks.  brainextractor wants cubes, so it gets the scan at 1 mm and its mask goes back by nearest neighbor.
HD-BET is not run: its package holds no weights and fetches them from a server.
usage: B=build/release PYTHON_WITH_BRAINEXTRACTOR bench/imaging/brain_masks.py FOLDER_OF_HEADS"""
import glob, os, subprocess, sys, tempfile, time
import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to, resample_to_output

work = tempfile.mkdtemp()
tool = os.path.join(os.environ.get("B", "build/release"), "tests", "image_op")
try:
    from brainextractor import BrainExtractor
except ImportError:
    BrainExtractor = None


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def ours(path):
    out = os.path.join(work, "m.nii")
    before = os.times()
    subprocess.run([tool, "brain-mask", path, out], check=True, capture_output=True)
    after = os.times()
    return np.asarray(nib.load(out).dataobj) > 0, sum(after[2:4]) - sum(before[2:4])


def theirs(path):
    scan = nib.load(path)
    start = time.process_time()
    cubes = resample_to_output(scan, (1, 1, 1), order=1)
    b = BrainExtractor(img=cubes)
    b.run()
    mask = b.compute_mask()
    back = resample_from_to(nib.Nifti1Image(mask.astype("u1"), cubes.affine), scan, order=0)
    return np.asarray(back.dataobj) > 0, time.process_time() - start


names = [p[:-len("_brainmask.nii.gz")] for p in sorted(glob.glob(os.path.join(sys.argv[1], "*_brainmask.nii.gz")))]
sums = {"ours": [], "brainextractor": []}
if BrainExtractor and names:
    theirs(names[0] + ".nii.gz")         # compiled on first use
for name in names:
    reference = np.asarray(nib.load(name + "_brainmask.nii.gz").dataobj) > 0
    line = os.path.basename(name)
    for who, f in (("ours", ours), ("brainextractor", theirs)):
        if f is theirs and not BrainExtractor:
            line += "   brainextractor is not installed"
            continue
        try:
            mask, cpu = f(name + ".nii.gz")
            d = dice(mask, reference)
            line += "   %s Dice %.4f, %.2f s CPU" % (who, d, cpu)
        except Exception as e:
            d = 0.0
            line += "   %s failed: %r" % (who, e)
        sums[who].append(d)
    print(line, flush=True)
for who, v in sums.items():
    if v:
        print("%s: mean Dice %.4f, least %.4f" % (who, np.mean(v), min(v)))
