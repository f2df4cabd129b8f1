"""Data sets of datalad and git-annex (OpenNeuro): files are symbolic links to what .git/annex holds.  Refused unless --follow-links is
given; then they are what a copy of the data set would be.  A link whose content was not fetched is named with the way to fetch it."""
import json, os, shutil, subprocess
import numpy as np
import nibabel as nib
from _checks import say

T, B = os.environ["T"], os.environ["B"]
rng = np.random.default_rng(9)


def run(*words):
    p = subprocess.run([B + "/bin/" + words[0], *words[1:]], capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr


def files_below(root):
    return {os.path.relpath(os.path.join(d, f), root): open(os.path.join(d, f), "rb").read()
            for d, _, names in os.walk(root) for f in names if ".lineage" not in d}


plain, annex = T + "/plain", T + "/annex"
for s in ("sub-01", "sub-02"):
    os.makedirs(plain + "/" + s)
    nib.save(nib.Nifti1Image(rng.normal(300, 20, (16, 16, 16)).astype("f4"), np.eye(4)), "%s/%s/flair.nii.gz" % (plain, s))
for s in os.listdir(plain):
    key = "SHA256E-s1--%s.nii.gz" % s
    os.makedirs("%s/.git/annex/objects/%s" % (annex, key))
    os.makedirs("%s/%s" % (annex, s))
    shutil.copy("%s/%s/flair.nii.gz" % (plain, s), "%s/.git/annex/objects/%s/%s" % (annex, key, key))
    os.symlink("../.git/annex/objects/%s/%s" % (key, key), "%s/%s/flair.nii.gz" % (annex, s))
json.dump({"format": 1, "name": "m", "channels": [{"role": "flair", "files": ["{subject}/flair.nii.gz"]}]}, open(T + "/m.json", "w"))
common = ("--manifest", T + "/m.json", "--strip", "never")

rc, text = run("skullstrip-normalize", "--scans", annex, "--out", T + "/refused", *common)
say(rc == 65 and "flair.nii.gz" in text and "--follow-links" in text, "a link is refused, and the message names the option", (rc, text))
rc, text = run("skullstrip-normalize", "--scans", plain, "--out", T + "/a", *common)
say(rc == 0, "the data set with plain files is read", text)
rc, text = run("skullstrip-normalize", "--scans", annex, "--out", T + "/b", "--follow-links", *common)
say(rc == 0 and files_below(T + "/a") == files_below(T + "/b"), "--follow-links: the same output", (rc, text))
record = [json.load(open(os.path.join(d, f))) for d, _, names in os.walk(T + "/b/.lineage") for f in names if f == "record.json"]
other = [json.load(open(os.path.join(d, f))) for d, _, names in os.walk(T + "/a/.lineage") for f in names if f == "record.json"]
say(len(record) == 1 and record == other, "and the same record: the option is how files are read, not what they say")

say(run("voxtrail", "commit", "scans", annex, "--store", T + "/s", "--copy")[0] == 65, "commit refuses the links")
rc, text = run("voxtrail", "commit", "scans", annex, "--store", T + "/s", "--copy", "--follow-links")
rc2, text2 = run("voxtrail", "commit", "plain", plain, "--store", T + "/s", "--copy")
tree = [t.split(" tree ")[1].split(",")[0] if " tree " in t else t for t in (text, text2)]
say(rc == 0 == rc2 and tree[0] == tree[1], "commit --follow-links: the tree id of a plain copy", (text, text2))
say(os.path.islink(annex + "/sub-01/flair.nii.gz"), "the data set itself stays as it was")

os.remove("%s/.git/annex/objects/SHA256E-s1--sub-02.nii.gz/SHA256E-s1--sub-02.nii.gz" % annex)
rc, text = run("skullstrip-normalize", "--scans", annex, "--out", T + "/c", "--follow-links", *common)
say(rc == 65 and "sub-02/flair.nii.gz" in text and "datalad get" in text, "a file that was not fetched is named, with the way to fetch it", (rc, text))
