"""predict lays its label map on the subject's own scan, voxel for voxel: oblique, anisotropic, turned and mirrored grids.  The
checkpoint is a network that says "lesion" where the normalized value is over a threshold, so that numpy knows every voxel; nibabel
says where the voxels lie."""
import json, os, subprocess, sys
import nibabel as nib
import numpy as np
from scipy import ndimage as nd
from _checks import say

T, B = os.environ["T"], os.environ["B"]
os.chdir(T)
rng = np.random.default_rng(9)
threshold = 1.25


def run(name, *args, env=None):
    p = subprocess.run([B + "/bin/" + name, *args], capture_output=True, text=True, env=dict(os.environ, **(env or {})))
    return p.returncode, p.stderr[-800:]


def scan(shape, affine, smooth=1.0, base=400, bright=500):
    """A stripped brain with bright blobs, in scanner millimeters."""
    g = np.indices(shape)
    at = np.einsum("ij,jxyz->ixyz", affine[:3, :3], g - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2)
    r = np.sqrt(((at / np.array([62, 76, 58]).reshape(3, 1, 1, 1)) ** 2).sum(0))
    spot = np.exp(-((at - np.array([20, 10, 12]).reshape(3, 1, 1, 1)) ** 2).sum(0) / (2 * 15.0 ** 2))
    x = base + bright * spot + 40 * np.sin(at[0] / 12) * np.cos(at[1] / 14) + smooth * rng.normal(size=shape) * 20
    return np.where(r < 1, x, 0).astype("i2"), r < 1


def turned(spacing, angles, order=(0, 1, 2), flips=(1, 1, 1)):
    a, b = angles
    rz = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    rx = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    columns = (rz @ rx)[:, list(order)] * np.array(flips) * np.array(spacing)
    out = np.eye(4)
    out[:3, :3] = columns
    out[:3, 3] = [-31.7, 18.2, 44.9]
    return out


manifest = {"format": 1, "name": "own", "channels": [{"role": "flair", "files": ["{subject}/flair.nii.gz"]}],
            "mask": {"files": ["{subject}/mask.nii.gz"], "required": False},
            "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "background", "7": "lesion"}}, "regions": [{"name": "WT", "values": [7]}],
            "split": {"seed": 1, "test": 0, "folds": 2}}
json.dump(manifest, open("m.json", "w"))
for k in range(4):
    x, inside = scan((40, 44, 38), turned((4, 4, 4), (0, 0)))
    os.makedirs("train/s%d" % k)
    nib.save(nib.Nifti1Image(x, turned((4, 4, 4), (0, 0))), "train/s%d/flair.nii.gz" % k)
    nib.save(nib.Nifti1Image((x > 600).astype("u1") * 7, turned((4, 4, 4), (0, 0))), "train/s%d/seg.nii.gz" % k)
for args in (("skullstrip-normalize", "--scans", "train", "--manifest", "m.json", "--out", "n"),
             ("crop-patch", "--normed", "n", "--labels", "train", "--manifest", "m.json", "--out", "p"),
             ("train", "--patches", "p", "--model", "meshnet", "--network", json.dumps({"channels": 1, "dilations": [1], "norm": "none", "act": "relu"}),
              "--patch", "16", "--steps", "1", "--validate-every", "1", "--max-validation", "1", "--fold", "0", "--out", "t")):
    rc, text = run(*args)
    if rc:
        print("not ok - %s: %s" % (args[0], text))
        sys.exit(1)


def checkpoint(name, spacing, **settings):
    """The trained one with weights that threshold, and the spacing (along R, A, S) and settings that are asked for."""
    os.makedirs(name)
    j = json.load(open("t/checkpoint.json"))
    j["settings"].update(settings)
    j["spacing_mm"] = list(spacing)[::-1]
    json.dump(j, open(name + "/checkpoint.json", "w"))
    raw = open("t/best.safetensors", "rb").read()
    n = int.from_bytes(raw[:8], "little")
    header, body = json.loads(raw[8:8 + n]), bytearray(raw[8 + n:])
    kernel = np.zeros((1, 1, 3, 3, 3), "f4")
    kernel[0, 0, 1, 1, 1] = 1
    for key, value in {"model.0.0.weight": kernel, "model.0.0.bias": np.zeros(1, "f4"), "model.1.weight": np.ones((1, 1, 1, 1, 1), "f4"),
                       "model.1.bias": np.array([-threshold], "f4")}.items():
        a, b = header[key]["data_offsets"]
        body[a:b] = value.astype("<f4").tobytes()
    for f in ("best", "last"):
        open("%s/%s.safetensors" % (name, f), "wb").write(raw[:8 + n] + bytes(body))
    open(name + "/history.csv", "w").write(open("t/history.csv").read())
    return name


def predict(name, x, affine, model, mask=None, **kw):
    os.makedirs("%s-scans/one" % name)
    nib.save(nib.Nifti1Image(x, affine), "%s-scans/one/flair.nii.gz" % name)
    if mask is not None:
        nib.save(nib.Nifti1Image(mask.astype("u1"), affine), "%s-scans/one/mask.nii.gz" % name)
    rc, text = run("predict", "--model", model, "--scans", name + "-scans", "--manifest", "m.json", "--out", name, **kw)
    return (None, text) if rc else (nib.load(name + "/one/seg.nii.gz"), text)


cases = {"straight": ((70, 60, 66), turned((2.5, 2.5, 2.5), (0, 0)), (2.5, 2.5, 2.5)),
         "oblique by 20 and 15 degrees": ((66, 74, 60), turned((2.2, 2.2, 2.2), (0.35, 0.26)), (2.2, 2.2, 2.2)),
         "oblique, 1.6 x 1.8 x 5 mm": ((90, 96, 28), turned((1.6, 1.8, 5), (0.2, -0.3)), (1.6, 1.8, 5)),
         "sagittal, mirrored, oblique, 1.7 x 2 x 4 mm": ((92, 70, 36), turned((1.7, 2, 4), (-0.25, 0.1), (1, 2, 0), (-1, -1, 1)), (4, 1.7, 2))}
for i, (what, (shape, affine, canonical)) in enumerate(cases.items()):
    x, inside = scan(shape, affine)
    v = x[x != 0].astype("f8")
    z = (x - v.mean()) / v.std()
    want = (x != 0) & (z > threshold)
    unsure = np.abs(z - threshold) < 1e-5
    img, text = predict("case%d" % i, x, affine, checkpoint("model%d" % i, canonical), x != 0)
    got = np.asarray(img.dataobj) if img else np.zeros(1)
    good = img is not None and got.shape == x.shape and np.array_equal((got == 7)[~unsure], want[~unsure]) and set(np.unique(got)) == {0, 7}
    say(good and want.sum() > 500, "%s: all %d voxels of the lesion lie where numpy has them, none elsewhere" % (what, want.sum()), (text, got.shape))
    say(img is not None and np.allclose(img.affine, nib.load("case%d-scans/one/flair.nii.gz" % i).affine, atol=1e-6), "%s: nibabel reads the scan's own affine" % what,
        img and img.affine)

shape, affine = (90, 96, 28), turned((1.6, 1.8, 5), (0.2, -0.3))
x, inside = scan(shape, affine, smooth=0)
v = x[x != 0].astype("f8")
want = (x != 0) & ((x - v.mean()) / v.std() > threshold)
img, text = predict("cubes", x, affine, checkpoint("model-cubes", (2, 2, 2)), x != 0)
got = np.asarray(img.dataobj) == 7 if img else want & False
dice = 2 * (got & want).sum() / (got.sum() + want.sum())
say(img is not None and dice > 0.95 and np.allclose(img.affine, nib.load("cubes-scans/one/flair.nii.gz").affine, atol=1e-6),
    "a network of 2 mm cubes on the oblique scan: back on its voxels, Dice %.4f" % dice, text)
home = os.getcwd()
os.makedirs("elsewhere")
one = subprocess.run([B + "/bin/predict", "--model", home + "/model-cubes", "--scans", "../cubes-scans", "--manifest", home + "/m.json", "--out", "again"],
                     cwd="elsewhere", capture_output=True, text=True, env=dict(os.environ, VOXTRAIL_THREADS="1"))
same = one.returncode == 0 and open("elsewhere/again/one/seg.nii.gz", "rb").read() == open("cubes/one/seg.nii.gz", "rb").read()
say(same, "one thread, another directory: the same bytes", one.stderr[-400:])

# A checkpoint whose brains a network found does not take those of the surface; stripped scans need neither.
shape, affine = (64, 70, 62), turned((3, 3, 3), (0, 0))
x, inside = scan(shape, affine, base=500, bright=380)
far = nd.distance_transform_edt(~inside, sampling=3)
head = np.where(inside, x, np.where(far < 8, 20, np.where(far < 14, 500, 5)))
learned = checkpoint("model-learned", (3, 3, 3), learned="mindgrab")
img, text = predict("head", head.astype("i2"), affine, learned)
say(img is None and '\\"mindgrab\\"' in text and "stripped scans" in text, "brains found otherwise than in training are refused", text)
img, text = predict("bare", x, affine, learned)
say(img is not None, "stripped scans are taken", text)
