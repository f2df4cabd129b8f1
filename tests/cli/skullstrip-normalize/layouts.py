"""Layouts of cohorts: channels as volumes of one 4-D file (the Decathlon's Task01 as unpacked), brain masks given as files, the median
spacing of a cohort with labels resampled along, and what is refused."""
import json, os, subprocess
import numpy as np
import nibabel as nib
from _checks import say

T, ROOT, B = os.environ["T"], os.environ["ROOT"], os.environ["B"]
rng = np.random.default_rng(5)


def stage(name, out, *args):
    p = subprocess.run([B + "/bin/" + name, "--out", T + "/" + out, *args], capture_output=True, text=True)
    return p.returncode, p.stderr


def save(path, x, affine):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    nib.save(nib.Nifti1Image(x, affine), path)


def manifest(name, **keys):
    j = {"format": 1, "name": name, "channels": [{"role": "flair", "files": ["{subject}/flair.nii.gz"]}]}
    j.update(keys)
    path = "%s/%s.json" % (T, name)
    json.dump(j, open(path, "w"))
    return path


def brain(shape, mm):
    g = np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) / 2
    g = g * np.array(mm).reshape(3, 1, 1, 1)
    r = np.sqrt((g[0] / 62) ** 2 + (g[1] / 76) ** 2 + (g[2] / 58) ** 2)
    return r, 300 + 100 * np.sin(g[0] / 9) * np.cos(g[1] / 11) * np.sin(g[2] / 8)


# --- one 4-D file a subject
shape, affine = (70, 80, 66), np.diag([-2.0, -2, 2, 1])
r, tissue = brain(shape, (2, 2, 2))
channels = [np.where(r < 1, tissue * (1 + k) + rng.normal(0, 5, shape), 0).astype("f4") for k in range(4)]
labels = np.where(r < 0.3, 3, np.where(r < 0.4, 2, np.where(r < 0.5, 1, 0))).astype("u1")
save(T + "/msd/imagesTr/BRATS_001.nii.gz", np.stack(channels, -1), affine)
open(T + "/msd/imagesTr/._BRATS_001.nii.gz", "w").write("what a Mac leaves behind\n")
save(T + "/msd/labelsTr/BRATS_001.nii.gz", labels, affine)
json.dump({"name": "BRATS"}, open(T + "/msd/dataset.json", "w"))
for k, role in enumerate(("flair", "t1", "t1ce", "t2")):
    save(T + "/plain/BRATS_001/%s.nii.gz" % role, channels[k], affine)
save(T + "/plain/BRATS_001/seg.nii.gz", labels, affine)
task = ROOT + "/manifests/msd-task01.json"
j = json.load(open(task))
for c in j["channels"]:
    c["files"] = ["{subject}/%s.nii.gz" % c["role"]]
    del c["frame"]
j["label"]["files"] = ["{subject}/seg.nii.gz"]
json.dump(j, open(T + "/plain.json", "w"))
one = stage("skullstrip-normalize", "n4d", "--scans", T + "/msd", "--manifest", task)
two = stage("skullstrip-normalize", "n3d", "--scans", T + "/plain", "--manifest", T + "/plain.json")
same = [f for f in ("flair.nii", "t1.nii", "t1ce.nii", "t2.nii", "mask.nii", "qc.png")
        if one[0] == 0 == two[0] and open("%s/n4d/BRATS_001/%s" % (T, f), "rb").read() == open("%s/n3d/BRATS_001/%s" % (T, f), "rb").read()]
say(len(same) == 6, "volumes of one 4-D file give what four files give", (one, two, same))
rc, text = stage("skullstrip-normalize", "n4s", "--scans", T + "/msd/imagesTr", "--manifest", task)
say(rc == 0 and os.path.exists(T + "/n4s/BRATS_001/flair.nii"), "the same from imagesTr itself", text)
rc, text = stage("crop-patch", "p4d", "--normed", T + "/n4d", "--labels", T + "/msd", "--manifest", task)
say(rc == 0 and os.path.exists(T + "/p4d/BRATS_001/subject.vtp"), "crop-patch finds its label map", text)
j = json.load(open(task))
j["channels"][3]["frame"] = 4
json.dump(j, open(T + "/frame4.json", "w"))
rc, text = stage("skullstrip-normalize", "x1", "--scans", T + "/msd", "--manifest", T + "/frame4.json")
say(rc == 65 and "4 frames" in text and "frame 4" in text, "a volume that is not there is named", (rc, text))
j["channels"][3]["frame"] = 0
json.dump(j, open(T + "/twice.json", "w"))
rc, text = stage("skullstrip-normalize", "x2", "--scans", T + "/msd", "--manifest", T + "/twice.json")
say(rc == 65 and "as flair and as t2" in text, "one volume under two roles is refused", (rc, text))
rc, text = stage("skullstrip-normalize", "x3", "--scans", T + "/msd/imagesTr", "--manifest",
                 manifest("single", channels=[{"role": "flair", "files": ["{subject}.nii.gz"]}]))
say(rc == 65 and "4 frames" in text, "a 4-D file without a frame is refused", (rc, text))

# --- masks as files
head = np.where(r < 1, tissue, np.where(r < 1.1, 500, 5)) + rng.normal(0, 3, shape)
given = (r < 0.8)
given[:4, :4, :4] = True
save(T + "/heads/a/flair.nii.gz", head.astype("f4"), affine)
save(T + "/heads/a/brain.nii.gz", given.astype("f4") * 0.5, affine)
save(T + "/heads/b/flair.nii.gz", head.astype("f4"), affine)
strict = manifest("strict", mask={"files": ["{subject}/brain.nii.gz"]})
lenient = manifest("lenient", mask={"files": ["{subject}/brain.nii.gz"], "required": False})
rc, text = stage("skullstrip-normalize", "m1", "--scans", T + "/heads", "--manifest", strict, "--margin", "-1", "--orient", "native")
mask = nib.load(T + "/m1/a/mask.nii").get_fdata() > 0
facts = json.load(open(T + "/m1/a/geometry.json"))["mask"]
say(rc == 65 and np.array_equal(mask, given) and facts["method"] == "given", "a given mask is taken as it is", (rc, facts))
say(not os.path.exists(T + "/m1/b") and "brain mask" in open(T + "/m1/quarantine/b.json").read(), "a subject without its mask is quarantined")
rc, text = stage("skullstrip-normalize", "m2", "--scans", T + "/heads", "--manifest", lenient)
methods = [json.load(open("%s/m2/%s/geometry.json" % (T, s)))["mask"]["method"] for s in "ab"]
say(rc == 0 and methods == ["given", "surface"], "or its brain is found, if masks are not required", (rc, text, methods))
save(T + "/heads/a/brain.nii.gz", given.astype("u1"), affine + np.array([[0, 0, 0, 4.0]] + [[0] * 4] * 3))
rc, text = stage("skullstrip-normalize", "m3", "--scans", T + "/heads", "--manifest", lenient)
say(rc == 65 and "mm apart" in text, "a mask on another grid is refused", (rc, text))
save(T + "/heads/a/brain.nii.gz", np.zeros(shape, "u1"), affine)
rc, text = stage("skullstrip-normalize", "m4", "--scans", T + "/heads", "--manifest", lenient)
say(rc == 65 and "no brain found (method given)" in text, "an empty mask is refused", (rc, text))
rc, text = stage("skullstrip-normalize", "m5", "--scans", T + "/heads", "--manifest", lenient, "--method", "learned")
say(rc == 64 and "--weights" in text, "--method learned without weights is a usage error", (rc, text))

# --- median spacing; labels go along
mms = {"a": (1.5, 2, 3), "b": (2, 2, 4), "c": (2.5, 2.5, 2.5)}
for name, mm in mms.items():
    size = [int(160 / v) for v in mm]
    r, tissue = brain(size, mm)
    # Stored as S, L, A: the median is along the anatomical axes, not the file's.
    turn = lambda x: np.ascontiguousarray(x[::-1].transpose(2, 0, 1))
    a = np.zeros((4, 4))
    a[2, 0], a[0, 1], a[1, 2], a[3, 3] = mm[2], -mm[0], mm[1], 1
    save(T + "/mixed/%s/flair.nii.gz" % name, turn(np.where(r < 1, tissue, 0).astype("i2")), a)
    save(T + "/mixed/%s/seg.nii.gz" % name, turn((r < 0.5).astype("u1")), a)
labeled = manifest("mixed", label={"files": ["{subject}/seg.nii.gz"], "values": {"0": "background", "1": "tumour"}}, regions=[{"name": "WT", "values": [1]}])
rc, text = stage("skullstrip-normalize", "med", "--scans", T + "/mixed", "--manifest", labeled, "--grid", "median")
zooms = [nib.load("%s/med/%s/flair.nii" % (T, s)).header.get_zooms() for s in mms]
say(rc == 0 and np.allclose(zooms, [(2, 2, 3)] * 3, atol=1e-3), "--grid median: every subject at the median along R, A, S", (rc, text, zooms))
rc, text = stage("crop-patch", "medp", "--normed", T + "/med", "--labels", T + "/mixed", "--manifest", labeled)
volume = []
for s in mms if rc == 0 else []:
    raw = open("%s/medp/%s/subject.vtp" % (T, s), "rb").read()
    h = json.loads(raw[16:16 + int.from_bytes(raw[8:16], "little")])
    n = int(np.prod(h["dims"][-3:]))
    lab = np.frombuffer(raw, "u1", n, h["offsets"]["labels"])
    volume.append(lab.sum() * np.prod(h["spacing_mm"]) / 1000)
want = 4 / 3 * np.pi * 31 * 38 * 29 / 1000
say(rc == 0 and np.allclose(volume, want, rtol=0.03), "label maps are resampled with their scans: volumes within 3 %% of %.1f ml" % want, (rc, text, volume))
