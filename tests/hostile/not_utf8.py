"""A text that is not UTF-8, given to any command that keeps it, is refused before it is written: the store stays readable and whole."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

S, BAD = f"{T}/s", os.fsdecode(b"x\xffy")
scans = make_cohort(2)
made = normalize(scans, "--out", f"{T}/made", "--store", S)
check(made.returncode == 0, "a store with a stage's result", made.stderr)
tool("commit", "scans", scans, "--copy", store=S)
record = tool("audit", f"{T}/made", "--list", store=S).stdout.split()[0]
tool("attest", "keygen", f"{T}/k")
tool("consent", "withdraw", "sub-002", "--reason", "by letter", store=S)

DOORS = {
    "consent withdraw --reason": ("consent", "withdraw", "sub-001", "--reason", BAD),
    "consent withdraw NAME": ("consent", "withdraw", BAD, "--unknown", "--reason", "r"),
    "consent restore --reason": ("consent", "restore", "sub-002", "--reason", BAD),
    "pin --reason": ("pin", record, "--reason", BAD),
    "erase --reason": ("erase", "sub-001", "--yes", "--reason", BAD),
    "commit --vouch": ("commit", "new", f"{T}/made", "--copy", "--vouch", BAD),
    "commit -m": ("commit", "new", scans, "--copy", "-m", BAD),
    "import --vouch": ("import", f"{T}/made", "--vouch", BAD),
    "trust add-key --name": ("trust", "add-key", f"{T}/k.pub", "--name", BAD),
    "tag": ("tag", "scans", BAD),
}
for name, args in DOORS.items():
    r = tool(*args, store=S)
    v = tool("verify", store=S)
    check(r.returncode == 64 and "UTF-8" in r.stderr or name == "tag" and r.returncode == 64, f"{name}: refused", (r.returncode, r.stderr))
    check(v.returncode == 0, f"{name}: the store is whole", (v.returncode, v.stdout, v.stderr))
r = tool("pin", record, "--reason", "r", store=S, env={**os.environ, "VOXTRAIL_ACTOR": BAD})
check(r.returncode == 64 and "by: a text that is not UTF-8" in r.stderr, "VOXTRAIL_ACTOR: refused", (r.returncode, r.stderr))
r = normalize(scans, "--out", f"{T}/o", "--store", S, "--allow", BAD)
check(r.returncode == 64, "a stage's param: refused", (r.returncode, r.stderr))
lines = tool("history", "--json", store=S).stdout
check(len(lines.splitlines()) == len(open(f"{S}/history").read().splitlines()) and tool("consent", "list", store=S).returncode == 0,
      "history and consents can be read", lines)
