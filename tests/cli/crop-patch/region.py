"""crop-patch --region: the box is that of the labels another network found, on the subject's native grid."""
import json, os, struct, subprocess
import nibabel as nib
import numpy as np
from _checks import say
ROOT, T = os.environ["ROOT"], os.environ["T"]
MAN = ROOT + "/manifests/embedded.json"


def run(*words):
    return subprocess.run(words, capture_output=True, text=True)

def container(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[8:16])[0]
    h = json.loads(raw[16:16 + n])
    return h, np.frombuffer(raw, np.uint8, int(np.prod(h["dims"])), h["offsets"]["labels"]).reshape(h["dims"])

run("make-cohort", "--out", T + "/c", "--subjects", "1", "--seed", "3")
run("skullstrip-normalize", "--scans", T + "/c/scans", "--manifest", MAN, "--out", T + "/n")
label = nib.load(T + "/c/labels/sub-001/seg.nii.gz")
data = np.asarray(label.dataobj)
at = np.argwhere(data > 0)
lo, hi = at.min(0), at.max(0)
os.makedirs(T + "/r/sub-001")
nib.save(nib.Nifti1Image((data > 0).astype(np.uint8), label.affine), T + "/r/sub-001/seg.nii.gz")
common = ["crop-patch", "--normed", T + "/n", "--labels", T + "/c/labels", "--manifest", MAN, "--margin", "0", "--multiple", "1"]
r = run(*common, "--region", T + "/r", "--out", T + "/fine")
whole = run(*common, "--out", T + "/whole")
h, labels = container(T + "/fine/sub-001/subject.vtp")
w, all_labels = container(T + "/whole/sub-001/subject.vtp")
say(r.returncode == 0 and h["dims"] == [int(x) for x in (hi - lo + 1)[::-1]], "the container has the edges of the region: %s" % h["dims"])
say((labels > 0).sum() == (data > 0).sum() and np.array_equal(np.sort(labels[labels > 0]), np.sort(data[data > 0])), "every labeled voxel is in it")
say(np.prod(h["dims"]) < np.prod(w["dims"]) / 4, "it is smaller than the brain's: %s of %s" % (h["dims"], w["dims"]))
z, y, x = (int(b) - int(a) for a, b in zip(w["box"], h["box"]))
say(np.array_equal(all_labels[z:z + h["dims"][0], y:y + h["dims"][1], x:x + h["dims"][2]], labels), "and is a part of it, where its box says")
nib.save(nib.Nifti1Image(np.zeros(data.shape, np.uint8), label.affine), T + "/r/sub-001/seg.nii.gz")
r = run(*common, "--region", T + "/r", "--out", T + "/none")
h, labels = container(T + "/none/sub-001/subject.vtp")
say(r.returncode == 0 and h.get("nothing_found") is True and "nothing-found" in r.stderr, "an empty region is named, and the container says that nothing was found")
whole = np.frombuffer(open(T + "/none/sub-001/subject.vtp", "rb").read(), np.uint8, int(np.prod(h["reference"]["size"])), h["offsets"]["reference"])
say((whole > 0).sum() == (data > 0).sum(), "the whole label map is in it all the same: all of it counts as missed")
