"""One prepared subject against the same steps in numpy: values, crop, mask, the way back, refusals, equal bytes."""
import json, os, shutil, struct, subprocess, sys, zlib
sys.path.insert(0, os.path.dirname(__file__))
import numpy as np
import nibabel as nib
from scipy import ndimage as ndi
from _image import T, done, say

tool = os.path.join(os.environ["B"], "tests", "prepare_subject")
rng = np.random.default_rng(8)
shape = (70, 60, 64)
affine = np.array([[-2.5, 0.1, 0, 80], [0.1, -2.5, 0.2, 75], [0, 0.2, 2.5, -60], [0, 0, 0, 1]])


def prepare(out, *args, env=None, cwd=None):
    p = subprocess.run([tool, os.path.join(T, out)] + list(args), capture_output=True, text=True, cwd=cwd,
                       env=dict(os.environ, **(env or {})))
    return p.returncode, p.stderr


def save(name, x, a=affine):
    path = os.path.join(T, name)
    nib.save(nib.Nifti1Image(x, a), path)
    return path


def load(out, name):
    img = nib.load(os.path.join(T, out, name))
    return np.asarray(img.dataobj), img.affine


def tree(out):
    return {n: open(os.path.join(T, out, n), "rb").read() for n in sorted(os.listdir(os.path.join(T, out)))}


g = np.indices(shape) - np.array([34, 31, 30])[:, None, None, None]
brain = (g[0] / 26) ** 2 + (g[1] / 22) ** 2 + (g[2] / 23) ** 2 < 1
tissue = 300 + 200 * ndi.gaussian_filter(rng.normal(size=shape), 2)
flair = np.where(brain, tissue, 0).clip(0).astype("i2")
flair[brain & (flair == 0)] = 1
t1 = np.where(brain, 3.5 - tissue / 200, np.float32(-7.25)).astype("f4")
paths = ["flair=" + save("flair.nii.gz", flair), "t1=" + save("t1.nii.gz", t1)]

rc, text = prepare("a", *paths)
say(rc == 0, "stripped subject is prepared", text)
want = nib.as_closest_canonical(nib.Nifti1Image(brain.astype("u1"), affine))
mask = want.get_fdata() > 0
box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(mask))
got, got_affine = load("a", "mask.nii")
say(np.array_equal(got > 0, mask[box]), "mask.nii is the brain on its own box, axes R-A-S")
origin = want.affine @ [box[0].start, box[1].start, box[2].start, 1]
say(np.allclose(got_affine[:3, 3], origin[:3], atol=1e-4) and np.allclose(got_affine[:3, :3], want.affine[:3, :3], atol=1e-5),
    "its affine points at the same millimeters")
for role, x in (("flair", flair), ("t1", t1)):
    v = x[brain].astype("f8")
    z = np.where(brain, (x.astype("f8") - v.mean()) / v.std(), 0)
    z = nib.as_closest_canonical(nib.Nifti1Image(z, affine)).get_fdata()[box]
    gap = np.abs(load("a", role + ".nii")[0] - z).max()
    say(gap < 1e-6, "%s.nii is numpy's z-score inside and 0 outside" % role, gap)

j = json.load(open(os.path.join(T, "a", "geometry.json")))
p = j["placement"]
back = np.full(shape, -1.0)
index = np.indices(got.shape).reshape(3, -1)
native = np.zeros_like(index)
for axis in range(3):
    i = index[axis] + p["crop_from"][axis]
    native[p["axis"][axis]] = shape[p["axis"][axis]] - 1 - i if p["flip"][axis] else i
back[tuple(native)] = got.ravel()
say(np.array_equal(back == 1, brain), "geometry.json leads every voxel back to the scan")
say(j["mask"]["method"] == "stripped" and j["channels"][1]["background"] == -7.25 and j["channels"][0]["stored"] == "int16",
    "geometry.json names method, background and stored type", j)

png = tree("a")["qc.png"]
w, h = struct.unpack(">II", png[16:24])
body, at = b"", 8
while at < len(png):
    n, kind = struct.unpack(">I4s", png[at:at + 8])
    say_crc = zlib.crc32(png[at + 4:at + 8 + n]) == struct.unpack(">I", png[at + 8 + n:at + 12 + n])[0]
    body += png[at + 8:at + 8 + n] if kind == b"IDAT" else b""
    at += 12 + n
say(png[:8] == b"\x89PNG\r\n\x1a\n" and say_crc and len(zlib.decompress(body)) == h * (3 * w + 1), "qc.png is a whole PNG")

rc1 = prepare("one", *paths, env={"VOXTRAIL_THREADS": "1"})[0]
rc2 = prepare("two", *["%s=%s" % (s.split("=")[0], os.path.relpath(s.split("=")[1], "/")) for s in paths],
              env={"VOXTRAIL_THREADS": "2"}, cwd="/")[0]
say(rc1 == 0 and rc2 == 0 and tree("a") == tree("one") == tree("two"), "1 and 2 threads and another directory: equal bytes")

for rule in ("none", "clip-minmax", "clip-zscore", "minmax", "quantile"):
    rc, text = prepare("n", rule, *paths)
    x = load("n", "t1.nii")[0]
    say(rc == 0 and np.isfinite(x).all(), "normalization %s gives finite values" % rule, text)

x = flair.astype("f8")
low, high = np.percentile(x, [2, 98])
for rule, more, want in (("window", ["250,350"], np.clip((x - 250) / 100, 0, 1)), ("clip-quantile", [], (np.clip(x, low, high) - low) / (high - low))):
    rc, text = prepare("w", rule, *more, *paths)
    gap = np.abs(load("w", "flair.nii")[0] - nib.as_closest_canonical(nib.Nifti1Image(want, affine)).get_fdata()[box]).max() if rc == 0 else 1
    say(rc == 0 and gap < 1e-6 and len(np.unique(want)) > 20, "normalization %s %s: numpy's values, clipped to 0 and 1" % (rule, "".join(more)), (gap, text))

refused = {"another size": (save("s.nii", flair[:-1]), ["flair", "t1"]),
           "moved by 3 mm": (save("m.nii", flair, affine + np.array([[0, 0, 0, 3.0]] + [[0] * 4] * 3)), ["flair", "t1", "mm apart"]),
           "a NaN voxel": (save("nan.nii", np.where(g[0] == 3, np.nan, t1).astype("f4")), ["NaN"]),
           "two frames": (save("f.nii", np.stack([flair, flair], -1)), ["2 frames"]),
           "not a volume": (shutil.copy(__file__, os.path.join(T, "x.nii")), ["not a NIfTI"])}
for what, (path, words) in refused.items():
    rc, text = prepare("r", "flair=" + path, paths[1])
    say(rc == 65 and all(word in text for word in words), "refused: " + what, (rc, text))
rc, text = prepare("r", "flair=" + os.path.join(T, "absent.nii"), paths[1])
say(rc == 66 and "absent.nii" in text, "refused: a missing file", (rc, text))
noise = rng.normal(100, 30, shape).astype("f4")
rc, text = prepare("r", paths[0], "t1=" + save("noise.nii", noise))
say(rc == 65 and "skull-stripped" in text, "refused: one channel stripped, one not", (rc, text))

turn = np.eye(4)
c, s = np.cos(0.1), np.sin(0.1)
turn[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
turn[:3, 3] = 4, -3, 2
rc, text = prepare("reg", "rigid", "none", paths[0], "t1=" + save("turned.nii", t1, turn @ affine))
moved = load("reg", "t1.nii")[0]
still = nib.as_closest_canonical(nib.Nifti1Image(t1, affine)).get_fdata()
lo = json.load(open(os.path.join(T, "reg", "geometry.json")))["placement"]["crop_from"]
part = tuple(slice(a, a + n) for a, n in zip(lo, moved.shape))
inner = ndi.binary_erosion(mask, iterations=3)[part]
match = np.corrcoef(moved[inner], still[part][inner])[0, 1]
say(rc == 0 and match > 0.97, "a channel turned by 6 degrees and shifted by 5 mm is registered back (correlation %.4f)" % match, text)

kinds = np.where(tissue > 300, 2.0, 1.0) * brain * 400
field = np.exp(0.35 * np.sin(g[0] / 20) + 0.25 * g[2] / 30)
save("even.nii", kinds.astype("f4"))
rc, text = prepare("n4", "n4", "none", "t1=" + save("biased.nii", (kinds * field).astype("f4")))
fixed = load("n4", "t1.nii")[0]
true = nib.as_closest_canonical(nib.Nifti1Image(kinds, affine)).get_fdata()[box]
seen = nib.as_closest_canonical(nib.Nifti1Image(kinds * field, affine)).get_fdata()[box]
spread = [np.std(np.log(v[true == 400])) for v in (seen, fixed)]
say(rc == 0 and spread[1] < 0.4 * spread[0], "bias correction: spread of one tissue %.3f -> %.3f" % tuple(spread), (text, spread))
done()
