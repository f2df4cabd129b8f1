"""voxtrail manifest DIR: label maps and masks are known by their values, whatever their names say; flat folders; --labels."""
import json, os, shutil, subprocess
import numpy as np
from _checks import say
try:
    import nibabel as nib
except ImportError as e:
    print("skip - drafts: %s" % e); raise SystemExit
T = os.environ["T"]
os.chdir(T)
rng = np.random.default_rng(3)


def save(path, voxels):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1, 1, 1])), path)


scan = lambda: rng.integers(0, 900, (12, 12, 12)).astype(np.int16)
few = lambda values, kind=np.uint8: rng.choice(values, (12, 12, 12)).astype(kind)


def tool(*args):
    p = subprocess.run(["voxtrail", "manifest", *args], capture_output=True, text=True)
    return p.returncode, json.loads(p.stdout) if p.stdout.startswith(("{", "[")) else p.stdout, p.stderr


def draft(files, *more):
    shutil.rmtree("d", ignore_errors=True)
    for i in (1, 2):
        for name, voxels in files.items():
            save("d/P-%03d/%s" % (i, name.replace("ID", "P-%03d" % i)), voxels())
    return tool("d", *more)


roles = lambda m: [c["role"] for c in m["channels"]]
for name in ("Tumor Maske.nii.gz", "gtv.nii.gz", "roi.nii.gz", "ground_truth.nii.gz", "ID_tumor-gt.nii.gz", "answer.nii.gz"):
    for values in ([0, 1], [0, 1, 2, 4]):
        rc, m, why = draft({"flair.nii.gz": scan, name: lambda: few(values, np.float32)})
        pattern = "{subject}/" + name.replace("ID", "{subject}")
        say(rc == 0 and roles(m) == ["flair"] and m["label"]["files"] == [pattern] and list(m["label"]["values"]) == [str(v) for v in values] and "mask" not in m and pattern in why,
            "%s of %s is the label map, and standard error says why" % (name, values), (rc, m, why))
rc, m, why = draft({"flair.nii.gz": scan, "mask.nii.gz": lambda: few([0, 1, 2, 4])})
say("mask" not in m and m["label"]["files"] == ["{subject}/mask.nii.gz"] and "by its values (0, 1, 2, 4)" in why, "mask.nii.gz of 0, 1, 2, 4 is no brain mask", (m, why))
rc, m, why = draft({"t1.nii.gz": scan, "mask.nii.gz": lambda: few([0, 1]), "seg.nii.gz": lambda: few([0, 1, 2]), "gtv.nii.gz": lambda: few([0, 1])})
say(m["mask"]["files"] == ["{subject}/mask.nii.gz"] and m["label"]["files"] == ["{subject}/seg.nii.gz"] and roles(m) == ["t1"] and "left out: {subject}/gtv.nii.gz" in why,
    "of several the one whose name is plain; the others are named", (m, why))
rc, m, why = draft({"ID_flair_masked.nii.gz": scan, "brain_mask.nii.gz": lambda: few([0, 255])})
say(roles(m) == ["flair"] and m["mask"]["files"] == ["{subject}/brain_mask.nii.gz"] and "label" not in m, "a masked scan is a scan; a brain mask of 0 and 255 a mask", (m, why))
rc, m, why = draft({"seg.nii.gz": lambda: few([0, 1])})
say(rc == 66 and "only label maps and masks" in why, "a directory of label maps alone is no cohort: 66", (rc, why))

# --- a manifest in which the answer is an input
rc, m, why = draft({"flair.nii.gz": scan, "gtv.nii.gz": lambda: few([0, 1, 2])})
m = {"format": 1, "name": "m", "channels": [{"role": r, "files": ["{subject}/%s.nii.gz" % r]} for r in ("flair", "gtv")]}
json.dump(m, open("m.json", "w"))
rc, rows, why = tool("d", "--check", "m.json", "--json")
say(rc == 65 and all(len(r["faults"]) == 1 and "gtv: " in r["faults"][0] and "only the values 0, 1, 2" in r["faults"][0] for r in rows), "--check: a channel of few whole values is a fault", (rc, rows, why))
p = subprocess.run(["skullstrip-normalize", "--scans", "d", "--manifest", "m.json", "--strip", "never", "--out", "n"], capture_output=True, text=True)
warned = [l for l in map(json.loads, p.stderr.splitlines()) if l["event"] == "channel"]
say(p.returncode == 0 and [(l["level"], l["subject"], l["role"], l["values"]) for l in warned] == [("warn", "P-%03d" % i, "gtv", 3) for i in (1, 2)], "skullstrip-normalize warns of it", (p.returncode, p.stderr))
m["channels"][1]["any_name"] = True
json.dump(m, open("m.json", "w"))
rc, rows, why = tool("d", "--check", "m.json", "--json")
say(rc == 0, "\"any_name\": true says that it is right", (rc, rows, why))

# --- a flat folder with spaces, and names that no word of ours holds
for i in (1, 2, 3):
    save("flat/Pat%03d - flair (ä).nii.gz" % i, scan())
    save("flat/Pat%03d - seg.nii.gz" % i, few([0, 1]))
    save("flat/Pat%03d_T1_Gd.nii.gz" % i, scan())
    save("flat/Pat%03d - Tumor Maske.nii.gz" % i, few([0, 1]))
rc, m, why = tool("flat")
say(rc == 0 and {c["role"]: c["files"] for c in m["channels"]} == {"flair": ["{subject} - flair (ä).nii.gz"], "t1ce": ["{subject}_T1_Gd.nii.gz"]} and m["label"]["files"] == ["{subject} - seg.nii.gz"]
    and "left out: {subject} - Tumor Maske.nii.gz" in why, "a flat folder: the subject ends before what separates it", (rc, m, why))
json.dump(m, open("m.json", "w"))
rc, rows, why = tool("flat", "--check", "m.json", "--json")
say(rc == 0 and [r["subject"] for r in rows] == ["Pat001", "Pat002", "Pat003"] and all(r["label"] == [0, 1] for r in rows), "the draft fits the folder", (rc, rows, why))

# --- label maps in a directory of their own
subprocess.run(["make-cohort", "--out", "heads", "--subjects", "2", "--head"], check=True, capture_output=True)
rc, m, why = tool("heads/scans", "--labels", "heads/labels")
say(rc == 0 and roles(m) == ["flair", "t1", "t1ce", "t2"] and m["label"]["files"] == ["{subject}/seg.nii.gz"], "a draft takes --labels", (rc, m, why))
json.dump(m, open("m.json", "w"))
rc, rows, why = tool("heads/scans", "--labels", "heads/labels", "--check", "m.json", "--json")
say(rc == 0 and len(rows) == 2 and all(r["label"] for r in rows), "and fits", (rc, rows, why))
rc, _, why = tool("heads/scans", "--labels", "nowhere")
say(rc == 66 and "nowhere" in why, "--labels that are not there: 66", (rc, why))

# --- values of log lines are whole
os.makedirs("one")
shutil.move("heads/scans/sub-001", "one/Neu ß 1")
p = subprocess.run(["skullstrip-normalize", "--log", "json", "--scans", "one", "--manifest", "m.json", "--out", "o"], capture_output=True, text=True)
said = [json.loads(l).get("subject") for l in p.stderr.splitlines() if '"progress"' in l]
say(p.returncode == 0 and said == ["Neu ß 1"], "a subject's name with spaces is whole in the log", (p.returncode, p.stderr))

# --- what another's dataset.json says
for said, role in (("{of whom", "of_whom"), ("x{}{", "x"), ("{", "image"), ("***", "image")):
    shutil.rmtree("nnunet", ignore_errors=True)
    save("nnunet/imagesTr/case_0000.nii.gz", scan())
    save("nnunet/labelsTr/case.nii.gz", few([0, 1]))
    json.dump({"channel_names": {"0": said}, "labels": {"background": 0, "lesion": 1}}, open("nnunet/dataset.json", "w"))
    rc, m, why = tool("nnunet")
    say(rc == 0 and roles(m) == [role], f"a channel that is named {said}", (rc, m, why))

# --- names that no store takes
for name, why_not in (("t2{.nii.gz", "holds one of"), ("x{a,b}.nii.gz", "holds one of"), ("t1\udcfe.nii.gz", "is not UTF-8"), ("t\u202e1.nii.gz", "cannot be seen")):
    rc, m, why = draft({"flair.nii.gz": scan, name: scan, "seg.nii.gz": lambda: few([0, 1])})
    say(rc == 0 and roles(m) == ["flair"] and why.count(why_not) == 2 and why.count("rename it") == 2, "left out with a remark: " + ascii(name), (rc, m, why))
shutil.rmtree("d"); save("d/P-001/t1{.nii.gz", scan())
rc, m, why = tool("d")
say(rc == 66 and "rename it" in why, "a folder of nothing else: 66, and why", (rc, m, why))
