"""measure against pyradiomics 3.0.1 (golden/radiomics.json, made by golden/_make_radiomics.py) and the IBSI's reference values of
its digital phantom (golden/ibsi_digital_phantom.csv: reference manual, tables of chapter 3, CC BY 4.0); its tables, visits and
refusals."""
import csv, json, math, os, subprocess, sys
import nibabel as nib
import numpy as np
from scipy import ndimage as nd

ROOT, T = os.environ["ROOT"], os.environ["T"]
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from _radiomics_cases import CASES
from _checks import say

os.chdir(T)


def run(*args, code=0, env=None):
    p = subprocess.run(args, capture_output=True, text=True, env=dict(os.environ, **(env or {})))
    if p.returncode != code:
        print("not ok - %s: exit %d, not %d: %s" % (" ".join(args), p.returncode, code, p.stderr[-800:]))
        sys.exit(1)
    return p.stderr


manifest = {"format": 1, "name": "regions", "channels": [{"role": "x", "files": ["{subject}/x.nii.gz"]}],
            "label": {"files": ["{subject}/mask.nii.gz"], "values": {"0": "none", "1": "inside", "2": "also"}},
            "regions": [{"name": "R", "values": [1, 2]}, {"name": "S", "values": [2]}]}
json.dump(manifest, open("manifest.json", "w"))


def write(root, subject, name, array, spacing, shift=0):
    """array [z, y, x] on a grid whose axes run along x, y, z."""
    affine = np.diag([*map(float, spacing), 1.0])
    affine[0, 3] = shift
    os.makedirs("%s/%s" % (root, subject), exist_ok=True)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(array.transpose(2, 1, 0)), affine), "%s/%s/%s.nii.gz" % (root, subject, name))


def measured(case, *more):
    """Features of region R by their names without the channel's."""
    (image, mask), spacing, width, count, alpha = CASES[case]
    root, out = "in-" + case, "out-" + case + "".join(more)
    write(root, "s", "x", image.astype("f4"), spacing)
    write(root, "s", "mask", mask.astype("u1"), spacing)
    run("measure", "--masks", root, "--scans", root, "--manifest", "manifest.json", "--bin-width", str(width), "--bin-count", str(count),
        "--gldm-alpha", str(alpha), "--out", out, *more)
    found = json.load(open(out + "/measures.json"))["subjects"][0]["regions"][0]
    assert found["region"] == "R" and found["voxels"] == int(mask.sum())
    return {k[2:] if k.startswith("x_") else k: v for k, v in found["features"].items()}


# --- pyradiomics --------------------------------------------------------------------------------------------------------
golden = json.load(open(HERE + "/golden/radiomics.json"))["cases"]


def close(got, want):
    if got is None or want is None:
        return got is None and want is None
    return abs(got - want) <= 1e-6 * abs(want) + 1e-12


def tone(case):
    """NGTDM as the IBSI has it, with scipy: voxels without neighbors take no part, while pyradiomics counts them with difference 0."""
    (image, mask), spacing, width, count, _ = CASES[case]
    level = np.where(mask, np.floor(image / width) - np.floor(image[mask].min() / width) + 1, 0).astype(int)
    around = np.ones((3, 3, 3))
    around[1, 1, 1] = 0
    near = nd.convolve(mask * 1.0, around, mode="constant")
    valid = mask & (near > 0)
    difference = np.abs(level - nd.convolve(level * 1.0, around, mode="constant") / np.maximum(near, 1))
    i = np.unique(level[valid])
    p = np.array([(level[valid] == k).mean() for k in i])
    s = np.array([difference[valid & (level == k)].sum() for k in i])
    P, Q, I, J = p[:, None], p[None], i[:, None], i[None]
    return not (valid == mask).all(), {
        "ngtdm_Coarseness": 1 / (p * s).sum(), "ngtdm_Busyness": (p * s).sum() / np.abs(I * P - J * Q).sum(),
        "ngtdm_Contrast": (P * Q * (I - J) ** 2).sum() / (len(i) * (len(i) - 1)) * s.sum() / valid.sum(),
        "ngtdm_Complexity": (np.abs(I - J) * (P * s[:, None] + Q * s[None]) / (P + Q)).sum() / valid.sum(),
        "ngtdm_Strength": ((P + Q) * (I - J) ** 2).sum() / s.sum()}


kept = {case: measured(case) for case in golden}
for case, want in golden.items():
    got = kept[case]
    if case not in ("bins", "constant"):
        lonely, ibsi = tone(case)
        off = [(k, got[k], v) for k, v in ibsi.items() if not close(got[k], v)]
        say(not off, "%s: NGTDM as the IBSI defines it%s" % (case, ", voxels without neighbors among them" if lonely else ""), off)
        want = {k: v for k, v in want.items() if not lonely or not k.startswith("ngtdm")}
    missing = [k for k in want if k not in got]
    off = ["%s %r, not %r" % (k, got[k], v) for k, v in want.items() if k in got and not close(got[k], v)]
    say(not missing and not off, "%s: %d features of pyradiomics within 1e-6" % (case, len(want)), (missing, off[:8]))

# --- IBSI ---------------------------------------------------------------------------------------------------------------
average, merge = kept["phantom"], measured("phantom", "--directions", "merge")


def agrees(got, row):
    want = float(row["value"])
    if row["tolerance"]:
        return abs(got - want) <= float(row["tolerance"])
    return float("%.3g" % got) == want


for how, got in (("average", average), ("merge", merge)):
    rows = [r for r in csv.DictReader(open(HERE + "/golden/ibsi_digital_phantom.csv")) if r["directions"] in ("", how)]
    off = [(r["feature"], got.get(r["feature"]), r["value"]) for r in rows if r["feature"] not in got or not agrees(got[r["feature"]], r)]
    say(not off and len(rows) > 100, "digital phantom, directions %s: %d reference values of the IBSI" % (how, len(rows)), off[:8])

# --- tables -------------------------------------------------------------------------------------------------------------
(image, mask), spacing, *_ = CASES["smooth"]
labels = mask.astype("u1")
for subject, cut in (("p1-a", 20), ("p1-b", 14), ("p1-c", 17), ("p2-a", 20)):
    part = labels.copy()
    part[:, :, cut:] = 0
    part[:4, :4] *= 2
    if subject == "p2-a":
        part[:] = 0
    write("c", subject, "x", image.astype("f4"), spacing)
    write("c", subject, "mask", part, spacing)
write("c", "moved", "x", image.astype("f4"), spacing, shift=3)
write("c", "moved", "mask", labels, spacing)
with open("visits.csv", "w") as f:
    f.write("patient,subject,day,remark\n\"one\",p1-b,30,\"later, smaller\"\none,p1-a,0,\none,p1-c,90.5,\ntwo,p2-a,1,\nthree,nobody,1,\n")
args = ["measure", "--masks", "c", "--scans", "c", "--manifest", "manifest.json", "--visits", "visits.csv"]
run(*args, "--out", "t", code=65)
why = json.load(open("t/quarantine/moved.json"))
say("mm" in json.dumps(why), "a scan on another grid than its mask puts the subject into quarantine, the others go on")
rows = list(csv.DictReader(open("t/measures.csv")))
data = {s["subject"]: {r["region"]: r for r in s["regions"]} for s in json.load(open("t/measures.json"))["subjects"]}
same = all((r[k] == "" and data[r["subject"]][r["region"]]["features"].get(k) is None) or float(r[k]) == data[r["subject"]][r["region"]]["features"][k]
           for r in rows for k in r if k not in ("subject", "region", "voxels"))
say(len(rows) == 8 and same, "measures.csv and measures.json say the same of every subject and region")
empty = [r for r in rows if r["subject"] == "p2-a"]
say(all(r["voxels"] == "0" and r["shape_VoxelVolume"] == "0" and r["shape_MeshVolume"] == "" and r["x_glcm_Contrast"] == "" for r in empty),
    "an empty region has the volume 0 and no other feature", empty[0])
changes = list(csv.DictReader(open("t/changes.csv")))
volume = {r["subject"]: float(r["shape_VoxelVolume"]) for r in rows if r["region"] == "R"}
mine = {r["subject"]: r for r in changes if r["region"] == "R" and r["feature"] == "shape_VoxelVolume"}
a, b, c = (volume["p1-" + k] for k in "abc")
good = list(mine) == ["p1-b", "p1-c"] and float(mine["p1-b"]["change_from_first"]) == b - a
good = good and float(mine["p1-c"]["change_from_first"]) == c - a and float(mine["p1-c"]["change_from_previous"]) == c - b
good = good and math.isclose(float(mine["p1-c"]["percent_from_previous"]), 100 * (c - b) / b)
good = good and mine["p1-c"]["days_from_first"] == "90.5" and mine["p1-c"]["days_from_previous"] == "60.5"
say(good, "changes.csv: each later visit against the first and the one before, in the order of days", mine)
run(*args, "--out", "one", code=65, env={"VOXTRAIL_THREADS": "1"})
say(all(open("t/" + n, "rb").read() == open("one/" + n, "rb").read() for n in ("measures.csv", "measures.json", "changes.csv")), "one thread: the same bytes")

# --- refusals -----------------------------------------------------------------------------------------------------------
for text, what in (("subject,patient\na,b\n", "no column \"day\""), ("subject,patient,day\np1-a,one,0\np1-a,one,1\n", "two rows"),
                   ("subject,patient,day\np1-a,one,soon\n", "\"soon\" is not a number"), ("subject,patient,day\np1-a,one,0\np1-b,one,0\n", "on one day"),
                   ("subject,patient,day\np1-a,one\n", "line 2 has 2 cells"), ("subject,patient,day\n\"p1-a,one,1\n", "not closed")):
    open("bad.csv", "w").write(text)
    err = run("measure", "--masks", "c", "--manifest", "manifest.json", "--visits", "bad.csv", "--out", "bad", code=65)
    say(what in err.replace('\\"', '"') and "bad.csv" in err, "refused: a table of visits with %s" % what, err)
os.makedirs("none")
err = run("measure", "--masks", "none", "--manifest", "manifest.json", "--out", "bad", code=66)
say("no label maps" in err, "refused: a directory without label maps", err)
err = run("measure", "--masks", "in-smooth", "--scans", "in-smooth", "--manifest", "manifest.json", "--bin-width", "1e-5", "--out", "bad", code=65)
why = json.load(open("bad/quarantine/s.json"))
say("gray levels" in json.dumps(why), "more than 1024 gray levels: quarantine, and what to do", why)
