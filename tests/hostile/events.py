"""Every command that changes the store leaves an event.  The commands, and the verbs of those that have verbs, are those that --help
lists: each has a row here, and a new one without a row is a failure.  What a row does is held against the store's files before and
after: where any that decides or is evidence came, went or changed, the history has grown.  All of it runs under a umask of 000, and
nothing that was written may be written to by others."""
import json, os, re, shutil, stat, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _hostile
from _hostile import *

os.umask(0o022)
_hostile.umask = 0

S, D = f"{T}/s", f"{T}/data"
for n in (1, 2, 3):
    write(f"{D}/sub-00{n}/t1.nii", f"scan {n}")
# follows from the rest, is a cache, a lock, or a note of where a run stood
DERIVED = {"lineage.db", "lineage.db-wal", "lineage.db-shm", "stat-cache", "lock", "in-use", "git", "tmp", "scratch", "runner", "checkouts"}


def state(store=S):
    found = {}
    for base, dirs, names in os.walk(store):
        if base == store:
            dirs[:] = [d for d in dirs if d not in DERIVED]
            names = [n for n in names if n not in DERIVED]
        for n in names:
            found[os.path.relpath(f"{base}/{n}", store)] = sha(open(f"{base}/{n}", "rb").read())
    return found


def events(store=S):
    return [json.loads(l)["event"] for l in open(f"{store}/history")] if os.path.exists(f"{store}/history") else []


def vox(*args, store=S, **more):
    return stage("voxtrail", *args, *(["--store", store] if store else []), **more)


def write_spec(path, text):
    write(path, json.dumps({"pipeline": {"name": "p"}, "transform": {"image": "x@sha256:" + "0" * 64, "cmd": ["sh"], "stdin": [text]},
                            "input": {"pfs": {"name": "scans", "repo": "scans", "glob": "/*"}}, "datumTries": 1}))
    return path


P = write_spec(f"{T}/p.json", "mkdir /pfs/out/$(ls /pfs/scans); cat /pfs/scans/*/* >/pfs/out/$(ls /pfs/scans)/x")
write(f"{T}/tick.json", json.dumps({"pipeline": {"name": "n"}, "transform": {"image": "x@sha256:" + "0" * 64, "cmd": ["sh"], "stdin": ["ls /pfs/tick >/pfs/out/log"]},
                                    "input": {"cron": {"name": "tick", "spec": "@daily"}}}))
stage("voxtrail", "attest", "keygen", f"{T}/k")
stage("voxtrail", "attest", "keygen", f"{T}/k2")
id_, text, j = record("train", [], [("out", files_of({"x": b"y"}))])
write(f"{T}/made/x", "y")
put_record(f"{T}/made", text)
id2, text2, j2 = record("export", [], [("out", files_of({"z": b"z"}))])
write(f"{T}/lie/z", "z")
put_record(f"{T}/lie", text2)
scans = make_cohort(1)
vox("commit", "raw", scans, "--copy")
vox("commit", "manifests", f"{ROOT}/manifests", "--copy")
normalize(scans, "--store", S, "--out", f"{T}/normed")
own = [d for d in os.listdir(f"{T}/normed/.lineage")][0]
rid = sha(open(f"{T}/normed/.lineage/{own}/record.json", "rb").read())

# command (and verb) -> [(arguments, event it leaves; None: it changes nothing)...]; `store=None` where there is no --store
ROWS = {
    "commit": [(("scans", D, "--copy"), "ref")],
    "run": [((P,), "ref")],
    "plan": [((P,), None)],
    "manifest": [((scans,), None)],
    "lint": [((P,), None)],
    "datum": [(("list", P, "p"), None)],
    "emit": [(("argo", P), None)],
    "merge": [],
    "record": [],
    "logs": [((P,), None)],
    "explain": [(("p", "sub-001/x"), None)],
    "scores": [],
    "tick": [((f"{T}/tick.json", "n"), "ref")],
    "log": [(("scans",), None)],
    "ls": [(("scans",), None)],
    "table": [(("raw", "--manifest", f"{ROOT}/manifests/embedded.json"), None)],
    "diff": [(("scans", "p"), None)],
    "branch": [(("scans", "dev", "master"), "ref"), (("scans", "--delete", "dev"), "ref")],
    "tag": [(("scans", "v1", "master"), "ref"), (("scans", "--delete", "v1"), "ref")],
    "mirror": [((), None)],
    "import": [((f"{T}/made",), "import"), ((f"{T}/lie",), "import")],
    "audit": [(("p",), None)],
    "descendants": [(("--subject", "sub-001"), None)],
    "subjects": [(("p",), None)],
    "leakage": [((f"{T}/normed", f"{T}/normed"), None)],
    "attest keygen": [(("keygen", f"{T}/k3"), None)],
    "attest sign": [(("sign", f"{T}/made", "--key", f"{T}/k", "-o", f"{T}/made.jsonl"), "attested"), (("sign", f"{T}/normed", "--format", "oms", "--key", f"{T}/k", "-o", f"{T}/oms"), "attested")],
    "attest verify": [(("verify", f"{T}/made.jsonl", "--key", f"{T}/k.pub"), None)],
    "attest export": [(("export", f"{T}/normed", "--format", "slsa"), None)],
    "trust list": [(("list",), None)],
    "trust take": [(("take", f"{T}/made.jsonl"), "attestations-kept")],
    "trust add-key": [(("add-key", f"{T}/k.pub"), "policy")],
    "trust keys": [(("keys",), None)],
    "trust vouch": [(("vouch", id_, "--reason", "x"), "vouched")],
    "trust reject": [(("reject", id2, "--reason", "x"), "rejected")],
    "trust revoke-key": [(("revoke-key", "KEY", "--reason", "x"), "key-revoked")],
    "trust approvers": [(("approvers",), None)],
    "trust add-approver": [(("add-approver", f"{T}/k.pub", "--user", nobodys("anna")), "policy"), (("add-approver", f"{T}/k2.pub", "--user", nobodys("bob")), "policy")],
    "trust approve": [],  # a signature on a file; tests/hostile/second_person.py has the events of what was approved
    "trust revoke-approver": [(("revoke-approver", sha(open(f"{T}/k.pub", "rb").read()), "--reason", "x"), "policy")],
    "trust policy": [(("policy",), None)],
    "trust demand": [(("demand", "believed", "audit"), "policy")],
    "trust waive": [(("waive", "believed", "audit", "--reason", "x"), "policy")],
    "consent list": [(("list",), None)],
    "consent withdraw": [(("withdraw", "sub-003", "--reason", "x"), "consent-withdrawn")],
    "consent check": [(("check",), None)],
    "consent decide": [(("decide", rid, "sub-003", "accept", "--reason", "x"), "consent-decided")],
    "consent restore": [(("restore", "sub-003", "--reason", "x"), "consent-restored")],
    "pin": [(("scans", "-m", "x"), "pinned"), ((), None), (("scans", "--remove"), "unpinned")],
    "rerun": [((rid,), "rerun")],
    "push": [(("scans", f"{T}/other"), None)],
    "pull": [],
    "serve": [],
    "checkout": [(("scans", f"{T}/out"), None)],
    "verify": [((), None)],
    "erase": [(("sub-001",), None), (("sub-001", "--yes", "--reason", "x"), "erase"), (("--lift", sha(b"scan 1"), "--reason", "x"), "erasure-lifted")],
    "history": [((), None), (("--anchor", f"{T}/anchor", "--key", f"{T}/k"), None)],
    "export-log": [((), None)],
    "rebuild": [((), None)],
    "gc": [(("--keep-days", "0"), None), (("JUNK", "--sweep", "--keep-days", "0"), "gc")],
}
# the answer need not be 0
ANSWERS = {"diff", "audit", "leakage", "subjects", "descendants", "consent check", "verify", "trust take", "logs", "manifest"}
NO_STORE = {"lint", "emit", "manifest"}

listed = []
for line in stage("voxtrail", "--help").stdout.splitlines():
    m = re.match(r"  ([a-z-]+) +\S", line)
    if m:
        listed.append(m.group(1))
names = []
for c in listed:
    verbs = stage("voxtrail", c, "--help").stdout.split("\n\n")[1].splitlines()
    verbs = [m.group(1) for m in (re.match(r"([a-z][a-z-]*)(?: [A-Z\[][^ ]*)*  +\S", v) for v in verbs) if m]
    names += [f"{c} {v}" for v in verbs] if c in ("trust", "consent", "attest") else [c]
check(len(names) > 50, "the commands that --help lists", names)
known = set(ROWS)
missing = [n for n in names if n not in known and n.split()[0] not in known]
check(not missing, "each command has a row in this test: say there what a new one does to the store", missing)
check(not [n for n in known if n not in names], "and each row is a command", [n for n in known if n not in names])


def hold(name, args, event, store=S, do=None):
    before, had = state(store), events(store)
    r = do() if do else vox(*name.split()[:1], *args, store=None if name in NO_STORE else store)
    after, has = state(store), events(store)
    new = has[len(had):]
    changed = sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))
    what = f"{name} {' '.join(a for a in args if not a.startswith('/'))}".strip()
    check(r.returncode == 0 or name in ANSWERS, f"{what}: it works", (r.returncode, r.stdout[-200:], r.stderr[-400:]))
    check(has[:len(had)] == had, f"{what}: no event is lost")
    if event:
        check(changed and event in new, f"{what}: leaves {event}", (new, changed))
    else:
        check(not changed, f"{what}: changes nothing", (new, changed))


for name, rows in ROWS.items():
    for args, event in rows:
        if "KEY" in args:
            args = tuple(vox("trust", "keys").stdout.split()[0] if a == "KEY" else a for a in args)
        if "JUNK" in args: # something that nothing reaches
            args = args[1:]
            write(f"{T}/junk/j", "j")
            vox("commit", "junk", f"{T}/junk", "--copy")
            vox("branch", "junk", "--delete", "--force", "master")
        hold(name, args, event)

# at the other end of a transfer
vox("trust", "list")
O = f"{T}/other"
check("ref" in events(O), "push: an event at the other end for each ref", events(O))
write(f"{D}/sub-004/t1.nii", "scan 4")
vox("commit", "scans", D, "--copy")
vox("run", P)
vox("commit", "made", f"{T}/made", "--copy")
hold("push", ("--all",), "ref", store=O, do=lambda: vox("push", "--all", O))
hold("push", ("--results",), "received", store=O, do=lambda: vox("push", "--all", "--results", O))
hold("pull", ("--all", "--results"), "received", store=f"{T}/back", do=lambda: vox("pull", "--all", "--results", S, store=f"{T}/back"))
vox("attest", "sign", f"{T}/made", "--key", f"{T}/k2", "-o", f"{T}/made2.jsonl")
vox("trust", "take", f"{T}/made2.jsonl")
hold("push", ("attestations",), "attestations-kept", store=O, do=lambda: vox("push", "--all", O))
hold("erase", ("sub-004",), "erase", do=lambda: vox("erase", "sub-004", "--yes", "--reason", "x"))
hold("pull", ("a store that erased",), "erasure-proposed", store=f"{T}/late", do=lambda: vox("pull", "scans", S, store=f"{T}/late"))
hold("erase", ("--accept",), "erase", store=f"{T}/late", do=lambda: vox("erase", "--accept", sha(b"scan 4"), "--reason", "x", store=f"{T}/late"))
hold("import", ("--vouch",), "vouched", store=f"{T}/late", do=lambda: vox("import", f"{T}/normed", "--vouch", "x", store=f"{T}/late"))
for d in (S, O, f"{T}/back", f"{T}/late"):
    check(vox("history", "--check", store=d).returncode == 0, f"{os.path.basename(d)}: the history is whole")
    r = vox("verify", store=d)
    check(r.returncode == 0, f"{os.path.basename(d)}: and verify agrees with it", r.stdout[-600:] + r.stderr)

# a pin that goes behind the history's back
vox("pin", "p", "-m", "for the paper")
pin = os.listdir(f"{S}/pins")[0]
vox("tag", "p", "v2", "master")
os.remove(f"{S}/pins/{pin}")
r = vox("verify")
check(r.returncode == 76 and f"pin {pin[:16]}" in r.stdout + r.stderr, "a pin that was removed behind the history's back: verify says so", r.stdout)

# what all that wrote
wide = []
for base, dirs, names in os.walk(T):
    for n in dirs + names:
        s = os.lstat(f"{base}/{n}")
        if not stat.S_ISLNK(s.st_mode) and s.st_mode & 0o022:
            wide.append(f"{oct(s.st_mode)} {os.path.relpath(f'{base}/{n}', T)}")
check(not wide, "under a umask of 000 no command writes what others may write to", wide[:20])
inside = [f"{base}/{n}" for d in (S, O, f"{T}/back", f"{T}/late") for base, dirs, names in os.walk(f"{d}/git") for n in names if os.lstat(f"{base}/{n}").st_mode & 0o077]
check(not inside, "and the git mirrors are their store's owner's alone", inside[:5])
