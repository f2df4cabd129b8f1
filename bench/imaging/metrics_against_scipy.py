"""HD95 in both directions of two tumor masks of 240x240x155: ours against scipy on the joint bounding box, in turns in one run, CPU
time, one thread, best of several; DeepMind's surface-distance too where it is installed.
usage: B=build/release /usr/bin/python3 bench/imaging/metrics_against_scipy.py"""
import os, re, subprocess, tempfile, time
import numpy as np
from scipy import ndimage as nd

shape = (155, 240, 240)
work = tempfile.mkdtemp()
tool = os.path.join(os.environ.get("B", "build/release"), "bench", "mask_metrics")


def blob(seed, center, radius):
    rng = np.random.default_rng(seed)
    g = np.indices(shape, dtype="f4")
    d = np.sqrt(sum(((g[i] - center[i]) / radius[i]) ** 2 for i in range(3)))
    n = nd.gaussian_filter(rng.standard_normal(shape).astype("f4"), 6)
    return d + 0.18 * n / n.std() < 1


def scipy_hd95(a, b):
    box = tuple(slice(i.min(), i.max() + 1) for i in (np.nonzero((a | b).any(axis=t))[0] for t in ((1, 2), (0, 2), (0, 1))))
    a, b = (np.pad(m[box], 1) for m in (a, b))
    cross = nd.generate_binary_structure(3, 1)
    x, y = a ^ nd.binary_erosion(a, cross), b ^ nd.binary_erosion(b, cross)
    return max(np.percentile(nd.distance_transform_edt(~y)[x], 95), np.percentile(nd.distance_transform_edt(~x)[y], 95))


def best(f, n=5):
    times = []
    for _ in range(n):
        t = time.process_time()
        value = f()
        times.append(time.process_time() - t)
    return min(times), value


a, b = blob(1, (80, 130, 100), (22, 24, 28)), blob(2, (81, 128, 103), (21, 26, 26))
path = os.path.join(work, "m")
np.concatenate([a.ravel(), b.ravel()]).astype("u1").tofile(path)
theirs, want = best(lambda: scipy_hd95(a, b))
out = subprocess.run([tool, path, *map(str, shape), "1", "1", "1", "15"], capture_output=True, text=True, check=True).stdout
again, _ = best(lambda: scipy_hd95(a, b))
theirs = min(theirs, again)
ours, got = (float(x) for x in re.search(r"surface ([\d.]+) ms: hd95 ([\d.]+)", out).groups())
print("masks of %d and %d voxels, Dice %.3f" % (a.sum(), b.sum(), 2 * (a & b).sum() / (a.sum() + b.sum())))
print("scipy, joint box  %7.2f ms  hd95 %.9f" % (theirs * 1e3, want))
print("ours              %7.2f ms  hd95 %.9f (also pooled, hd, assd, nsd)   ratio %.1f" % (ours, got, theirs * 1e3 / ours))
print(out, end="")
try:
    np.bool = bool
    import surface_distance
    t, s = best(lambda: surface_distance.compute_surface_distances(b, a, (1, 1, 1)), 3)
    print("surface-distance  %7.2f ms  hd95 %.9f" % (t * 1e3, surface_distance.compute_robust_hausdorff(s, 95)))
except ImportError:
    print("surface-distance is not installed: left out")
