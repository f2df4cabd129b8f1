"""Scans that skullstrip-normalize prepared are not scans: preparing them again is refused by subject, in every stage that reads raw scans, and raw
scans are no prepared ones for crop-patch.  A
geometry.json of somebody else beside a scan means nothing; measure reads prepared scans as images on the masks' grid."""
import glob, json, os, shutil, subprocess
import numpy as np
import nibabel as nib
from _checks import say

T, B = os.environ["T"], os.environ["B"]
rng = np.random.default_rng(3)


def run(tool, *args):
    p = subprocess.run([B + "/bin/" + tool, *args], capture_output=True, text=True, cwd=T)
    return p.returncode, p.stderr


def why(out, subject):
    path = "%s/%s/quarantine/%s.json" % (T, out, subject)
    return json.dumps(json.load(open(path))) if os.path.exists(path) else ""


def names_it(text, scan, geometry):
    """The reason names paths as the stage was given them: by the input."""
    return scan in text and geometry in text and "is already prepared" in text and "raw scans" in text and "crop-patch --normed" in text


json.dump({"format": 1, "name": "m", "channels": [{"role": "flair", "files": ["{subject}/flair.nii", "{subject}/flair.nii.gz"]}],
           "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "background", "1": "tumor"}}, "regions": [{"name": "T", "values": [1]}]},
          open(T + "/m.json", "w"))
for s in ("p1", "p2"):
    os.makedirs("%s/scans/%s" % (T, s))
    x = rng.normal(300, 20, (24, 24, 24)).astype("f4")
    seg = np.zeros(x.shape, "u1")
    seg[8:14, 9:15, 10:16] = 1
    x[seg == 1] += 200
    nib.save(nib.Nifti1Image(x, np.eye(4)), "%s/scans/%s/flair.nii.gz" % (T, s))
    nib.save(nib.Nifti1Image(seg, np.eye(4)), "%s/scans/%s/seg.nii.gz" % (T, s))
common = ("--manifest", "m.json", "--strip", "never")
rc, text = run("skullstrip-normalize", "--scans", "scans", "--out", "prepared", *common)
say(rc == 0, "raw scans are prepared", text)

rc, text = run("skullstrip-normalize", "--scans", "prepared", "--out", "twice", *common)
say(rc == 65 and all(names_it(why("twice", s), "scans/%s/flair.nii " % s, "scans/%s/geometry.json" % s) for s in ("p1", "p2")),
    "prepared subjects are refused with geometry.json as the sign and what to give instead", (rc, text, why("twice", "p1")))
say(not glob.glob(T + "/twice/p?"), "nothing of them is written")
rc, text = run("skullstrip-normalize", "--scans", "prepared", "--out", "median", "--grid", "median", *common)
say(rc == 65 and "is already prepared" in why("median", "p1"), "with the median spacing of them too", (rc, text))

os.makedirs(T + "/mixed")
shutil.copytree(T + "/scans/p1", T + "/mixed/p1")
shutil.copytree(T + "/prepared/p2", T + "/mixed/p2")
json.dump({"format": "a scanner's own"}, open(T + "/mixed/p1/geometry.json", "w"))
rc, text = run("skullstrip-normalize", "--scans", "mixed", "--out", "one", *common)
say(rc == 65 and os.path.exists(T + "/one/p1/flair.nii") and not why("one", "p1") and why("one", "p2"),
    "one prepared subject stops itself only; a geometry.json of somebody else is no sign", (rc, text))
open(T + "/mixed/p1/geometry.json", "w").write("[not JSON")
rc, text = run("skullstrip-normalize", "--scans", "mixed", "--out", "torn", *common)
say(rc == 65 and os.path.exists(T + "/torn/p1/flair.nii"), "nor is one that is no JSON", (rc, text))

rc, text = run("crop-patch", "--normed", "prepared", "--labels", "scans", "--manifest", "m.json", "--out", "patches")
say(rc == 0, "crop-patch takes them, as the message says", text)
rc, text = run("crop-patch", "--normed", "scans", "--labels", "scans", "--manifest", "m.json", "--out", "no-patches")
reason = why("no-patches", "p2")
say(rc == 65 and "normed/p2/geometry.json" in reason and "skullstrip-normalize" in reason and not glob.glob(T + "/no-patches/p?"),
    "crop-patch refuses raw scans", (rc, text, reason))
os.makedirs(T + "/flat")
shutil.copy(T + "/scans/p1/flair.nii.gz", T + "/flat/p1.nii.gz")
rc, text = run("crop-patch", "--normed", "flat", "--manifest", "m.json", "--out", "no-subject")
say(rc == 65 and "p1.nii.gz" in text and "skullstrip-normalize" in text, "and files without a directory", (rc, text))
rc, text = run("train", "--patches", "patches", "--out", "model", "--network", '{"init_filters": 8}', "--patch", "16", "--steps", "1",
               "--validate-every", "1", "--fold", "-1")
say(rc == 0, "a checkpoint", text)
rc, text = run("predict", "--model", "model", "--scans", "prepared", "--manifest", "m.json", "--out", "seg")
say(rc == 65 and not glob.glob(T + "/seg/p?") and names_it(why("seg", "p1"), "scans/p1/flair.nii ", "scans/p1/geometry.json"),
    "predict refuses them", (rc, text, why("seg", "p1")))
rc, text = run("predict", "--model", "model", "--scans", "scans", "--manifest", "m.json", "--out", "seg-raw")
say(rc == 0 and len(glob.glob(T + "/seg-raw/p?/seg.nii.gz")) == 2, "and takes the raw ones", (rc, text))

rc, text = run("measure", "--masks", "scans", "--scans", "prepared", "--manifest", "m.json", "--values", "stored", "--texture", "false",
               "--out", "measured")
say(rc == 0, "measure takes prepared scans: intensities on the masks' grid", (rc, text))
