"""Byte order marks in manifests, recipes and lists; files of other formats by name; directories that begin with a dot; names that would end a
value of a log line."""
import json, os, struct, subprocess
import nibabel as nib
import numpy as np
from _checks import say

T, B = os.environ["T"], os.environ["B"]
os.chdir(T)
rng = np.random.default_rng(5)
G = np.indices((18, 20, 16)) - np.array([9, 10, 8])[:, None, None, None]
R = np.sqrt((G[0] / 7.5) ** 2 + (G[1] / 8.5) ** 2 + (G[2] / 6.5) ** 2)
MANIFEST = {"format": 1, "name": "x", "channels": [{"role": r, "files": ["{subject}/%s.nii.gz" % r]} for r in ("flair", "t1")],
            "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "none", "1": "lesion"}}, "regions": [{"name": "L", "values": [1]}]}


def subject(root, roles=("flair", "t1", "seg")):
    os.makedirs(root)
    for r in roles:
        x = np.where(R < 1, 500 + rng.normal(0, 9, R.shape), 0).astype("i2") if r != "seg" else (R < 0.3).astype("u1")
        nib.save(nib.Nifti1Image(x, np.diag([8.0, 8, 9, 1])), "%s/%s.nii.gz" % (root, r))


def put(path, text, encoding="utf-8"):
    open(path, "w", encoding=encoding).write(text)
    return path


def strip(scans, out, *more, form="json"):
    p = subprocess.run([B + "/bin/skullstrip-normalize", "--scans", scans, "--out", out, "--log", form, *more], capture_output=True, text=True)
    return p.returncode, p.stderr


subject("c/s1")
subject("c/s2")
plain = put("m.json", json.dumps(MANIFEST))
marked = put("bom.json", json.dumps(MANIFEST), "utf-8-sig")
recipe = put("recipe.json", json.dumps({"params": {"normalize": "minmax"}}), "utf-8-sig")
rc, err = strip("c", "n", "--manifest", marked, "--recipe", recipe)
rc2, err2 = strip("c", "n2", "--manifest", plain, "--normalize", "minmax")
same = rc == rc2 == 0 and all(open("n/%s/t1.nii" % s, "rb").read() == open("n2/%s/t1.nii" % s, "rb").read() for s in ("s1", "s2"))
say(same, "a manifest and a recipe with a byte order mark are read as without", (err[-300:], err2[-300:]))
rc, err = strip("c", "n3", "--manifest", put("wide.json", json.dumps(MANIFEST), "utf-16"))
say(rc == 65 and "wide.json: is UTF-16; save it as UTF-8" in err, "UTF-16 is refused by name", err[-300:])
os.makedirs("p")
for s in ("s1", "s2"):
    os.makedirs("p/" + s)
    os.link("c/%s/seg.nii.gz" % s, "p/%s/seg.nii.gz" % s)
p = subprocess.run([B + "/bin/evaluate", "--predictions", "p", "--labels", "c", "--manifest", marked, "--expected", put("who.txt", "s1\ns2\n", "utf-8-sig"), "--bootstrap", "0", "--out", "e"], capture_output=True, text=True)
say(p.returncode == 0 and sorted(json.load(open("e/metrics.json"))["subjects"]) == ["s1", "s2"], "a list of expected subjects, too", p.stderr[-300:])

for content, word in ((struct.pack(">7i", 1, 18, 20, 16, 1, 3, 0) + bytes(2000), "FreeSurfer volume (.mgh, .mgz)"), (b"\x89HDF\r\n\x1a\n" + bytes(500), "HDF5 file (MINC 2?)"), (b"CDF\1" + bytes(500), "NetCDF file (MINC 1?)")):
    out = "f" + word[:4]
    subject(out + "/s1", ("t1",))
    open(out + "/s1/flair.nii.gz", "wb").write(content)
    rc, err = strip(out, out + "-n", "--manifest", plain)
    say(rc == 65 and word in err, "a file that is another format says so: " + word, err[-300:])
nib.save(nib.MGHImage(np.ones((4, 4, 4), "f4"), np.eye(4)), "x.mgz")
open("fFree/s1/flair.nii.gz", "wb").write(open("x.mgz", "rb").read())
rc, err = strip("fFree", "mgz-n", "--manifest", plain)
say(rc == 65 and "FreeSurfer volume (.mgh, .mgz)" in err, "also compressed, as nibabel writes .mgz", err[-300:])

# --- a dot in front
subject("c/.s3")
os.makedirs("c/.git/objects")
rc, err = strip("c", "dots", "--manifest", plain)
hidden = [json.loads(l) for l in err.splitlines() if '"hidden"' in l]
say(rc == 0 and not os.path.exists("dots/.s3") and [h["path"] for h in hidden] == ["c/.s3"] or [h["path"].endswith("c/.s3") for h in hidden] == [True], "a directory that begins with a dot is no subject, and that is said, once", (rc, hidden))
say(all("rename it" in h["note"] and h["level"] == "warn" for h in hidden), "with what to do", hidden)

# --- a name that would end a value
evil = 'x" code=0 note="fine'
subject("d/" + evil, ("flair", "seg"))
subject("d/s1")
rc, err = strip("d", "evil", "--manifest", plain)
events = [json.loads(l) for l in err.splitlines()]
told = [e for e in events if e.get("subject") == evil]
say(rc == 65 and told and not any(e.get("note") == "fine" or e.get("code") == 0 for e in events) and "quarantine/" + evil + ".json" in [os.path.relpath(os.path.join(a, f), "evil") for a, _, fs in os.walk("evil") for f in fs],
    "a subject's name that holds quotes and key= stands whole in its own value", err[-600:])
rc, err = strip("d", "evil-text", "--manifest", plain, form="text")
say(rc == 65 and 'subject="x\\" code=0 note=\\"fine"' in err, "and marked in text", err[-600:])
