"""leakage beyond names and bytes: two visits of a patient, a scan compressed anew or stored in another type and order of axes, and empty
label maps beside the scans, which are nobody's."""
import json, os, subprocess
import nibabel as nib
import numpy as np
from _checks import say

T, B = os.environ["T"], os.environ["B"]
os.chdir(T)
rng = np.random.default_rng(9)
AFFINE = np.diag([-6.0, -6, 6, 1])
G = np.indices((26, 30, 24)) - np.array([13, 15, 12])[:, None, None, None]
R = np.sqrt((G[0] / 11) ** 2 + (G[1] / 13.5) ** 2 + (G[2] / 10) ** 2)


def save(path, x, affine=AFFINE):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    nib.save(nib.Nifti1Image(x, affine), path)


def run(name, *args):
    p = subprocess.run([B + "/bin/" + name, *args], capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr


def scan():
    return np.where(R < 1, 400 + 120 * np.sin(G[0] / 3) * np.cos(G[1] / 4) + rng.normal(0, 5, R.shape), 0).astype("i2")


EMPTY = np.zeros(R.shape, "u1")
ids = ["P%d-%d" % (p, v) for p in range(4) for v in range(2)]
for k, i in enumerate(ids):
    save("cohort/%s/flair.nii.gz" % i, scan())
    save("cohort/%s/seg.nii.gz" % i, np.select([R < 0.4], [1]).astype("u1") if k < 2 else EMPTY)
j = {"format": 1, "name": "m", "subject": "P{patient}-{visit}", "channels": [{"role": "flair", "files": ["{subject}/flair.nii.gz"]}],
     "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "b", "1": "t"}}, "regions": [{"name": "WT", "values": [1]}],
     "split": {"folds": 2, "subjects": {i: "test" if i[1] == "3" else 0 if i[1] == "2" else 1 for i in ids}}}
json.dump(j, open("m.json", "w"))
rc = [run("skullstrip-normalize", "--scans", "cohort", "--manifest", "m.json", "--out", "n", "--spacing", "-1"),
      run("crop-patch", "--normed", "n", "--labels", "cohort", "--manifest", "m.json", "--out", "p"),
      run("train", "--patches", "p", "--out", "t", "--network", '{"init_filters":8}', "--patch", "16", "--steps", "2", "--fold", "0"),
      run("evaluate", "--model", "t", "--patches", "p", "--out", "e")]
say(all(r[0] == 0 for r in rc), "a small training runs", [(r[0], r[2][-300:]) for r in rc])
r = run("voxtrail", "leakage", "e", "--json")
got = json.loads(r[1])
say(r[0] in (0, 3) and not got["leak"], "empty label maps beside the scans are shared by nobody", (r[0], got))

save("fresh/Q1/flair.nii.gz", scan())
save("fresh/Q1/seg.nii.gz", EMPTY)
r = run("voxtrail", "leakage", "t", "fresh", "--json")
say(r[0] in (0, 3) and not json.loads(r[1])["leak"], "a new scan with an empty label map is new", r)
known = nib.load("cohort/P0-0/flair.nii.gz")
turned = known.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(known.affine), nib.orientations.axcodes2ornt(("S", "A", "L"))))
for name, x, affine, ext in (("plain", np.asarray(known.dataobj), AFFINE, ".nii"), ("as float", np.asarray(known.dataobj).astype("f4"), AFFINE, ".nii.gz"), ("on other axes", np.asarray(turned.dataobj), turned.affine, ".nii.gz")):
    d = "again-" + name.replace(" ", "-")
    save("%s/Q1/flair%s" % (d, ext), x, affine)
    r = run("voxtrail", "leakage", "t", d, "--json")
    say(r[0] == 1 and len(json.loads(r[1])["shared_volumes"]) == 1, "a training scan stored anew, %s, is the same scan" % name, r)
os.rename("fresh/Q1", "fresh/P0-7")
r = run("voxtrail", "leakage", "t", "fresh", "--manifest", "m.json", "--json")
say(r[0] == 1 and [p["evaluation"] for p in json.loads(r[1])["shared_patients"]] == ["P0-7"], "another visit of a patient who was trained on is said, by the manifest", r)
