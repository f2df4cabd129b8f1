"""History and store are held against each other: what was put there, taken away or rewritten behind the history's back is found."""
import json, os, shutil, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

S = f"{T}/store"
for n in (1, 2, 3):
    write(f"{T}/scans/sub-00{n}/t1.nii", f"scan {n}")
tool("commit", "scans", f"{T}/scans", "--copy", "-m", "one", store=S)
write(f"{T}/scans/sub-001/t2.nii", "more")
tool("commit", "scans", f"{T}/scans", "--copy", "-m", "two", store=S)
tool("consent", "withdraw", "sub-001", "--reason", "a letter", store=S)
tool("erase", "sub-002", "--yes", "--reason", "a letter", store=S)
stage("voxtrail", "attest", "keygen", f"{T}/k")
tool("trust", "add-key", f"{T}/k.pub", store=S)
check(tool("verify", store=S).returncode == 0, "the store as it is: verify 0", tool("verify", store=S).stdout)
head = tool("history", "--check", store=S).stdout.split()[-1]


def tampered(what, change, said):
    d = f"{T}/copy"
    shutil.rmtree(d, ignore_errors=True)
    shutil.copytree(S, d)
    change(d)
    r = tool("verify", store=d)
    check(r.returncode == 76 and said in r.stdout + r.stderr, f"{what}: verify says so", (r.returncode, r.stdout[-300:], r.stderr))


def edit(path, change):
    data = open(path, "rb").read()
    os.chmod(path, 0o644)
    open(path, "wb").write(change(data))


def consent(change):
    def on(d):
        j = json.load(open(f"{d}/consent.json"))
        change(j)
        edit(f"{d}/consent.json", lambda _: canonical(j))
    return on


first = [l for l in tool("log", "scans", "--json", store=S).stdout.split('"') if len(l) == 64]
commits = json.loads(tool("log", "scans", "--json", store=S).stdout)
older = sorted({first_id for first_id in first if os.path.exists(f"{S}/commits/{first_id[:2]}/{first_id[2:]}")} - {open(f"{S}/refs/scans/heads/master").read().strip()})[0]
tampered("empty lists in consent.json", consent(lambda j: j.update(withdrawn=[], decisions=[])), "consent sub-001")
tampered("one withdrawal taken out", consent(lambda j: j["withdrawn"].pop()), "consent sub-00")
tampered("content taken out of a withdrawal", consent(lambda j: j["withdrawn"][0].update(content=[])), "consent sub-001")
tampered("a decision nobody took", consent(lambda j: j["decisions"].append({"record": "0" * 64, "subject": "sub-001", "decision": "accept", "reason": "", "by": "", "time": 0})), "decision ")
tampered("consent.json removed", lambda d: os.remove(f"{d}/consent.json"), "consent sub-001")
tampered("a branch moved back", lambda d: edit(f"{d}/refs/scans/heads/master", lambda _: older.encode() + b"\n"), "ref scans heads/master")
tampered("a branch removed", lambda d: os.remove(f"{d}/refs/scans/heads/master"), "ref scans heads/master")
tampered("a branch made", lambda d: shutil.copy(f"{d}/refs/scans/heads/master", f"{d}/refs/scans/heads/other"), "ref scans heads/other")
tampered("a tombstone removed", lambda d: shutil.rmtree(f"{d}/tombs"), "tombstone ")
tampered("a tombstone made", lambda d: write(f"{d}/tombs/00/{'0' * 62}", canonical({"by": "root", "format": 1, "reason": "x", "size": 1, "time": 0})), "tombstone 0000")
tampered("the policy changed", lambda d: edit(f"{d}/policy.json", lambda b: b.replace(b'"name":"k.pub"', b'"name":"other"')), "policy")
tampered("the history removed", lambda d: os.remove(f"{d}/history"), "the history says nothing of it")
tampered("the history's end cut off", lambda d: edit(f"{d}/history", lambda b: b"".join(b.splitlines(True)[:-3])), "the history says")
id_, text, j = record("train", [], [("out", files_of({"x": b"y"}))])
tampered("belief made up in the index", lambda d: stage("python3", "-c", f"import sqlite3; c = sqlite3.connect('{d}/lineage.db'); c.execute('INSERT INTO trust VALUES (?, ?)', (bytes.fromhex('{id_}'), 'made')); c.commit()"), "trust ")

# a head that was signed and kept elsewhere
tool("history", "--anchor", f"{T}/anchor", "--key", f"{T}/k", store=S)
r = tool("verify", "--anchor", f"{T}/anchor", "--key", f"{T}/k.pub", store=S)
check(r.returncode == 0 and "nothing up to it was changed" in str(r.stdout), "the store holds the head that was anchored, and verify says so", r.stdout)
tool("commit", "more", f"{T}/scans", "--copy", store=S)
check(tool("verify", "--anchor", f"{T}/anchor", "--key", f"{T}/k.pub", store=S).returncode == 0, "and holds it later on")
d = f"{T}/rewritten"
shutil.copytree(S, d)
lines, prev = [], "0" * 64
for l in open(f"{d}/history", "rb").read().splitlines():
    j = dict(json.loads(l), by="somebody else", prev=prev)
    lines.append(canonical(j))
    prev = sha(lines[-1])
edit(f"{d}/history", lambda _: b"\n".join(lines) + b"\n")
r = tool("verify", store=d)
check(tool("history", "--check", store=d).returncode == 0 and r.returncode == 76 and "has its person and reason" in str(r.stdout) + str(r.stderr), "a history rewritten with other names: the tombstones name the old ones", str(r.stdout) + str(r.stderr))
for folder, _, names in os.walk(f"{d}/tombs"):
    for name in names:
        edit(f"{folder}/{name}", lambda b: canonical(dict(json.loads(b), by="somebody else")))
check(tool("verify", store=d).returncode == 0, "rewritten as a whole, tombstones too, it is sound in itself")
r = tool("verify", "--anchor", f"{T}/anchor", "--key", f"{T}/k.pub", store=d)
check(r.returncode == 76 and "anchor" in r.stderr + r.stdout, "and found by the anchor", r.stderr)
stage("voxtrail", "attest", "keygen", f"{T}/k2")
tool("history", "--anchor", f"{T}/forged", "--key", f"{T}/k2", store=d)
check(tool("verify", "--anchor", f"{T}/forged", "--key", f"{T}/k.pub", store=d).returncode == 76, "an anchor of another key is none")
r = tool("history", "--head", store=S)
check(r.returncode == 0 and len(r.stdout.strip()) == 64, "--head prints what a time stamp authority stamps", r.stdout)
if shutil.which("openssl"):
    r = stage("openssl", "ts", "-query", "-digest", r.stdout.strip(), "-sha256", "-out", f"{T}/q.tsq")
    check(r.returncode == 0, "openssl ts makes a query of it", r.stderr)
else:
    print("skip - openssl ts makes a query of it: openssl is not installed")
events = [json.loads(l) for l in tool("export-log", store=S).stdout.splitlines()]
check([e["event"] for e in events][:3] == ["ref", "ref", "consent-withdrawn"] and all(len(e["digest"]) == 64 and e["time"].endswith("Z") for e in events), "export-log: a JSON line an event", events[:2])
tail = [json.loads(l) for l in tool("export-log", "--since", str(len(events) - 1), store=S).stdout.splitlines()]
check(len(tail) == 1 and tail[0]["n"] == len(events), "--since: only what is new")
