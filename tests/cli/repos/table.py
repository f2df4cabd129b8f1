"""voxtrail ls and voxtrail table on commits of the embedded cohort: against os.walk, pandas-like reading of the CSV, crop-patch's split."""
import csv, hashlib, io, json, os, subprocess, sys
from _checks import say

ROOT, T = os.environ["ROOT"], os.environ["T"]
os.chdir(T)


def run(*args, code=0):
    p = subprocess.run(args, capture_output=True, text=True)
    if p.returncode != code:
        print("not ok - %s: exit %d, not %d: %s" % (" ".join(args), p.returncode, code, p.stderr[-600:]))
        sys.exit(1)
    return p.stdout if not code else p.stderr


manifest = ROOT + "/manifests/embedded.json"
run("make-cohort", "--out", "c", "--subjects", "4", "--seed", "2", "--coarse")
os.remove("c/scans/sub-003/t2.nii.gz")
store = ["--store", "s"]
run("voxtrail", "commit", "scans", "c/scans", *store)
run("voxtrail", "commit", "labels", "c/labels", *store)

top = [line.split() for line in run("voxtrail", "ls", "scans", *store).splitlines()]
size = lambda d: sum(os.path.getsize(os.path.join(r, f)) for r, _, files in os.walk(d) for f in files)
say([t[1] for t in top] == ["sub-00%d/" % i for i in (1, 2, 3, 4)] and all(int(t[0]) == size("c/scans/" + t[1]) for t in top), "ls: a directory at a time, with the bytes below it", top)
j = json.loads(run("voxtrail", "ls", "scans:sub-002", "--json", *store))
want = {"sub-002/" + f: hashlib.sha256(open("c/scans/sub-002/" + f, "rb").read()).hexdigest() for f in os.listdir("c/scans/sub-002")}
say({e["path"]: e["sha256"] for e in j["entries"]} == want and len(j["commit"]) == 64, "ls REPO:PATH --json: files with their SHA-256 and the commit")
every = [line.split()[1] for line in run("voxtrail", "ls", "-r", "scans", *store).splitlines()]
say(every == sorted(os.path.relpath(os.path.join(r, f), "c/scans") for r, _, files in os.walk("c/scans") for f in files), "ls -r: every file", every)
say(run("voxtrail", "ls", "scans:sub-002/flair.nii.gz", *store).split()[1] == "sub-002/flair.nii.gz", "ls of a file is the file")
say("no file or directory" in run("voxtrail", "ls", "scans:sub-00", *store, code=66), "ls of part of a name is 66: it is no path")
run("voxtrail", "ls", "nothing", *store, code=66)

said = run("voxtrail", "table", "scans", *store, code=64)
say("voxtrail table: give --manifest" in said and "table: table" not in said, "table without a manifest: one prefix", said)
rows = list(csv.DictReader(io.StringIO(run("voxtrail", "table", "scans", "labels", "--manifest", manifest, *store))))
say([r["subject"] for r in rows] == ["sub-00%d" % i for i in (1, 2, 3, 4)] and list(rows[0]) == ["subject", "flair", "t1", "t1ce", "t2", "label", "split", "fold", "problem"],
    "table: a row a subject, a column a channel, label, split, fold, problem", rows)
say(all(r[c] == "%s/%s.nii.gz" % (r["subject"], c) for r in rows for c in ("flair", "t1", "t1ce")) and all(r["label"] == r["subject"] + "/seg.nii.gz" for r in rows),
    "table: paths as they are in the commits")
bad = [r for r in rows if r["problem"]]
say(len(bad) == 1 and bad[0]["subject"] == "sub-003" and bad[0]["t2"] == "" and "t2" in bad[0]["problem"] and "/tmp/" not in bad[0]["problem"], "table: what a subject lacks stands in its row", bad)
j = json.loads(run("voxtrail", "table", "scans", "labels", "--manifest", manifest, "--json", *store))
say(len(j["scans"]) == 64 and [s["subject"] for s in j["subjects"]] == [r["subject"] for r in rows] and all((s["fold"] is None) == (s["split"] == "test") for s in j["subjects"]),
    "table --json: the same, with the commits")
open("c/scans/sub-003/t2.nii.gz", "wb").write(open("c/scans/sub-002/t2.nii.gz", "rb").read())
run("skullstrip-normalize", "--scans", "c/scans", "--manifest", manifest, "--out", "n")
run("crop-patch", "--normed", "n", "--labels", "c/labels", "--manifest", manifest, "--out", "p")
for r in rows:
    raw = open("p/%s/subject.vtp" % r["subject"], "rb").read(1 << 16)
    head = json.JSONDecoder().raw_decode(raw[16:].decode("latin1"))[0]
    if head["test"] != (r["split"] == "test") or (not head["test"] and head["fold"] != int(r["fold"])):
        say(False, "table: split and fold are crop-patch's", (r, head["test"], head["fold"]))
        break
else:
    say(True, "table: split and fold are crop-patch's")
say(not [n for n in os.listdir("s/tmp") if n.startswith("table")], "nothing stays in the store's tmp/")
os.makedirs("other")
open("other/README", "w").write("nothing\n")
run("voxtrail", "commit", "other", "other", *store)
say("voxtrail ls other" in run("voxtrail", "table", "other", "--manifest", manifest, *store, code=65), "a commit that is laid out otherwise: 65, and what to look at")
run("voxtrail", "table", "scans", *store, code=64)
