"""What a manifest may say and what is refused: names of channels, sessions, patients, split tables, kinds of values; who is found when a
channel is missing; headers and grids that contradict each other."""
import collections, json, os, struct, subprocess
import nibabel as nib
import numpy as np
from _checks import say

T, B, ROOT = os.environ["T"], os.environ["B"], os.environ["ROOT"]
os.chdir(T)
rng = np.random.default_rng(7)
AFFINE = np.diag([-6.0, -6, 6, 1])
G = np.indices((26, 30, 24)) - np.array([13, 15, 12])[:, None, None, None]
R = np.sqrt((G[0] / 11) ** 2 + (G[1] / 13.5) ** 2 + (G[2] / 10) ** 2)
TISSUE = 400 + 120 * np.sin(G[0] / 3) * np.cos(G[1] / 4)


def save(path, x, affine=AFFINE):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    nib.save(nib.Nifti1Image(x, affine), path)


def scan(path, affine=AFFINE):
    save(path, np.where(R < 1, TISSUE + rng.normal(0, 5, R.shape), 0).astype("i2"), affine)


def seg(path):
    save(path, np.select([R < 0.2, R < 0.3, R < 0.4], [4, 1, 2]).astype("u1"))


def manifest(name, roles, **keys):
    j = {"format": 1, "name": "m", "channels": [{"role": r, "files": [f]} if isinstance(f, str) else dict(role=r, **f) for r, f in roles.items()],
         "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "b", "1": "n", "2": "o", "4": "e"}},
         "regions": [{"name": "WT", "values": [1, 2, 4]}, {"name": "TC", "values": [1, 4]}], "split": {"seed": 1, "test": 0.25, "folds": 2}}
    j.update(keys)
    j = {k: v for k, v in j.items() if v is not None}
    json.dump(j, open(name, "w"))
    return name


def run(name, *args):
    p = subprocess.run([B + "/bin/" + name, *args], capture_output=True, text=True)
    return p.returncode, p.stderr


def strip(scans, m, out, *more):
    rc, text = run("skullstrip-normalize", "--scans", scans, "--manifest", m, "--out", out, "--spacing", "-1", *more)
    done = sorted(d for d in os.listdir(out) if os.path.isdir(out + "/" + d) and d not in ("quarantine", ".lineage")) if os.path.isdir(out) else []
    bad = {f[:-5]: open(out + "/quarantine/" + f).read() for f in sorted(os.listdir(out + "/quarantine"))} if os.path.isdir(out + "/quarantine") else {}
    return rc, done, bad, text


# --- the first channel is missing, flat layout
for name in ("A_FLAIR", "A_T1", "B_T1"):
    scan("flat/%s.nii.gz" % name)
m = manifest("flat.json", {"flair": "{subject}_FLAIR.nii.gz", "t1": "{subject}_T1.nii.gz"})
rc, done, bad, text = strip("flat", m, "flat-out")
say(rc == 65 and done == ["A"] and list(bad) == ["B"] and "flair" in bad["B"], "whoever lacks the first channel is quarantined", (rc, done, bad, text[-300:]))

# --- contrast T1 in its spellings
for k, name in enumerate(("sub-01_ce-gadolinium_T1w", "sub-01_t1_ce", "sub-01_T1_Gd", "sub-01_t1c", "sub-01_T1post", "sub-01_T1wCE", "sub-01_T1_C")):
    scan("ce%d/sub-01/sub-01_T1w.nii.gz" % k)
    scan("ce%d/sub-01/%s.nii.gz" % (k, name))
    roles = {"t1w": "{subject}/{subject}_T1w.nii.gz", "t1ce": "{subject}/%s.nii.gz" % name}
    rc, done, bad, text = strip("ce%d" % k, manifest("ce.json", roles), "ce-out%d" % k)
    rc2, done2, bad2, _ = strip("ce%d" % k, manifest("ce2.json", {"t1": "{subject}/%s.nii.gz" % name}), "ce-bad%d" % k)
    rc3, done3, _, _ = strip("ce%d" % k, manifest("ce3.json", {"t1": {"files": ["{subject}/%s.nii.gz" % name], "any_name": True}}), "ce-any%d" % k)
    say(rc == 0 and rc2 == 65 and "contrast" in str(bad2) and rc3 == 0, "%s is T1 with contrast: taken for t1ce, refused for t1, taken on \"any_name\"" % name, (rc, text[-300:], rc2, bad2, rc3))

# --- BIDS sessions and runs
for p, s in (("01", "1"), ("01", "2"), ("02", "1")):
    scan("bids/sub-%s/ses-%s/anat/sub-%s_ses-%s_run-1_FLAIR.nii.gz" % (p, s, p, s))
os.makedirs("bids/sub-03/ses-1/anat")
os.makedirs("bids/derivatives/x")
open("bids/dataset_description.json", "w").write("{}")
pattern = "sub-{patient}/ses-{session}/anat/{subject}_FLAIR.nii.gz"
m = manifest("bids.json", {"flair": pattern}, subject="sub-{patient}_ses-{session}_run-{run}")
rc, done, bad, text = strip("bids", m, "bids-out")
say(rc == 65 and done == ["sub-01_ses-1_run-1", "sub-01_ses-2_run-1", "sub-02_ses-1_run-1"] and len(bad) == 1, "BIDS sessions and runs are subjects of one patient, an empty one is named", (rc, done, bad, text[-300:]))

# --- patients stay together
for p in range(12):
    for t in range(2):
        d = "people/BraTS-GLI-%05d-%03d" % (p, t)
        scan(d + "/flair.nii.gz")
        seg(d + "/seg.nii.gz")
m = manifest("people.json", {"flair": "{subject}/flair.nii.gz"}, subject="BraTS-{patient}-{session}")
strip("people", m, "people-n")


def places(out, *more):
    rc, text = run("crop-patch", "--normed", "people-n", "--labels", "people", "--out", out, *more)
    at = collections.defaultdict(set)
    for d in sorted(os.listdir(out)) if os.path.isdir(out) else []:
        path = "%s/%s/subject.vtp" % (out, d)
        if os.path.exists(path):
            raw = open(path, "rb").read()
            h = json.loads(raw[16:16 + int.from_bytes(raw[8:16], "little")])
            at[h["patient"]].add((h["test"], h["fold"]))
    return rc, at, text


rc, at, text = places("people-p", "--manifest", m)
say(rc == 0 and len(at) == 12 and all(len(v) == 1 for v in at.values()) and len({v for s in at.values() for v in s}) >= 2,
    "two visits of a patient lie on one side", (rc, at, text[-300:]))
ids = sorted(d for d in os.listdir("people"))
m2 = manifest("table.json", {"flair": "{subject}/flair.nii.gz"}, patients={i: i[:15] for i in ids})
rc, at2, _ = places("people-p2", "--manifest", m2)
say(rc == 0 and len(at2) == 12 and all(len(v) == 1 for v in at2.values()), "a table of patients does the same", (rc, at2))
table = {i: "test" if int(i[10:15]) < 3 else int(i[10:15]) % 2 for i in ids}
m3 = manifest("given.json", {"flair": "{subject}/flair.nii.gz"}, subject="BraTS-{patient}-{session}", split={"folds": 2, "subjects": table})
rc, at3, _ = places("people-p3", "--manifest", m3)
say(rc == 0 and sum((True, 0) in v for v in at3.values()) == 3 and at3["GLI-00004"] == {(False, 0)} and at3["GLI-00005"] == {(False, 1)}, "a published split is taken", (rc, at3))
split = dict(table)
split[ids[-1]] = "test"
rc, _, text = places("x1", "--manifest", manifest("bad.json", {"flair": "{subject}/flair.nii.gz"}, subject="BraTS-{patient}-{session}", split={"folds": 2, "subjects": split}))
say(rc == 65 and "GLI-00011" in text, "a table that splits a patient is refused", (rc, text[-300:]))
del table[ids[0]]
rc, _, text = places("x2", "--manifest", manifest("bad.json", {"flair": "{subject}/flair.nii.gz"}, split={"folds": 2, "subjects": table}))
say(rc == 65 and ids[0] in text and "split" in text, "a subject that the table does not name is refused", (rc, text[-300:]))

# --- values of the wrong kind
roles = {"flair": "{subject}/flair.nii.gz"}
for what, keys in (("two spacings", {"spacing_mm": [2, 2]}), ("one spacing", {"spacing_mm": 1}), ("a spacing in words", {"spacing_mm": "2mm"}), ("folds as a text", {"split": {"folds": "2"}}),
                   ("a seed as a text", {"split": {"seed": "7"}}), ("a test share as a text", {"split": {"test": "0.2"}}), ("a region twice", {"regions": [{"name": "WT", "values": [1]}, {"name": "WT", "values": [2]}]}),
                   ("a region's value twice", {"regions": [{"name": "WT", "values": [1, 1]}]}), ("an unknown key of a region", {"regions": [{"name": "WT", "values": [1], "shade": "red"}]}),
                   ("an unknown placeholder", {"channels": [{"role": "flair", "files": ["{patient}/flair.nii.gz"]}]}), ("a pattern twice", {"channels": [{"role": "flair", "files": ["{subject}/f.nii", "{subject}/f.nii"]}]}),
                   ("a frame as a text", {"channels": [{"role": "flair", "files": ["{subject}/f.nii"], "frame": "1"}]}), ("required as a text", {"mask": {"files": ["{subject}/m.nii"], "required": "no"}}),
                   ("label values as a list", {"label": {"files": ["{subject}/seg.nii.gz"], "values": ["b"]}}), ("a label map to an unknown value", {"label": {"files": ["{subject}/s.nii"], "values": {"0": "b"}, "map": {"2": 9}}})):
    rc, _, _, text = strip("people", manifest("wrong.json", roles, **keys), "wrong")
    say(rc == 65 and "wrong.json: /" in text, "refused: " + what, (rc, text[-200:]))
for path in sorted(os.listdir(ROOT + "/manifests")):
    rc, text = run("skullstrip-normalize", "--scans", "people", "--manifest", ROOT + "/manifests/" + path, "--out", "shipped")
    say("wrong" not in text and ": /" not in text, "the shipped %s is a valid manifest" % path, text[-300:])

# --- headers
one = {"flair": "{subject}/flair.nii"}
m = manifest("one.json", one)
scan("neg/a/flair.nii")
raw = bytearray(open("neg/a/flair.nii", "rb").read())
struct.pack_into("<hh", raw, 252, 0, 0)
struct.pack_into("<f", raw, 80, -6.0)
open("neg/a/flair.nii", "wb").write(raw)
rc, done, bad, text = strip("neg", m, "neg-out", "--orient", "native", "--margin", "-1")
codes = "".join(nib.aff2axcodes(nib.load("neg/a/flair.nii").affine))
say(rc == 0 and json.load(open("neg-out/a/geometry.json"))["placement"]["native"]["orientation"] == codes if rc == 0 else False, "a negative pixdim without forms reads as nibabel reads it (%s)" % codes, (rc, text[-300:]))
img = nib.Nifti1Image(np.where(R < 1, TISSUE, 0).astype("i2"), None)
img.set_sform(np.diag([-6.0, 6, 6, 1]), 1)
img.set_qform(np.diag([6.0, 6, 6, 1]), 1)
os.makedirs("forms/a")
nib.save(img, "forms/a/flair.nii")
rc, done, bad, _ = strip("forms", m, "forms-out")
rc2, done2, _, _ = strip("forms", m, "forms-ok", "--form-tolerance", "1000")
say(rc == 65 and "sform" in str(bad) and "qform" in str(bad) and rc2 == 0 and done2 == ["a"], "sform and qform that contradict each other are refused with both, allowed on purpose", (rc, bad, rc2))

# --- one space, other axes: turned, and equal to what came in order
two = {"flair": "{subject}/flair.nii.gz", "t1": "{subject}/t1.nii.gz"}
mask = {"files": ["{subject}/mask.nii.gz"], "required": True}
x = {r: np.where(R < 1, TISSUE + rng.normal(0, 5, R.shape), 0).astype("i2") for r in two}
L = np.select([(R < 0.2) & (G[0] > 0), R < 0.3, R < 0.4], [4, 1, 2]).astype("u1")
turned = nib.orientations.axcodes2ornt(("S", "L", "A"))
for name, turn in (("plain", False), ("turned", True)):
    for file, data in (("flair", x["flair"]), ("t1", x["t1"]), ("mask", (R < 1).astype("u1")), ("seg", L)):
        img = nib.Nifti1Image(data, AFFINE)
        if turn and file != "flair":
            img = img.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(AFFINE), turned))
        os.makedirs("%s/a" % name, exist_ok=True)
        nib.save(nib.Nifti1Image(np.asarray(img.dataobj), img.affine), "%s/a/%s.nii.gz" % (name, file))
    m = manifest("turn.json", two, mask=mask)
    rc, done, bad, text = strip(name, m, name + "-n")
    rc2, text2 = run("crop-patch", "--normed", name + "-n", "--labels", name, "--manifest", m, "--out", name + "-p")
    say(rc == 0 and rc2 == 0, "%s axes are prepared" % name, (bad, text[-200:], text2[-200:]))
same = [open("plain-n/a/%s.nii" % f, "rb").read() == open("turned-n/a/%s.nii" % f, "rb").read() for f in ("flair", "t1", "mask")]


def sections(path):
    raw = open(path, "rb").read()
    h = json.loads(raw[16:16 + int.from_bytes(raw[8:16], "little")])
    return raw[min(h["offsets"].values()):]


same.append(sections("plain-p/a/subject.vtp") == sections("turned-p/a/subject.vtp"))
say(all(same), "channels, mask and labels whose axes are only flipped and permuted give the same bytes", same)

# --- labels near whole numbers, NaN outside, a filled-up channel
scan("near/a/flair.nii.gz")
save("near/a/seg.nii.gz", L.astype("f4") * np.float32(0.99999) + np.float32(1e-5))
rc, _, _, _ = strip("near", manifest("near.json", roles), "near-n")
rc1, text1 = run("crop-patch", "--normed", "near-n", "--labels", "near", "--manifest", "near.json", "--out", "near-p1")
tolerant = manifest("near2.json", roles, label={"files": ["{subject}/seg.nii.gz"], "values": {"0": "b", "1": "n", "2": "o", "4": "e"}, "tolerance": 0.01})
rc2, text2 = run("crop-patch", "--normed", "near-n", "--labels", "near", "--manifest", tolerant, "--out", "near-p2")
say(rc1 == 65 and rc2 == 0, "labels beside whole numbers are refused, and taken within a declared tolerance", (rc1, rc2, text2[-300:]))
save("nan/a/flair.nii.gz", np.where(R < 1, TISSUE, np.nan).astype("f4"))
rc1, _, bad, _ = strip("nan", manifest("nan.json", roles), "nan-1")
rc2, done, _, text = strip("nan", "nan.json", "nan-2", "--nan", "background")
method = json.load(open("nan-2/a/geometry.json"))["mask"]["method"] if rc2 == 0 else text[-300:]
say(rc1 == 65 and "NaN" in str(bad) and method == "stripped", "NaN is refused, and is the outside where --nan background says so", (rc1, bad, method))
scan("zero/a/flair.nii.gz")
save("zero/a/t1.nii.gz", np.zeros(R.shape, "i2"))
save("zero/a/mask.nii.gz", (R < 1).astype("u1"))
rc, done, bad, _ = strip("zero", manifest("zero.json", two, mask=mask), "zero-n")
say(rc == 65 and "missing" in str(bad) and "t1" in str(bad), "a channel that is one value is a missing sequence", (rc, bad))
os.makedirs("other/a", exist_ok=True)
for content, word in ((b"\x89PNG\r\n", "PNG"), (b"PK\3\4 ", "zip"), (b"<!DOCTYPE html>", "HTML"), (b"NRRD0004\n", "NRRD"), (b"ObjectType = Image\nNDims = 3\n", "MetaImage"), (bytes(128) + b"DICM", "DICOM")):
    open("other/a/flair.nii.gz", "wb").write(content + bytes(600))
    rc, _, bad, text = strip("other", manifest("other.json", roles), "other-" + word)
    say(rc == 65 and word in str(bad), "a file that is %s says so" % word, (rc, bad))

# --- every mask is judged
save("judge/a/mask.nii.gz", ((R < 1) & ~((R > 0.3) & (R < 0.55))).astype("u1"))
scan("judge/a/flair.nii.gz")
rc, _, _, text = strip("judge", manifest("judge.json", roles, mask=mask), "judge-n")
flags = json.load(open("judge-n/a/geometry.json"))["mask"]["flags"]
say(rc == 0 and any("hole" in f for f in flags) and "holes" in text, "a given mask with holes is flagged, in geometry.json and on the screen", (flags, text[-200:]))
rc, _, bad, _ = strip("judge", "judge.json", "judge-r", "--implausible", "refuse")
say(rc == 65 and "hole" in str(bad), "and refused where --implausible refuse asks for it", (rc, bad))
