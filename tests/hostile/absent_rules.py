"""No file, no rule: a rule's file that is a link to nowhere, or that nobody may look at, is an error and not an absent rule."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

S = f"{T}/s"
scans = make_cohort(1)
tool("commit", "scans", scans, "--copy", store=S)


def refused(r, status, words, what):
    check(r.returncode == status and all(w in r.stderr + r.stdout for w in words), what, (r.returncode, r.stdout, r.stderr))


os.symlink(f"{T}/away/policy.json", f"{S}/policy.json")
refused(tool("erase", "sub-001", "--yes", "--reason", "x", store=S), 78, ["policy.json"], "a policy that is a link to nowhere")
refused(tool("verify", store=S), 76, ["policy.json"], "verify says so")
os.unlink(f"{S}/policy.json")
os.symlink(f"{T}/away/consent.json", f"{S}/consent.json")
refused(normalize(scans, "--out", f"{T}/o", "--store", S), 78, ["consent.json"], "a stage: consent.json is a link to nowhere")
refused(tool("consent", "list", store=S), 78, ["consent.json"], "consent list")
refused(tool("verify", store=S), 76, ["consent.json"], "verify")
os.unlink(f"{S}/consent.json")
env = dict(os.environ, VOXTRAIL_CONSENT=f"{T}/away/consent.json")
refused(normalize(scans, "--out", f"{T}/o", env=env), 78, ["VOXTRAIL_CONSENT", "no such directory"], "$VOXTRAIL_CONSENT in a directory that is not there")
check(not os.path.exists(f"{T}/o"), "and nothing was written")
write(f"{T}/p.json", json.dumps({"pipeline": {"name": "p"}, "transform": {"image": "x@sha256:" + "0" * 64, "cmd": ["true"]}, "input": {"pfs": {"name": "scans", "repo": "scans", "glob": "/*"}}}))
refused(tool("plan", f"{T}/p.json", "--items", "--pipeline", "p", "--repo", f"scans={scans}", store=S, env=env), 78, ["VOXTRAIL_CONSENT"], "plan --items")
refused(tool("record", f"{T}/p.json", "--pipeline", "p", "--in", scans, "--out", f"{T}/made", env=env), 78, ["VOXTRAIL_CONSENT"], "record")
r = normalize(scans, "--out", f"{T}/o", env=dict(os.environ, VOXTRAIL_CONSENT=f"{S}/consent.json"))
check(r.returncode == 0, "a store where nobody withdrew so far has no file, and that is fine", (r.returncode, r.stderr))
if os.getuid():
    os.chmod(S, 0o000)
    r = normalize(scans, "--out", f"{T}/o2", env=dict(os.environ, VOXTRAIL_CONSENT=f"{S}/consent.json"))
    os.chmod(S, 0o700)
    refused(r, 78, ["consent.json"], "one that may not be looked at")
else:
    print("skip - one that may not be looked at: root may look at everything")

# an erasure whose tombstone is damaged still holds
r = tool("erase", "sub-001", "--yes", "--reason", "by letter", store=S)
tombs = [os.path.join(d, f) for d, _, names in os.walk(f"{S}/tombs") for f in names]
check(r.returncode == 0 and tombs, "a subject is erased", (r.returncode, r.stderr, tombs))
for tomb in tombs:
    os.chmod(tomb, 0o600)
    write(tomb, "{")
r = tool("commit", "scans", scans, "--copy", store=S)
refused(r, 65, ["these bytes were erased", "cannot be read"], "what was erased does not come back past a damaged tombstone")

# verify: of the last decision, too, only a killed process leaves none
V = f"{T}/v"
tool("commit", "scans", scans, "--copy", store=V)
tool("consent", "withdraw", "sub-001", "--reason", "by letter", store=V)
os.unlink(f"{V}/consent.json")
refused(tool("verify", store=V), 76, ["consent sub-001", "is not there, but the history says"], "verify: consent.json was deleted after the last decision")
W = f"{T}/w"
tool("commit", "scans", scans, "--copy", store=W)
tool("erase", "sub-001", "--yes", "--reason", "by letter", store=W)
check(tool("verify", store=W).returncode == 0, "verify: an erasure is none")
one = next(os.path.join(d, f) for d, _, names in os.walk(f"{W}/tombs") for f in names)
kept = open(one).read()
os.chmod(one, 0o600)
for text, words, what in ((kept.replace("by letter", "forged"), ["no erasure of the history has its person and reason"], "another reason"), ("", ["is damaged, but the history says"], "empty")):
    write(one, text)
    refused(tool("verify", store=W), 76, ["tombstone"] + words, "verify: a tombstone is " + what)
os.unlink(one)
os.mkdir(one)
refused(tool("verify", store=W), 76, ["tombstone", "is damaged"], "verify: a tombstone is a directory")
