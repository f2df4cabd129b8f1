"""Brain masks: heads made here with a known brain, stripped input of all kinds, and the reference masks of real heads."""
import os, sys
sys.path.insert(0, os.path.dirname(__file__))
import numpy as np
import nibabel as nib
from scipy import ndimage as ndi
from _image import T, done, run, save, say, shared

rng = np.random.default_rng(4)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def head(kind, spacing):
    """Nested ellipsoids: scalp, skull, CSF, folded cortex, ventricles, a neck.  Returns image, brain, affine."""
    n = [int(round(s / v)) for s, v in zip((190, 220, 200), spacing)]
    g = np.stack(np.meshgrid(*[(np.arange(m) - m / 2 + 0.5) * v for m, v in zip(n, spacing)], indexing="ij"))
    g[2] -= 15
    r = np.sqrt((g[0] / 66) ** 2 + (g[1] / 82) ** 2 + (g[2] / 62) ** 2)
    folds = ndi.gaussian_filter(rng.normal(size=n), [3.5 / v for v in spacing])
    folds = 0.05 * folds / folds.std()
    csf, white, gray, scalp = {"t1": (30, 120, 85, 200), "t2": (220, 70, 95, 110), "flair": (25, 85, 100, 90)}[kind]
    x = np.full(n, 4.0)
    neck = (np.hypot(g[0], g[1] + 15) < 50) & (g[2] < 0)
    x[(r < 1.25) | neck] = scalp
    x[r < 1.17] = 12
    brain = r < 1.03
    x[brain] = csf
    x[r + np.abs(folds) < 1.0] = gray
    x[r + np.abs(folds) < 0.9] = white
    x[np.sqrt((g[0] / 14) ** 2 + (g[1] / 28) ** 2 + (g[2] / 12) ** 2) < 1] = csf
    x = ndi.gaussian_filter(x, [0.5 / v for v in spacing]) + rng.normal(size=n) * 4
    return x.clip(0).astype("i2"), brain, np.diag(list(spacing) + [1.0])


for kind, spacing in (("t1", (1, 1, 1)), ("t1", (0.8, 0.8, 4)), ("t2", (1, 1, 3)), ("flair", (2, 2, 2))):
    x, brain, affine = head(kind, spacing)
    # Stored right to left: the mask must come back in the scan's own order.
    path = save(np.ascontiguousarray(x[::-1]), affine=affine * [-1, 1, 1, 1])
    got = run("brain-mask", path)[0]
    d = dice(got[::-1] > 0, brain)
    say(d > 0.94, "made %s head at %s mm: Dice %.3f" % (kind, spacing, d), d)
one, two = (run("brain-mask", path, env={"VOXTRAIL_THREADS": t})[0] for t in "12")
say(np.array_equal(one, two), "one and two threads give equal masks")


def stripped(x):
    return int(run("stripped", save(x))[2].split()[0])


x, brain, _ = head("t1", (2, 2, 2))
say(not stripped(x), "a head is not taken for stripped")


def stripped_2mm(x):
    return int(run("stripped", save(x, affine=np.diag([2.0, 2, 2, 1])))[2].split()[0])


say(not stripped_2mm(x), "a head at 2 mm is not taken for stripped")
say(not stripped_2mm(np.where(x > 8, x, 0)), "a head on exact zeros is not taken for stripped")
child = save(np.where(x > 8, x, 0), affine=np.diag([1.7, 1.7, 1.7, 1]))
say(run("stripped", child)[2].split()[0] == "0" and float(run("stripped", child)[2].split()[3]) < 2300, "nor a child's head, no larger than a brain, by its skull")
whole = np.where(x > 8, x, 0)
cuts = [whole[:, :, :k] for k in (50, 62, 75)] + [whole[:, :, -k:] for k in (50, 62, 75)] + [whole[:, :70], whole[:60]]
say(not any(stripped_2mm(c) for c in cuts), "nor a head that the field of view cuts to 50-80 %", [stripped_2mm(c) for c in cuts])
say(stripped_2mm(np.where(brain, x + 1, 0)), "a brain on zeros is stripped")
say(stripped_2mm(np.where(brain, x + 1, 0)[:, :, :78]), "and one whose top is cut off")
z = ((x - 80.0) / 30).astype("f4")
say(stripped_2mm(np.where(brain, z, np.float32(-3.25))), "a brain on a constant other than zero is stripped")


def lesions(x, inside, times, *balls):
    """x with balls of so many times the inside's median: (radius in mm, center in shares of the inside's box)."""
    y, at = x.astype("f4"), np.argwhere(inside)
    g = np.indices(x.shape).astype("f4")
    for radius, share in balls:
        c = at.min(0) + (at.max(0) - at.min(0)) * np.array(share)
        ball = inside & (2 * np.sqrt(sum((g[a] - c[a]) ** 2 for a in range(3))) < radius)
        y[ball] = times * np.median(x[inside]) * (1 + 0.05 * rng.normal(size=ball.sum()))
    return y


wrong = []
for kind in ("t1", "t2", "flair"):
    x3, brain3, _ = head(kind, (2, 2, 2))
    for times, balls in ((2.5, [(26, (0.6, 0.6, 0.6))]), (4, [(26, (0.3, 0.6, 0.5))]), (6, [(30, (0.6, 0.6, 0.6))]), (10, [(30, (0.6, 0.4, 0.6))]),
                         (4, [(24, (0.25, 0.6, 0.6)), (24, (0.75, 0.6, 0.6)), (15, (0.5, 0.2, 0.5))])):
        # The phantom's brain has 9 % fluid around it, which strippers leave out.
        inside = ndi.binary_erosion(brain3, iterations=2)
        wrong += [] if stripped_2mm(lesions(np.where(inside, x3 + 1, 0), inside, times, *balls)) else [("brain", kind, times, len(balls))]
        wrong += [("head", kind, times, len(balls))] if stripped_2mm(lesions(np.where(x3 > 8, x3, 0), brain3, times, *balls)[:, :, -75:]) else []
say(not wrong, "lesions of 2.5 to 10 times the brain's brightness make no head of a brain, nor a brain of a head", wrong)
say(not stripped_2mm(np.full(x.shape, 7, "i2")), "a constant image is not stripped")

if not shared:
    print("skip - reference masks of real heads: development data not present")
    done()
root = os.path.join(shared, "data/heads")
all_dice, flags = {}, []
for patient in ("01", "12"):
    for scan in ("t1w", "flair", "t2w"):
        name = os.path.join(root, "ms_patient%s_study1_%s" % (patient, scan))
        got, _, text = run("brain-mask", name + ".nii.gz")
        got = got > 0
        flags.append(int(text.split("flags")[1].split()[0]))
        all_dice[patient, scan] = dice(got, np.asarray(nib.load(name + "_brainmask.nii.gz").dataobj) > 0)
heads = {p: nib.as_closest_canonical(nib.load(os.path.join(root, p + ".nii.gz"))) for p in
         ["ms_patient%s_study1_%s" % (a, b) for a in ("01", "12") for b in ("t1w", "flair", "t2w")]}
wrong, asked = [], 0
for name, img in heads.items():
    x, zooms = np.asarray(img.dataobj), np.array(img.header.get_zooms()[:3], float)
    for part in (0.5, 0.6, 0.7, 0.8):
        k = int(x.shape[2] * part)
        for end, piece in (("low", x[:, :, :k]), ("top", x[:, :, -k:])):
            for size in (1, 0.85):
                text = run("stripped", save(np.ascontiguousarray(piece), affine=np.diag([*zooms * size, 1])))[2].split()
                asked += 400 < float(text[3]) < 2300
                wrong += [(name, end, part, size, text)] if text[0] != "0" else []
say(not wrong and asked > 40, "real heads cut to 50-80 %% of their slices, full size or a child's: none is stripped (%d of 96 have a brain's volume)" % asked, wrong)
brains = [run("stripped", save(np.where(nib.as_closest_canonical(nib.load(os.path.join(root, n + "_brainmask.nii.gz"))).get_fdata() > 0,
                                        np.asarray(i.dataobj), 0), affine=i.affine))[2].split()[0] for n, i in heads.items()]
say(brains == ["1"] * 6, "and their brains alone are", brains)
t1 = np.mean([v for k, v in all_dice.items() if k[1] == "t1w"])
every = np.mean(list(all_dice.values()))
text = ", ".join("%s %s %.4f" % (k + (v,)) for k, v in all_dice.items())
say(t1 >= 0.93 and every >= 0.94 and min(all_dice.values()) >= 0.88, "real heads: T1 mean %.4f, mean %.4f (%s)" % (t1, every, text))
# These scans end inside the head, and up to 41 cm2 of the reference masks lie on a side of the grid: no reason to doubt a mask.
say(not any(flags), "none of them is flagged as implausible", flags)
atlas = "/usr/share/mricron/templates/aal.nii.gz"
if not os.path.exists(atlas):
    print("skip - recall of the AAL atlas: mricron-data is not installed")
    done()
from scipy.spatial import ConvexHull
labels = np.asarray(nib.load(atlas).dataobj) > 0
edge = labels & ~ndi.binary_erosion(labels)
hull = ConvexHull(np.argwhere(edge)).volume / 1000
got = run("brain-mask", os.path.join(root, "colin27_ch2.nii.gz"))[0] > 0
recall, volume = (got & labels).sum() / labels.sum(), got.sum() / 1000
say(recall >= 0.985 and volume <= 1.12 * hull, "Colin27: %.4f of the atlas inside, %.0f ml = %.3f of its hull" % (recall, volume, volume / hull))
done()
