"""voxtrail manifest --place: a split table with folds of equal size, by patient, which stays as it is when subjects are added."""
import collections, json, os, subprocess
import numpy as np
import nibabel as nib
from _checks import say

T, B = os.environ["T"], os.environ["B"]


def run(*words):
    p = subprocess.run([B + "/bin/voxtrail", *words], capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr


def add(patient, session):
    s = "sub-%s_ses-%d" % (patient, session)
    os.makedirs("%s/c/%s" % (T, s))
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), "i2"), np.eye(4)), "%s/c/%s/flair.nii.gz" % (T, s))


for k in range(20):
    add("P%02d" % k, 1)
    if k < 6:
        add("P%02d" % k, 2)
json.dump({"format": 1, "name": "m", "subject": "sub-{patient}_ses-{session}", "split": {"seed": 7, "test": 0.2, "folds": 4},
           "channels": [{"role": "flair", "files": ["{subject}/flair.nii.gz"]}]}, open(T + "/m.json", "w"))
rc, text, err = run("manifest", T + "/c", "--place", T + "/m.json")
table = json.loads(text)["split"]["subjects"] if rc == 0 else {}
open(T + "/placed.json", "w").write(text)
place = collections.defaultdict(set)
for s, where in table.items():
    place[s[4:7]].add(where)
sizes = collections.Counter(v for v in table.values() if v != "test")
say(rc == 0 and len(table) == 26, "every subject has a place", (rc, err))
say(all(len(w) == 1 for w in place.values()), "no patient has two", place)
say(sum(w == {"test"} for w in place.values()) == 4, "a fifth of the patients is tested", place)
say(len(sizes) == 4 and max(sizes.values()) - min(sizes.values()) <= 1, "folds are of equal size, to one patient", sizes)
rc, text, err = run("manifest", T + "/c", "--check", T + "/placed.json", "--json")
say(rc == 0 and {r["subject"]: "test" if r["test"] else r["fold"] for r in json.loads(text)} == table, "the printed manifest is one, and says so", err)

add("P99", 1)
add("P03", 3)
rc, text, err = run("manifest", T + "/c", "--place", T + "/placed.json")
after = json.loads(text)["split"]["subjects"] if rc == 0 else {}
say(rc == 0 and len(after) == 28 and all(after[s] == table[s] for s in table), "subjects that come later move nobody", (rc, err))
say(after.get("sub-P03_ses-3") == table.get("sub-P03_ses-1"), "a later session goes where its patient is", after.get("sub-P03_ses-3"))
