"""crop-patch against numpy: every byte of the container, padding, half precision, least size, splits, and what is refused."""
import json, os, subprocess, sys
import nibabel as nib
import numpy as np
from _checks import say

T, B = os.environ["T"], os.environ["B"]
os.chdir(T)
rng = np.random.default_rng(12)


def run(name, *args):
    p = subprocess.run([B + "/bin/" + name, *args], capture_output=True, text=True)
    return p.returncode, p.stderr[-600:]


def container(path):
    raw = open(path, "rb").read()
    h = json.loads(raw[16:16 + int.from_bytes(raw[8:16], "little")])
    z, y, x = h["dims"][-3:]
    c, n, at = len(h["channels"]), z * y * x, h["offsets"]
    out = {"header": h, "image": np.frombuffer(raw, "<f2" if h["dtype"] == "f16" else "<f4", c * n, at["image"]).reshape(c, z, y, x), "aligned": all(v % 64 == 0 for v in at.values())}
    if h["labeled"]:
        out["regions"] = np.frombuffer(raw, "u1", n, at["regions"]).reshape(z, y, x)
        out["labels"] = np.frombuffer(raw, "u1", n, at["labels"]).reshape(z, y, x)
        out["foreground"] = np.frombuffer(raw, "<u4", h["n_foreground"], at["foreground"])
    return out


manifest = {"format": 1, "name": "own", "channels": [{"role": r, "files": ["{subject}/%s.nii.gz" % r]} for r in ("flair", "t1ce")],
            "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "background", "1": "core", "2": "edema", "4": "enhancing"}},
            "regions": [{"name": "WT", "values": [1, 2, 4]}, {"name": "TC", "values": [1, 4]}], "split": {"seed": 3, "test": 0.3, "folds": 3}}
json.dump(manifest, open("m.json", "w"))
shape, affine = (57, 61, 53), np.diag([-3.0, -3, 3, 1])
g = np.indices(shape) - np.array([26, 31, 25])[:, None, None, None]
brain = (g[0] / 21.3) ** 2 + (g[1] / 25.2) ** 2 + (g[2] / 19.4) ** 2 < 1
lesion = np.zeros(shape, "f4")
lesion[20:34, 25:40, 18:30] = 2
lesion[24:30, 28:36, 20:28] = 1
lesion[26:28, 30:33, 22:25] = 4


def subject(name, labels=lesion):
    os.makedirs("scans/" + name)
    for role in ("flair", "t1ce"):
        nib.save(nib.Nifti1Image(np.where(brain, rng.integers(500, 900, shape), 0).astype("i2"), affine), "scans/%s/%s.nii.gz" % (name, role))
    nib.save(nib.Nifti1Image(labels, affine), "scans/%s/seg.nii.gz" % name)


names = ["case%02d" % i for i in range(8)]
for n in names[:5]:
    subject(n)
rc, text = run("skullstrip-normalize", "--scans", "scans", "--manifest", "m.json", "--margin", "4", "--out", "n")
rc2, text2 = run("crop-patch", "--normed", "n", "--labels", "scans", "--manifest", "m.json", "--margin", "2", "--multiple", "8", "--out", "p")
if rc or rc2:
    print("not ok - stages run: %s %s" % (text, text2))
    sys.exit(1)
c = container("p/case00/subject.vtp")
# Canonical order: x and y of the file run backwards.
turn = lambda v: v[::-1, ::-1]
hi = [i.max() + 3 for i in np.nonzero(turn(brain))]
lo = [i.min() - 2 for i in np.nonzero(turn(brain))]
size = [b - a for a, b in zip(lo, hi)]
grown = [-(-s // 8) * 8 for s in size]
pads = [((w - s) // 2, w - s - (w - s) // 2) for w, s in zip(grown, size)]
prepared = np.stack([nib.load("n/case00/%s.nii" % r).get_fdata() for r in ("flair", "t1ce")])
inner = [np.nonzero(nib.load("n/case00/mask.nii").get_fdata())[a] for a in range(3)]
start = [i.min() - 2 for i in inner]


def padded(v):
    """What the container should hold: the box grows into the prepared grid where there is some, else zeros."""
    out = np.zeros(grown, v.dtype)
    for k in np.ndindex(*grown):
        at = tuple(start[a] - pads[a][0] + k[a] for a in range(3))
        if all(0 <= at[a] < v.shape[a] for a in range(3)):
            out[k] = v[at]
    return out.transpose(2, 1, 0)


want = np.stack([padded(v.astype("f4")) for v in prepared])
say(c["aligned"] and c["image"].shape == want.shape and np.array_equal(c["image"], want), "channels are the prepared voxels of the grown box, bit for bit",
    (c["image"].shape, want.shape))
place = json.load(open("n/case00/geometry.json"))["placement"]["crop_from"]
full = turn(lesion)[tuple(slice(a, a + n) for a, n in zip(place, prepared.shape[1:]))].astype("u1")
labels = padded(full)
regions = np.isin(labels, (1, 2, 4)) + 2 * np.isin(labels, (1, 4))
say(np.array_equal(c["labels"], labels) and np.array_equal(c["regions"], regions), "float label maps arrive as labels and region bits")
say(np.array_equal(c["foreground"], np.flatnonzero(regions)), "the foreground index lists every labeled voxel in order")
h = c["header"]
say(h["box"] == [start[a] - pads[a][0] for a in (2, 1, 0)] and h["spacing_mm"] == [3, 3, 3] and h["regions"] == ["WT", "TC"], "the header says where the box lies", h["box"])

rc, text = run("crop-patch", "--normed", "n", "--labels", "scans", "--manifest", "m.json", "--dtype", "f16", "--out", "half")
say(rc == 0 and np.array_equal(container("half/case00/subject.vtp")["image"], want.astype("f2")), "f16 is numpy's rounding", text)
rc, text = run("crop-patch", "--normed", "n", "--labels", "scans", "--manifest", "m.json", "--min-size", "61", "--out", "least")
big = container("least/case00/subject.vtp") if rc == 0 else c
off = [a - b for a, b in zip(h["box"], big["header"]["box"])]
part = tuple(slice(o, o + n) for o, n in zip(off, want.shape[1:]))
say(rc == 0 and big["image"].shape[1:] == (64, 64, 64) and np.array_equal(big["image"][(slice(None),) + part], want) and
    np.count_nonzero(big["image"]) == np.count_nonzero(want), "--min-size 61 pads every edge to 64 with zeros around the same voxels", text)

from scipy.signal import _signaltools
rc, text = run("crop-patch", "--normed", "n", "--labels", "scans", "--manifest", "m.json", "--center", "21,500,18", "--multiple", "1", "--out", "center")
mid = container("center/case00/subject.vtp") if rc == 0 else c
edges = (18, prepared.shape[2], 21)
say(rc == 0 and np.array_equal(mid["image"], np.stack([_signaltools._centered(v.astype("f4"), edges).transpose(2, 1, 0) for v in prepared])) and
    np.array_equal(mid["labels"], _signaltools._centered(full, edges).transpose(2, 1, 0)) and mid["header"]["crop"]["center"] == [21, 500, 18],
    "--center 21,500,18 cuts scipy's centered part, an edge that is too long stays whole", (text, mid["image"].shape))
say(run("crop-patch", "--normed", "n", "--manifest", "m.json", "--center", "0", "--out", "bad")[0] == 64, "--center 0 is refused")

before = {n: [container("p/%s/subject.vtp" % n)["header"][k] for k in ("test", "fold")] for n in names[:5]}
for n in names[5:]:
    subject(n)
subject("strange", np.where(lesion == 4, 3, lesion).astype("f4"))
subject("between", np.where(lesion == 4, 1.5, lesion).astype("f4"))
run("skullstrip-normalize", "--scans", "scans", "--manifest", "m.json", "--out", "n2")
rc, text = run("crop-patch", "--normed", "n2", "--labels", "scans", "--manifest", "m.json", "--out", "p2")
after = {n: [container("p2/%s/subject.vtp" % n)["header"][k] for k in ("test", "fold")] for n in names}
say(all(before[n] == after[n] for n in before) and len({str(v) for v in after.values()}) > 2, "three more subjects move nobody's split", after)
why = {n: open("p2/quarantine/%s.json" % n).read() for n in ("strange", "between")}
say(rc == 65 and "label value 3" in why["strange"] and "1.5" in why["between"], "an unnamed label and one that is no whole number are quarantined by value", why)
