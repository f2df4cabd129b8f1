"""A subject withdraws: stages refuse its files, erase takes out what is its alone and nothing else, what is gone is called erased and
cannot come back, what was made of others too is listed until something is decided; history keeps each step and shows tampering."""
import glob, json, os, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _records import *

S, ROOT = f"{T}/store", os.environ["ROOT"]
raw, prep, crop, train, export = cohort(4)
flagged = Execution("report", {"scans": raw["sub-003"], "model": prep[2]}, {"summary.txt": b"only of sub-003"})
for n, e in enumerate(prep + crop + [train, export, flagged]):
    run("import", e.dir(f"{T}/d{n}"), store=S)
    shutil.rmtree(f"{T}/d{n}")
os.makedirs(f"{T}/scans")
for files in raw.values():
    for p, c in files.items():
        os.makedirs(f"{T}/scans/{os.path.dirname(p)}", exist_ok=True)
        open(f"{T}/scans/{p}", "wb").write(c)
os.makedirs(f"{T}/scans/sub-0033")
open(f"{T}/scans/sub-0033/t1.nii", "wb").write(b"another subject whose name begins the same")
os.makedirs(f"{T}/scans/extra/sub-003_visit2")
open(f"{T}/scans/extra/sub-003_visit2/t1.nii", "wb").write(b"never used by any execution")
run("commit", "scans", f"{T}/scans", store=S)
shutil.rmtree(f"{T}/scans")


def objects():
    return {a + b for a in os.listdir(f"{S}/objects") for b in os.listdir(f"{S}/objects/{a}")}


def listing():
    return sorted(os.path.join(b, n) for b, _, f in os.walk(S) for n in f if "lineage.db" not in n)


before, had = listing(), objects()
r = run("erase", "sub-003", "--json", store=S)
plan = json.loads(r.stdout)
own = {sha(c) for c in raw["sub-003"].values()} | {sha(b"never used by any execution"), sha(crop[2].contents["sub-003/subject.vtp"]), sha(b"nsub-003"), sha(b"only of sub-003")}
gone = {f["sha256"] for f in plan["files"] if not f["kept"]}
check(gone == own, "what is the subject's alone: raw files, committed or read, and what was derived from nobody else", (gone ^ own, r.stderr))
check({f["sha256"] for f in plan["files"] if f["kept"]} == {sha(b"{}")}, "bytes that others have too are kept")
check(plan["mixed"] == sorted([train.id, export.id]), "executions that read others too are listed")
check(listing() == before and not plan["erased"], "without --yes nothing changes")
check(run("erase", "sub-003", "--yes", store=S).returncode == 64, "--yes needs a reason")
check(run("erase", "sub-777", store=S).returncode == 66, "an unknown subject: exit 66")
answers = run("audit", export.id, "--list", store=S).stdout
r = run("erase", "sub-003", "--yes", "--reason", "withdrawal form 12", store=S)
check(r.returncode == 0 and objects() == had - own, "with --yes exactly these are gone", r.stderr)
r = run("verify", store=S)
check(r.returncode == 0 and f"{len(own)} blobs were erased by decision" in r.stdout, "verify: sound, and says erased", r.stdout + r.stderr)
check(run("audit", export.id, "--list", store=S).stdout == answers, "the ancestry is as before")
r = run("audit", export.id, store=S)
check(r.stdout.count("erased by decision") == 4 and "withdrawn: sub-003: withdrawal form 12" in r.stdout, "audit says erased, file by file, and who withdrew", r.stdout)
check(run("subjects", export.id, store=S).stdout.splitlines()[2] == "sub-003  train  withdrawn", "subjects says so")
r = run("checkout", "scans", f"{T}/again", store=S)
check(r.returncode == 66 and "erased" in r.stderr, "a checkout that needs them says erased", (r.returncode, r.stderr))
again = json.loads(run("erase", "sub-003", "--yes", "--reason", "again", "--json", store=S).stdout)
check(all(f["gone_before"] or f["kept"] for f in again["files"]), "erasing again finds nothing more")
tomb = glob.glob(f"{S}/tombs/*/*")
check(len(tomb) == len(own) and all(json.load(open(t))["reason"] == "withdrawal form 12" for t in tomb), "a tombstone each, with the first reason")

# it cannot come back
for what, give in (("import", lambda d: run("import", prep[2].dir(d), store=S)), ("commit", lambda d: run("commit", "new", crop[2].dir(d), store=S))):
    r = give(f"{T}/back-{what}")
    check(r.returncode == 65 and "erased" in r.stderr and objects() == had - own, f"{what} refuses the bytes", (r.returncode, r.stderr))

# decisions
r = run("consent", "check", store=S)
check(r.returncode == 1 and train.id in r.stdout and "no decision yet" in r.stdout, "every training it went into has no decision yet: exit 1", r.stdout)
check(run("consent", "check", export.id, store=S).returncode == 1, "asked of one result: exit 1")
check(run("consent", "decide", train.id[:12], "sub-003", "perhaps", "--reason", "x", store=S).returncode == 64, "an unknown decision: exit 64")
run("consent", "decide", train.id[:12], "sub-003", "retrain", "--reason", "next release", store=S)
r = run("consent", "check", store=S)
check(r.returncode == 0 and "retrain" in r.stdout, "decided: exit 0", r.stdout)
check(run("consent", "check", crop[0].id, store=S).returncode == 0, "a result it is not in: exit 0")

# stages
if subprocess.run(["sh", "-c", '. "$0" && make_chain "$1" 2', ROOT + "/tests/cli/lineage/_chain.sh", T + "/c"]).returncode:
    check(False, "a small chain of real stages")
run("consent", "withdraw", "sub-002", "--reason", "by letter", store=S)
train_again = ["train", "--patches", f"{T}/c/crop", "--network", '{"init_filters":8}', "--patch", "16", "--steps", "2", "--validate-every", "2", "--fold", "-1"]
for how, more, env in (("its store", ["--store", S], {}), ("VOXTRAIL_CONSENT", [], {"VOXTRAIL_CONSENT": f"{S}/consent.json"})):
    r = subprocess.run([*train_again, "--out", f"{T}/refused", *more], capture_output=True, text=True, env={**os.environ, **env})
    check(r.returncode == 65 and "sub-002" in r.stderr and "by letter" in r.stderr, f"train refuses, by {how}", (r.returncode, r.stderr))
shutil.copytree(f"{T}/c/crop", f"{T}/one")
shutil.rmtree(f"{T}/one/sub-002"), shutil.rmtree(f"{T}/one/.lineage")
train_again[2] = f"{T}/one"
r = subprocess.run([*train_again, "--out", f"{T}/fine", "--store", S], capture_output=True, text=True)
check(r.returncode == 0, "and runs without the subject", r.stderr)
made = json.load(open(glob.glob(f"{T}/c/train/.lineage/*/record.json")[0]))["notes"]["split"]
victim = made["train"][0]
consent = {"format": 1, "withdrawn": [{"subject": victim, "reason": "too", "by": "x", "time": 1}], "decisions": []}
shutil.copytree(f"{T}/c/crop", f"{T}/rest")
for s in os.listdir(f"{T}/rest"):
    if s == victim or s == ".lineage":
        shutil.rmtree(f"{T}/rest/{s}")
json.dump(consent, open(f"{T}/consent.json", "w"))
train_again[2] = f"{T}/rest"
r = subprocess.run([*train_again, "--previous", f"{T}/c/train", "--out", f"{T}/tuned"], capture_output=True, text=True, env={**os.environ, "VOXTRAIL_CONSENT": f"{T}/consent.json"})
check(r.returncode == 65 and victim in r.stderr and "another checkpoint" in r.stderr, "fine-tuning a checkpoint that was trained on the subject is refused", (r.returncode, r.stderr))
run("consent", "restore", "sub-002", "--reason", "a mistake", store=S)
check([l.split()[0] for l in run("consent", "list", store=S).stdout.splitlines()] == ["sub-003"], "restore takes the withdrawal back")

# history
r = run("history", "--json", store=S)
lines = r.stdout.encode().splitlines()
prev, sound = "0" * 64, True
for n, line in enumerate(open(f"{S}/history", "rb").read().splitlines(), 1):
    j = json.loads(line)
    sound = sound and canonical(j) == line and j["prev"] == prev and j["n"] == n
    prev = sha(line)
check(sound and len(lines) > 10, "history: each line holds the digest of the one before, recomputed here")
events = [json.loads(l)["event"] for l in lines]
check([e for e in events if e not in ("import", "vouched")] == ["ref", "consent-withdrawn", "erase", "erase", "consent-decided", "consent-withdrawn", "made", "consent-restored"], "the events are those that happened", events)
r = run("history", "--check", store=S)
check(r.returncode == 0 and prev in r.stdout, "--check gives the head")
whole = open(f"{S}/history", "rb").read()
rows = whole.splitlines(keepends=True)
for what, damage, status in (("a changed line", [rows[0].replace(b'"vouched"', b'"v0uched"')] + rows[1:], 76), ("a line taken out", rows[:3] + rows[4:], 76),
                             ("two lines in another order", [rows[1], rows[0]] + rows[2:], 76), ("the end cut off", rows[:-2], 0)):
    open(f"{S}/history", "wb").write(b"".join(damage))
    r = run("history", "--check", store=S)
    check(r.returncode == status, f"{what}: exit {status}", (r.returncode, r.stderr))
check(run("history", "--check", "--holds", prev, store=S).returncode == 76, "an end cut off is found by the head noted before")
open(f"{S}/history", "wb").write(whole + b'{"by":"torn')
r = run("history", "--check", "--holds", prev, store=S)
check(r.returncode == 0 and "nothing up to it was changed" in str(r.stdout), "a torn last line does not count, and it says what is held", r.stdout)
run("consent", "withdraw", "sub-004", "--reason", "r", store=S)
check(run("history", "--check", "--holds", prev, store=S).returncode == 0 and b"torn" not in open(f"{S}/history", "rb").read(), "and the next event takes its place")
