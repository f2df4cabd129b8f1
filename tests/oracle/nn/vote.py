"""predict --subvolumes beside a network and a vote in numpy: blocks side by side with zeros around, then ones about the middle."""
import json, os, subprocess, sys
import numpy as np
import nibabel as nib
from _checks import say
sys.path.insert(0, os.path.join(os.environ["ROOT"], "tests/oracle/nn"))

T = os.environ["T"]
os.chdir(T)


def run(*args):
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if p.returncode:
        print("not ok - %s: exit %d: %s" % (" ".join(map(str, args)), p.returncode, p.stderr[-900:]))
        sys.exit(1)


def tensors(path):
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + n])
    return {k: np.frombuffer(raw[8 + n:], "<f4")[v["data_offsets"][0] // 4:v["data_offsets"][1] // 4].reshape(v["shape"])
            for k, v in header.items() if k != "__metadata__"}


rng = np.random.default_rng(2)
P, DIM = 8, (20, 17, 24)                                     # z, y, x
os.makedirs("scans/s"), os.makedirs("labels/s")
image = rng.normal(size=DIM[::-1]).astype("f4")
label = (image > 0.6).astype("u1") * 2 + (image < -0.6).astype("u1")
nib.save(nib.Nifti1Image(image, np.eye(4)), "scans/s/t1.nii.gz")
nib.save(nib.Nifti1Image(label, np.eye(4)), "labels/s/seg.nii.gz")
json.dump({"format": 1, "name": "v", "channels": [{"role": "t1", "files": ["{subject}/t1.nii.gz"]}], "exclusive": True,
           "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "none", "1": "low", "2": "high"}},
           "regions": [{"name": "low", "values": [1]}, {"name": "high", "values": [2]}], "split": {"test": 0}}, open("m.json", "w"))
run("skullstrip-normalize", "--scans", "scans", "--manifest", "m.json", "--strip", "never", "--normalize", "none", "--out", "n")
run("crop-patch", "--normed", "n", "--labels", "labels", "--manifest", "m.json", "--box", "whole", "--margin", 0, "--multiple", 1, "--out", "p")
run("train", "--patches", "p", "--model", "meshnet", "--network", json.dumps({"channels": 4, "dilations": [1, 2], "norm": "none"}), "--activation", "softmax",
    "--patch", P, "--steps", 30, "--fold", -1, "--learning-rate", 0.01, "--center-sd", 0.25, "--dice", 0, "--cross-entropy", 1, "--flips", "false", "--out", "t")
w = tensors("t/best.safetensors")


def network(block):
    """Classes of [z, y, x], zeros around."""
    x = block[None].astype("f8")
    for i, d in enumerate((1, 2)):
        k = w["model.%d.0.weight" % i].astype("f8")
        padded = np.pad(x, [(0, 0)] + [(d, d)] * 3)
        y = np.zeros((k.shape[0],) + block.shape) + w["model.%d.0.bias" % i].astype("f8")[:, None, None, None]
        for a in range(3):
            for b in range(3):
                for c in range(3):
                    part = padded[:, a * d:a * d + block.shape[0], b * d:b * d + block.shape[1], c * d:c * d + block.shape[2]]
                    y += np.tensordot(k[:, :, a, b, c], part, 1)
        x = np.maximum(y, 0)
    return (np.tensordot(w["model.2.weight"][:, :, 0, 0, 0].astype("f8"), x, 1) + w["model.2.bias"].astype("f8")[:, None, None, None]).argmax(0)


volume = image.transpose(2, 1, 0)
count = [-(-n // P) for n in DIM]
first = [int((n - c * P) / 2) for n, c in zip(DIM, count)]    # towards 0, as C divides
votes = np.zeros((3,) + DIM)
for z in range(count[0]):
    for y in range(count[1]):
        for x in range(count[2]):
            at = [f + i * P for f, i in zip(first, (z, y, x))]
            lo, hi = [max(a, 0) for a in at], [min(a + P, n) for a, n in zip(at, DIM)]
            block = np.zeros((P,) * 3)
            inner = tuple(slice(l - a, h - a) for l, h, a in zip(lo, hi, at))
            outer = tuple(slice(l, h) for l, h in zip(lo, hi))
            block[inner] = volume[outer]
            answer = network(block)
            for c in range(3):
                votes[(c,) + outer] += (answer == c)[inner]
n = int(np.prod(count))
want = votes.argmax(0)
run("predict", "--model", "t", "--scans", "scans", "--manifest", "m.json", "--subvolumes", n, "--out", "o")
got = np.asarray(nib.load("o/s/seg.nii.gz").dataobj).transpose(2, 1, 0)
say(len(np.unique(want)) > 1 and (got != want).mean() < 1e-3, "%d blocks side by side are numpy's (%d of %d voxels differ)" % (n, (got != want).sum(), want.size))
run("predict", "--model", "t", "--scans", "scans", "--manifest", "m.json", "--subvolumes", 600, "--out", "many")
run("predict", "--model", "t", "--scans", "scans", "--manifest", "m.json", "--subvolumes", 600, "--out", "again")
many = np.asarray(nib.load("many/s/seg.nii.gz").dataobj)
whole = network(volume)
inside = tuple(slice(P, d - P) for d in DIM)
say(open("many/s/seg.nii.gz", "rb").read() == open("again/s/seg.nii.gz", "rb").read(), "600 sub-volumes, more than a byte counts, give the same bytes again")
middle = tuple(slice(d // 2 - 2, d // 2 + 2) for d in DIM)
m = many.transpose(2, 1, 0)
say((m[middle] == whole[middle]).mean() > 0.95 and (m != whole).mean() <= (got != whole).mean(),
    "with more votes the answer nears that of the whole volume", ((m != whole).mean(), (got != whole).mean()))
