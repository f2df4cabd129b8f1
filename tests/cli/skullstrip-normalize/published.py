"""Every shipped manifest on a directory laid out as its data set is published, names and files made here: prepared, cropped, no stranger
quarantined; and the pipelines' join of scans with label maps by subject."""
import json, os, subprocess
import nibabel as nib
import numpy as np
from _checks import say

T, B, ROOT = os.environ["T"], os.environ["B"], os.environ["ROOT"]
os.chdir(T)
rng = np.random.default_rng(8)
AFFINE = np.diag([-6.0, -6, 6, 1])
G = np.indices((26, 30, 24)) - np.array([13, 15, 12])[:, None, None, None]
R = np.sqrt((G[0] / 11) ** 2 + (G[1] / 13.5) ** 2 + (G[2] / 10) ** 2)


def save(path, x):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    nib.save(nib.Nifti1Image(x, AFFINE), path)


def scan(k=0):
    return np.where(R < 1, 400 + 40 * k + 120 * np.sin(G[0] / 3) * np.cos(G[1] / 4) + rng.normal(0, 5, R.shape), 0).astype("i2")


def seg(values):
    return np.select([R < 0.2, R < 0.3, R < 0.4], values).astype("i2")


def run(name, *args):
    p = subprocess.run([B + "/bin/" + name, *args], capture_output=True, text=True)
    return p.returncode, p.stderr


def check(manifest, root, want, labels=None):
    m, out = "%s/manifests/%s.json" % (ROOT, manifest), root.replace("/", "_")
    rc, text = run("skullstrip-normalize", "--scans", root, "--manifest", m, "--spacing", "-1", "--out", out + "-n", *(("--strip", "never") if manifest == "msd-task03" else ()))
    rc2, text2 = run("crop-patch", "--normed", out + "-n", "--labels", labels or root, "--manifest", m, "--out", out + "-p")
    got = sorted(d for d in os.listdir(out + "-p") if os.path.exists("%s-p/%s/subject.vtp" % (out, d))) if os.path.isdir(out + "-p") else []
    say(rc == 0 and rc2 == 0 and got == sorted(want), "%s as published: %s" % (manifest, root), (rc, rc2, got, text[-500:], text2[-300:]))


for year, top, name, ext in (("2018", "HGG/", "Brats18_2013_2_1", ".nii.gz"), ("2019", "LGG/", "BraTS19_TCIA09_141_1", ".nii.gz"), ("2020", "", "BraTS20_Training_001", ".nii"), ("2021", "", "BraTS2021_00000", ".nii.gz")):
    for k, c in enumerate(("flair", "t1", "t1ce", "t2")):
        save("brats%s/%s%s/%s_%s%s" % (year, top, name, name, c, ext), scan(k))
    save("brats%s/%s%s/%s_seg%s" % (year, top, name, name, ext), seg([4, 1, 2]))
    check("brats-2018-2021", "brats" + year, [name])
for year, names, labels, m in (("2023", ("BraTS-GLI-00006-000", "BraTS-GLI-00006-001", "BraTS-MEN-00004-000"), [3, 1, 2], "brats-2023"), ("2024", ("BraTS-GLI-00005-100", "BraTS-GLI-00005-101"), [3, 4, 2], "brats-2024-gli")):
    for name in names:
        for k, c in enumerate(("t2f", "t1n", "t1c", "t2w")):
            save("brats%s/%s/%s-%s.nii.gz" % (year, name, name, c), scan(k))
        save("brats%s/%s/%s-seg.nii.gz" % (year, name, name), seg(labels))
    check(m, "brats" + year, names)
for name in ("HG_0001", "LG_0002"):
    for k, c in enumerate(("flair", "t1ce")):
        save("brats2013/%s/%s.nii.gz" % (name, c), ((scan(k) - 400) / 100.0).astype("f4"))
    save("brats2013/%s/seg_0to4.nii.gz" % name, seg([4, 1, 3]).astype("f4"))
check("brats-2013", "brats2013", ("HG_0001", "LG_0002"))
for name in ("UCSF-PDGM-0004", "UCSF-PDGM-0005"):
    for k, c in enumerate(("FLAIR", "FLAIR_bias", "SWI", "SWI_bias", "T1", "T1_bias", "T1c", "T1c_bias", "T2", "T2_bias", "ADC", "DWI", "ASL")):
        save("ucsf/%s_nifti/%s_%s.nii.gz" % (name, name, c), scan(k % 5))
    save("ucsf/%s_nifti/%s_brain_segmentation.nii.gz" % (name, name), (R < 1).astype("u1"))
    save("ucsf/%s_nifti/%s_tumor_segmentation.nii.gz" % (name, name), seg([4, 1, 2]))
check("ucsf-pdgm", "ucsf", ("UCSF-PDGM-0004", "UCSF-PDGM-0005"))
for task, name, channels, labels in (("task01", "BRATS_001", 4, [3, 2, 1]), ("task03", "liver_0", 1, [2, 1, 1])):
    x = np.stack([scan(k) for k in range(channels)], -1)
    save("%s/imagesTr/%s.nii.gz" % (task, name), x if channels > 1 else x[..., 0])
    save("%s/imagesTs/%s.nii.gz" % (task, name.replace("1", "485").replace("_0", "_132")), x if channels > 1 else x[..., 0])
    save("%s/labelsTr/%s.nii.gz" % (task, name), seg(labels))
    open("%s/imagesTr/._%s.nii.gz" % (task, name), "w").write("left by a Mac\n")
    json.dump({"name": task, "labels": {}}, open(task + "/dataset.json", "w"))
    check("msd-" + task, task, [name])
    check("msd-" + task, task + "/imagesTr", [name], task + "/labelsTr")
for name in ("OASIS-TRT-20-1", "MMRR-21-2"):
    save("mindboggle/%s/t1weighted.nii.gz" % name, scan())
    save("mindboggle/%s/t1weighted_brain.nii.gz" % name, scan())
    save("mindboggle/%s/labels.DKT31.manual.nii.gz" % name, seg([2035, 1002, 1011]))
    save("mindboggle/%s/labels.DKT31.manual+aseg.nii.gz" % name, np.select([R < 0.1, R < 0.4, R < 0.6, R < 0.8, R < 1], [4, 2, 10, 1024, 2030]).astype("i2"))
check("mindboggle", "mindboggle", ("OASIS-TRT-20-1", "MMRR-21-2"))
for p, s in (("01", "pre"), ("01", "post"), ("02", "pre")):
    d, n = "bids/sub-%s/ses-%s/anat" % (p, s), "sub-%s_ses-%s" % (p, s)
    for k, c in enumerate(("FLAIR", "T1w", "ce-gadolinium_T1w", "T2w")):
        save("%s/%s_%s.nii.gz" % (d, n, c), scan(k))
        open("%s/%s_%s.json" % (d, n, c), "w").write("{}")
    save("bids/derivatives/labels/sub-%s/ses-%s/anat/%s_dseg.nii.gz" % (p, s, n), seg([4, 1, 2]))
json.dump({"Name": "made", "BIDSVersion": "1.8.0"}, open("bids/dataset_description.json", "w"))
open("bids/participants.tsv", "w").write("participant_id\nsub-01\nsub-02\n")
check("bids", "bids", ("sub-01_ses-pre", "sub-01_ses-post", "sub-02_ses-pre"))
for name in ("case_001", "case_002"):
    for k in range(4):
        save("nnunet/imagesTr/%s_%04d.nii.gz" % (name, k), scan(k))
    save("nnunet/labelsTr/%s.nii.gz" % name, seg([3, 2, 1]))
json.dump({"channel_names": {"0": "FLAIR"}}, open("nnunet/dataset.json", "w"))
check("nnunet-raw", "nnunet", ("case_001", "case_002"))

# --- voxtrail manifest: a draft that fits what it was drafted from, and a table of what does not
def tool(*args):
    p = subprocess.run([B + "/bin/voxtrail", "manifest", *args], capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr


for root, roles, n in (("brats2021", ["flair", "t1", "t1ce", "t2"], 1), ("brats2023", ["flair", "t1", "t1ce", "t2"], 3), ("bids", ["flair", "t1", "t1ce", "t2"], 3), ("nnunet", ["flair", "image", "image_2", "image_3"], 2),
                       ("task01", None, 1), ("task03", None, 1), ("brats2013", ["flair", "t1ce"], 2)):
    if root == "nnunet":
        json.dump({"channel_names": {"0": "FLAIR", "1": "T1", "2": "T1ce", "3": "T2"}}, open("nnunet/dataset.json", "w"))
        roles = ["flair", "t1", "t1ce", "t2"]
    rc, text, remarks = tool(root)
    open("draft.json", "w").write(text)
    got = sorted(c["role"] for c in json.loads(text)["channels"]) if rc == 0 else []
    rc2, table, why = tool(root, "--check", "draft.json", "--json")
    rows = json.loads(table) if table.startswith("[") else []
    say(rc == 0 and rc2 == 0 and len(rows) == n and (roles is None or got == sorted(roles)) and all(r["label"] for r in rows), "a manifest drafted for %s fits it" % root, (rc, got, remarks, rc2, table[-300:], why))
for i in ("0004", "0005"):
    save("four/imagesTr/CASE_%s.nii.gz" % i, scan())
    save("four/labelsTr/CASE_%s.nii.gz" % i, seg([4, 1, 2]))
    for k, c in enumerate(("FLAIR", "T1", "T1_Gd", "T2")):
        save("flat/%s_%s.nii.gz" % (i, c), scan(k))
json.dump({"modality": {"0": "FLAIR"}}, open("four/dataset.json", "w"))
for root, roles in (("four", ["flair"]), ("flat", ["flair", "t1", "t1ce", "t2"])):
    text = tool(root)[1]
    open("draft.json", "w").write(text)
    rc, table, why = tool(root, "--check", "draft.json")
    say(rc == 0 and len(table.splitlines()) == 3 and sorted(c["role"] for c in json.loads(text)["channels"]) == roles, "a draft for %s: four digits of a case, T1_Gd of a channel" % root, (rc, table, why, text))
rc, text, _ = tool("brats2023")
say(json.loads(text).get("subject") == "BraTS-{patient}-{session}", "a draft knows that BraTS-GLI-00004-001 is a visit of a patient", text[:300])
save("brats2021/BraTS2021_00009/BraTS2021_00009_flair.nii.gz", scan())
rc, table, why = tool("brats2021", "--check", ROOT + "/manifests/brats-2018-2021.json")
rows = [l.split("\t") for l in table.splitlines()]
say(rc == 65 and len(rows) == 3 and rows[0][0] == "subject" and rows[1][0] == "BraTS2021_00000" and rows[1][-1] == "" and rows[1][-2] == "0,1,2,4" and "t1ce" in rows[2][-1] and "1 of 2" in why, "--check tells of each subject what was found and what is missing", (rc, rows, why))
subprocess.run(["rm", "-r", "brats2021/BraTS2021_00009"])
rc, _, why = tool("recipe-is-not-there")
say(rc == 66, "a directory that is not there is status 66", (rc, why))

# --- the pipelines join by subject
spec = json.load(open(ROOT + "/pipelines/glioma.json"))[:2]
json.dump(spec, open("two.json", "w"))
os.makedirs("recipe", exist_ok=True)
json.dump({"params": {"spacing": -1}}, open("recipe/skullstrip-normalize.json", "w"))
json.dump({}, open("recipe/crop-patch.json", "w"))


def pipeline(scans, labels, manifest):
    store = "store-" + scans.replace("/", "-") + labels.replace("/", "-")
    p = subprocess.run([B + "/bin/voxtrail", "run", "two.json", "--store", store, "--jobs", "2", "--repo", "scans=" + scans, "--repo", "labels=" + labels,
                        "--repo", "manifest=%s/manifests/%s.json" % (ROOT, manifest), "--repo", "recipe=recipe"], capture_output=True, text=True)
    out = "out-" + store
    q = subprocess.run([B + "/bin/voxtrail", "checkout", "crop-patch", out, "--store", store], capture_output=True, text=True)
    return p.returncode, sorted(d for d in os.listdir(out) if not d.startswith(".")) if os.path.isdir(out) else [], p.stderr + q.stderr


for scans, labels, manifest, want in (("ucsf", "ucsf", "ucsf-pdgm", ["UCSF-PDGM-0004", "UCSF-PDGM-0005"]), ("task01/imagesTr", "task01/labelsTr", "msd-task01", ["BRATS_001"]), ("brats2021", "brats2021", "brats-2018-2021", ["BraTS2021_00000"])):
    rc, got, text = pipeline(scans, labels, manifest)
    say(rc == 0 and got == want, "glioma.json joins scans and labels of %s by subject" % manifest, (rc, got, text[-500:]))
os.makedirs("elsewhere/other_name")
save("elsewhere/other_name/x_seg.nii.gz", seg([4, 1, 2]))
rc, got, text = pipeline("brats2021", "elsewhere", "brats-2018-2021")
say(rc != 0 and not got and "no datum comes of" in text, "labels that meet no scan: a failed job that says so", (rc, got, text[-500:]))
