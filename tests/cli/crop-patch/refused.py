"""A subject that skullstrip-normalize refused stays known: crop-patch passes its reason on with its place in the split, published split
tables too, and evaluate names and counts it among the test subjects."""
import json, os, subprocess
import numpy as np
import nibabel as nib
from _checks import say

T, B = os.environ["T"], os.environ["B"]
rng = np.random.default_rng(3)


def stage(name, out, *args):
    p = subprocess.run([B + "/bin/" + name, "--out", T + "/" + out, *args], capture_output=True, text=True)
    return p.returncode, p.stderr


n = 24
q = ((np.indices((n,) * 3) - n // 2) ** 2).sum(0)
labels = np.select([q < 6, q < 16, q < 36], [4, 1, 2]).astype("u1")
split = {"a": 0, "b": 1, "good": "test", "bad": "test", "late": "test"}
for s in split:
    os.makedirs("%s/c/%s" % (T, s))
    x = (rng.normal(100, 10, labels.shape) + 40 * (labels > 0)).astype("f4")
    if s in ("bad", "late"):
        x[3, 4, 5] = np.nan
    nib.save(nib.Nifti1Image(x, np.eye(4)), "%s/c/%s/flair.nii.gz" % (T, s))
    nib.save(nib.Nifti1Image(labels, np.eye(4)), "%s/c/%s/seg.nii.gz" % (T, s))
regions = [{"name": "WT", "values": [1, 2, 4]}]
json.dump({"format": 1, "name": "m", "channels": [{"role": "flair", "files": ["{subject}/flair.nii.gz"]}],
           "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "b", "1": "n", "2": "o", "4": "e"}}, "regions": regions,
           "split": {"folds": 2, "subjects": split}}, open(T + "/m.json", "w"))
m = ("--manifest", T + "/m.json")

rc, text = stage("skullstrip-normalize", "n", "--scans", T + "/c", "--strip", "never", *m)
say(rc == 65 and sorted(os.listdir(T + "/n/quarantine")) == ["bad.json", "late.json"], "two of five scans are refused", text)
rc, text = stage("crop-patch", "p", "--normed", T + "/n", "--labels", T + "/c", *m)
say(rc == 0, "crop-patch has nothing of its own to refuse: status 0", (rc, text))
try:
    why = json.load(open(T + "/p/quarantine/bad.json"))
except OSError as e:
    why = {"missing": str(e)}
say(why.get("stage") == "skullstrip-normalize" and "NaN" in why.get("reason", "") and why.get("test") is True,
    "the reason goes along, with the place that the split table gives", why)
record = [json.load(open(os.path.join(d, f))) for d, _, fs in os.walk(T + "/p/.lineage") for f in fs if f == "record.json"]
say(len(record) == 1 and record[0].get("notes", {}).get("refused_before") == ["bad", "late"], "the record names them", [r.get("notes") for r in record])
rc, text = stage("train", "t", "--patches", T + "/p", "--network", '{"init_filters": 8}', "--patch", "16", "--steps", "2", "--validate-every", "2")
say(rc == 0, "train goes on without them", text)
rc, text = stage("evaluate", "e", "--model", T + "/t", "--patches", T + "/p")
scores = json.load(open(T + "/e/metrics.json")) if rc == 0 else {}
rows = open(T + "/e/subjects.csv").read() if rc == 0 else ""
say(rc == 0 and "absent" in text and "bad" in text, "evaluate names them", (rc, text[-300:]))
say('"counted":"yes, with Dice 0"' in text, "and says how they count, in a whole value", text[-600:])
say("bad," in rows and "late," in rows and "good," in rows, "and counts them among the test subjects", rows)

# The join of a refused subject, where a first network looked for the box: its quarantine alone in both inputs.
for d in ("only/normed", "only/region"):
    os.makedirs("%s/%s/quarantine" % (T, d))
    os.link(T + "/n/quarantine/bad.json", "%s/%s/quarantine/bad.json" % (T, d))
rc, text = stage("crop-patch", "p2", "--normed", T + "/only/normed", "--region", T + "/only/region", "--labels", T + "/c", *m)
say(rc == 0 and "NaN" in json.load(open(T + "/p2/quarantine/bad.json"))["reason"], "with --region too: the reason goes along", (rc, text[-300:]))
os.makedirs(T + "/only/none/quarantine")
why = json.load(open(T + "/n/quarantine/bad.json"))
json.dump(dict(why, subject="good"), open(T + "/only/none/quarantine/good.json", "w"))
rc, text = stage("crop-patch", "p3", "--normed", T + "/n", "--region", T + "/only/none", "--labels", T + "/c", *m)
got = json.load(open(T + "/p3/quarantine/good.json"))
say(rc == 65 and "good" in got["reason"] and not os.path.exists(T + "/p3/good"), "one that the first network refused is refused, by name", (rc, got))
