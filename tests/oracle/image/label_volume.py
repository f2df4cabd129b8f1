"""Labels on a coarser grid keep their volume: spheres of 14 to 4,000 mm3, nested labels, ties, what is lost."""
import os, sys
sys.path.insert(0, os.path.dirname(__file__))
import numpy as np
import nibabel as nib
from scipy import ndimage as ndi
from _image import T, done, run, save, say

rng = np.random.default_rng(11)
N = 96


def spheres(volume, core):
    """As many spheres as fit at random sub-voxel centers, label 1, their core label 4."""
    radius = (3 * volume / 4 / np.pi) ** (1 / 3)
    step, half = int(2 * radius + 5), int(radius + 2)
    x = np.zeros((N,) * 3, "u1")
    for corner in np.ndindex(*(max(1, (N - 8) // step),) * 3):
        at = np.array(corner) * step + half + 3
        g = np.indices((2 * half + 1,) * 3).reshape(3, -1).T + at - half
        far = np.linalg.norm(g - at - rng.uniform(-0.5, 0.5, 3), axis=1)
        x[tuple(g[far <= radius].T)] = 1
        x[tuple(g[far <= core * radius].T)] = 4
    return x


everywhere = np.ones((3, 3, 3))
for volume in (14, 65, 382, 4000):
    x = spheres(volume, 0.7)
    path = save(x, "spheres.nii")
    pieces, n = ndi.label(x, everywhere)
    near = ndi.distance_transform_edt(pieces == 0, return_distances=False, return_indices=True)
    kept, core, ratios, seen = [], [], [], []
    for mm in (1.25, 1.5, 2, 2.5, 3):
        y, img, text = run("resample", path, "labels", 0, mm, mm, mm)
        kept.append((y > 0).sum() * mm ** 3 / (x > 0).sum())
        core.append((y == 4).sum() * mm ** 3 / (x == 4).sum())
        at = np.rint(nib.affines.apply_affine(img.affine, np.argwhere(y > 0))).astype(int).clip(0, N - 1)
        owner = pieces[tuple(near[(slice(None),) + tuple(at.T)])]
        size = np.bincount(owner, minlength=n + 1)[1:] * mm ** 3
        ratios.append(np.mean(size / np.bincount(pieces.ravel())[1:]))
        seen.append((size > 0).mean())
    say(max(abs(np.array(kept) - 1)) < 0.03 and max(abs(np.array(ratios) - 1)) < 0.03,
        "%d spheres of %d mm3 at 1.25 to 3 mm keep their volume, all together and each on average" % (n, volume), (kept, ratios))
    say(max(abs(np.array(core) - 1)) < 0.03, "their cores too", core)
    say(min(seen[:3]) > 0.98 and (volume < 30 or min(seen) == 1), "none of %d mm3 vanishes but where it is under a voxel" % volume, seen)

# Every sample falls half-way between two voxels: thresholds at one half would give all ties to one side.
x = np.zeros((40, 40, 40), "u1")
x[9:20, 9:20, 9:20] = 2
x[11:18, 11:18, 11:18] = 1
y = run("resample", save(x, "block.nii"), "labels", 0, 2, 2, 2)[0]
say([abs((y == v).sum() * 8 - (x == v).sum()) <= 8 for v in (1, 2)] == [True, True],
    "a block within a block at 2 mm: neither grows at the cost of the other", [((y == v).sum() * 8, (x == v).sum()) for v in (1, 2)])

x = np.zeros((30, 30, 30), "u1")
x[3:13, 3:13, 3:13] = 1
x[20, 21, 22] = 4
text = run("resample", save(x, "lost.nii"), "labels", 0, 3, 3, 3)[2].split()
say(text[:2] == ["lost", "1"] and text[2:] == ["1.0", "4", "20", "21", "22"], "a piece that no output voxel holds is named with label, volume and voxel", text)
x[20, 21, 22] = 0
say(run("resample", save(x, "kept.nii"), "labels", 0, 3, 3, 3)[2].split()[:2] == ["lost", "0"], "nothing lost is said to be nothing")

# Finer: what one network voxel holds is what eight of the scan's hold.
x = (rng.random((12, 12, 12)) < 0.05).astype("u1")
y = run("resample", save(x, "coarse.nii", np.diag([2.0, 2, 2, 1])), "labels", 0, 1, 1, 1)[0]
say(abs(int(y.sum()) - 8 * int(x.sum())) <= 1, "single voxels of 2 mm keep their volume at 1 mm", (y.sum(), 8 * x.sum()))
done()
