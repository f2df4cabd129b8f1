"""Normalize, crop and write one subject of four 240x240x155 scans (.nii.gz, skull-stripped): ours against numpy and nibabel, in the
same run, best of three.  usage: B=build/release /usr/bin/python3 bench/imaging/prepare_against_numpy.py [WORKDIR]"""
import os, subprocess, sys, tempfile, time
import numpy as np
import nibabel as nib

work = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()
tool = os.path.join(os.environ.get("B", "build/release"), "tests", "prepare_subject")
roles = ["flair", "t1", "t1ce", "t2"]
paths = [os.path.join(work, r + ".nii.gz") for r in roles]


def make():
    rng = np.random.default_rng(0)
    g = np.indices((240, 240, 155), dtype="f4") - np.array([120, 118, 74], "f4")[:, None, None, None]
    r = np.sqrt((g[0] / 68) ** 2 + (g[1] / 84) ** 2 + (g[2] / 66) ** 2)
    for path in paths:
        x = np.where(r < 1, 500 + 150 * np.sin(g[0] / 9) * np.cos(g[1] / 7) * np.sin(g[2] / 8) + rng.normal(0, 9, r.shape), 0)
        nib.save(nib.Nifti1Image(x.astype("i2"), np.diag([-1.0, -1, 1, 1])), path)


def numpy_pipeline():
    for path in paths:
        img = nib.load(path)
        x = img.get_fdata(dtype=np.float32)
        y = np.zeros_like(x)
        inside = x != 0
        y[inside] = (x[inside] - x[inside].mean()) / x[inside].std()
        box = [(c.min(), c.max() + 1) for c in np.nonzero(x)]
        y = np.ascontiguousarray(y[tuple(slice(*q) for q in box)])
        nib.save(nib.Nifti1Image(y, img.affine), os.path.join(work, "out.nii"))


def ours():
    args = ["%s=%s" % (r, p) for r, p in zip(roles, paths)]
    subprocess.run([tool, os.path.join(work, "out")] + args, check=True, stdout=subprocess.DEVNULL)


def best(f):
    times = []
    for _ in range(3):
        wall, usage = time.perf_counter(), os.times()
        f()
        after = os.times()
        times.append((time.perf_counter() - wall, sum(after[:4]) - sum(usage[:4])))
    return min(t[0] for t in times), min(t[1] for t in times)


if not os.path.exists(paths[3]):
    make()
a, b = best(numpy_pipeline), best(ours)
print("numpy + nibabel   %.3f s wall, %.3f s CPU" % a)
print("prepare_subject   %.3f s wall, %.3f s CPU (also mask.nii, geometry.json, qc.png)" % b)
print("ratio             %.1f wall, %.1f CPU" % (a[0] / b[0], a[1] / b[1]))
