"""pipelines/catalyst.json at a tiny size: tissue (four networks side by side) and the 31 regions of DKT as classes, FreeSurfer's numbers
mapped."""
import csv, json, os, subprocess
import numpy as np
import nibabel as nib
from _checks import run, say

T, ROOT = os.environ["T"], os.environ["ROOT"]
os.chdir(T)


# The embedded cohort in Mindboggle's layout; FreeSurfer's labels from the template's tissue: 2 and 41 are white, 1002 .. 2035 parcels.
run("make-cohort", "--out", "c", "--subjects", "5", "--seed", "7", "--coarse")
gm, wm = (np.asarray(nib.load(ROOT + "/examples/cohort/template/colin27_%s_2mm.nii.gz" % t).dataobj)[::2, ::2, ::2] for t in ("gm", "wm"))
dkt = json.load(open(ROOT + "/manifests/mindboggle-dkt31.json"))
codes = sorted(int(k) for k in dkt["label"]["map"] if k[0] == "1")
for s in sorted(os.listdir("c/scans")):
    img = nib.load("c/scans/%s/t1.nii.gz" % s)
    os.makedirs("scans/" + s), os.makedirs("labels/" + s)
    os.rename("c/scans/%s/t1.nii.gz" % s, "scans/%s/t1weighted.nii.gz" % s)
    x, y, z = np.indices(img.shape)
    right = nib.affines.apply_affine(img.affine, np.stack([x, y, z], -1))[..., 0] > 0
    parcel = np.array(codes)[(y * 7 // img.shape[1] * 5 + z * 5 // img.shape[2]) % 31]
    label = np.where(gm > 128, parcel + 1000 * right, 0)
    nib.save(nib.Nifti1Image(label.astype("i2"), img.affine), "labels/%s/labels.DKT31.manual.nii.gz" % s)
    nib.save(nib.Nifti1Image(np.where((wm > 128) & (gm <= 128), np.where(right, 41, 2), label).astype("i2"), img.affine),
             "labels/%s/labels.DKT31.manual+aseg.nii.gz" % s)

os.makedirs("recipe"), os.makedirs("networks"), os.makedirs("two")


def recipe(path, **params):
    json.dump({"params": {k.replace("_", "-"): v for k, v in params.items()}}, open(path, "w"))


recipe("recipe/normalize-catalyst.json", strip="never", spacing=7, normalize="minmax")
recipe("recipe/crop-whole.json", box="whole", margin=0, multiple=1, dtype="f16")
recipe("recipe/evaluate-catalyst.json", subvolumes=9, subjects="validation", bootstrap=0)
recipe("recipe/compare.json", passes=1)
small = dict(activation="softmax", steps=1, validate_every=1, max_validation=1, fold=1, batch=1, optimizer="adam", schedule="one-cycle", dice=0,
             cross_entropy=1, center_sd=0.25, flips=False, scale=0, shift=0, learning_rate=0.02)
for name, extra in (("meshnet-small", dict(model="meshnet", patch="18")), ("meshnet-large", dict(model="meshnet", network={"variant": "large"}, patch="18")),
                    ("meshnet-dropout", dict(model="meshnet", network={"dropout": 0.25}, patch="18")), ("unet", dict(model="catalyst-unet", network={"width": 8}, patch="16"))):
    recipe("networks/%s.json" % name, **small, **extra)
    if name == "meshnet-small":
        recipe("two/%s.json" % name, **small, **extra)

common = ["--repo", "scans=scans", "--repo", "labels=labels", "--repo", "recipe=recipe", "--log", "json"]
log = run("voxtrail", "run", ROOT + "/pipelines/catalyst.json", "--store", "store", "--repo", "networks=networks", *common, "--checkout", "tissue")
rows = list(csv.DictReader(open("tissue/compare/compare.csv")))
say([r["name"] for r in rows] == ["meshnet-dropout", "meshnet-large", "meshnet-small", "unet"]
    and [int(r["parameters"]) for r in rows] == [72516, 820266, 72516, 393603] and all(0 <= float(r["mean_dice"]) <= 1 for r in rows)
    and float(rows[3]["bytes"]) > 5 * float(rows[2]["bytes"]),
    "tissue: four networks trained, scored by a vote and compared in one command", rows)
voxel = {r["name"]: float(r["kmac_per_voxel"]) for r in rows}
say(abs(voxel["meshnet-small"] - (27 * 21 + 6 * 27 * 21 * 21 + 21 * 3) / 1e3) < 0.01, "the work of a voxel is that of MeshNet's layers", voxel)
again = run("voxtrail", "run", ROOT + "/pipelines/catalyst.json", "--store", "store", "--repo", "networks=networks", *common)
say('"state":"success"' not in again, "tissue: then nothing")

run("voxtrail", "run", ROOT + "/pipelines/catalyst.json", "--store", "store2", "--repo", "networks=two", "--repo",
    "manifest=" + ROOT + "/manifests/mindboggle-dkt31.json", *common, "--checkout", "atlas")
rows = list(csv.DictReader(open("atlas/compare/compare.csv")))
metrics = json.load(open("atlas/evaluate/meshnet-small/metrics.json"))
c = json.load(open("atlas/train/meshnet-small/checkpoint.json"))
say([int(r["parameters"]) for r in rows] == [73132 + 22] and len(metrics["mean"]) == 31 and len(c["regions"]) == 31,
    "atlas: 31 classes of DKT out of FreeSurfer's numbers, left and right as one", [r["parameters"] for r in rows])

os.makedirs("one")
os.rename("scans/sub-001", "one/sub-001")
run("predict", "--model", "atlas/train/meshnet-small", "--scans", "one", "--manifest", ROOT + "/manifests/mindboggle-dkt31.json", "--subvolumes", "9", "--out", "maps")
maps = [np.asarray(nib.load("maps/%s/seg.nii.gz" % s).dataobj) for s in ["sub-001"]]
say(all(m.max() <= 31 for m in maps) and all(m.shape == nib.load("one/%s/t1weighted.nii.gz" % s).shape for m, s in zip(maps, ["sub-001"])),
    "predict writes class numbers in the scan's own voxels", [m.max() for m in maps])
p = subprocess.run(["predict", "--model", "atlas/train/meshnet-small", "--scans", "one", "--manifest", ROOT + "/manifests/mindboggle-dkt31.json", "--subvolumes", "3",
                    "--out", "few"], capture_output=True, text=True)
say(p.returncode == 64 and "cover" in p.stderr, "fewer sub-volumes than blocks are refused", p.stderr[-300:])
manifest = dict(dkt, regions=[dict(r, values=[1]) for r in dkt["regions"][:2]])
json.dump(manifest, open("bad.json", "w"))
p = subprocess.run(["crop-patch", "--normed", "atlas/skullstrip-normalize", "--labels", "labels", "--manifest", "bad.json", "--out", "bad"], capture_output=True, text=True)
say(p.returncode == 65 and "share a label value" in p.stderr, "exclusive regions that overlap are refused", p.stderr[-300:])
p = subprocess.run(["train", "--patches", "atlas/crop-patch", "--patch", "16", "--steps", "1", "--out", "bad2"], capture_output=True, text=True)
say(p.returncode == 65 and "softmax" in p.stderr, "sigmoids on classes are refused", p.stderr[-300:])

# --- 104 and 50 classes out of FreeSurfer's aparc+aseg, whose numbers go up to 2035
for n, count, parameters in (("104", 104, 74738), ("50", 50, 73132 + 19 * 22)):      # 104: as published; 22 weights a class
    manifest = json.load(open(ROOT + "/manifests/freesurfer-%s.json" % n))
    codes = {}
    for k, v in manifest["label"]["map"].items():
        a, _, b = k.partition("-")
        codes.update({c: v for c in range(int(a), int(b or a) + 1)})
    stored = np.array(sorted(codes))
    os.makedirs("fs%s/scans/a" % n), os.makedirs("fs%s/labels/a" % n)
    os.link("scans/sub-002/t1weighted.nii.gz", "fs%s/scans/a/T1.nii.gz" % n)
    img = nib.load("scans/sub-002/t1weighted.nii.gz")
    x, y, z = np.indices(img.shape)
    seg = np.where(gm > 64, stored[(x // 3 * 31 + y // 3 * 7 + z // 3) % len(stored)], 0)
    nib.save(nib.Nifti1Image(seg.astype("i2"), img.affine), "fs%s/labels/a/aparc+aseg.nii.gz" % n)
    about = ("--manifest", ROOT + "/manifests/freesurfer-%s.json" % n)
    run("skullstrip-normalize", "--scans", "fs%s/scans" % n, *about, "--strip", "never", "--spacing", "-1", "--orient", "native", "--normalize", "minmax", "--out", "fs%s/n" % n)
    run("crop-patch", "--normed", "fs%s/n" % n, "--labels", "fs%s/labels" % n, *about, "--box", "whole", "--margin", "0", "--multiple", "1", "--out", "fs%s/p" % n)
    raw = open("fs%s/p/a/subject.vtp" % n, "rb").read()
    head = json.loads(raw[16:16 + int.from_bytes(raw[8:16], "little")])
    at, size = head["reference"]["at"], head["reference"]["size"]
    got = np.frombuffer(raw, "u1", int(np.prod(size)), head["offsets"]["reference"]).reshape(size)
    table = np.zeros(seg.max() + 1, int)
    table[stored] = [codes[c] for c in stored]
    want = table[seg].T[tuple(slice(a, a + k) for a, k in zip(at, size))]
    run("train", "--patches", "fs%s/p" % n, "--model", "meshnet", "--activation", "softmax", "--patch", "16", "--steps", "1", "--fold", "-1", "--dice", "0", "--cross-entropy", "1",
        "--out", "fs%s/m" % n)
    c = json.load(open("fs%s/m/checkpoint.json" % n))
    say(len(np.unique(want)) == count and np.array_equal(got, want), "%s classes: numpy's map of FreeSurfer's numbers" % n, len(np.unique(want)))
    say(len(c["regions"]) == count - 1 and c["model"]["parameters"] == parameters, "%s classes: a MeshNet of the published size" % n, c["model"])
