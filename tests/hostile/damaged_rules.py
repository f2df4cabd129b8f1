"""One rule, one status at every door: a policy.json or consent.json that cannot be used is 78 in every command that goes by it and 76 in verify; a
consent.json that was lost, while the history says that somebody withdrew, is 76."""
import os, shutil, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

S = f"{T}/s"
scans = make_cohort(2)
made = normalize(scans, "--out", f"{T}/made", "--store", S)
check(made.returncode == 0, "a store with a stage's result", made.stderr)
tool("commit", "scans", scans, "--copy", store=S)
one = {"pipeline": {"name": "p"}, "transform": {"image": "x@sha256:" + "0" * 64, "cmd": ["true"]}, "input": {"pfs": {"name": "scans", "repo": "scans", "glob": "/*"}}}
write(f"{T}/p.json", json.dumps(one))
write(f"{T}/names", "sub-001\n")
write(f"{T}/argo.yaml", tool("emit", "argo", f"{T}/p.json").stdout)
tool("attest", "keygen", f"{T}/k")


POLICY = {     # what goes by the policy
    "a stage": lambda: normalize(scans, "--out", f"{T}/o", "--store", S),
    "run": lambda: tool("run", f"{T}/p.json", store=S),
    "audit": lambda: tool("audit", f"{T}/made", store=S),
    "subjects": lambda: tool("subjects", f"{T}/made", store=S),
    "descendants": lambda: tool("descendants", "--subject", "sub-001", store=S),
    "leakage": lambda: tool("leakage", f"{T}/made", f"{T}/made", store=S),
    "consent restore": lambda: tool("consent", "restore", "sub-001", "--reason", "x", store=S),
    "import": lambda: tool("import", f"{T}/made", store=S),
    "erase": lambda: tool("erase", "sub-001", "--yes", "--reason", "x", store=S),
    "gc --sweep": lambda: tool("gc", "--sweep", store=S),
    "trust demand": lambda: tool("trust", "demand", "approved", "erase", store=S),
    "trust vouch": lambda: tool("trust", "vouch", "--all", "--reason", "x", store=S),
    "trust add-key": lambda: tool("trust", "add-key", f"{T}/k.pub", store=S),
    "branch --delete": lambda: tool("branch", "--delete", "--force", "scans", "master", store=S),
    "pull": lambda: tool("pull", "scans", f"{T}/other", store=S),
    "push to it": lambda: tool("push", "scans", S, store=f"{T}/other"),
}
CONSENT = {    # and by the consents
    "a stage": POLICY["a stage"],
    "select": lambda: stage("select", "--names", f"{T}/names", "--from", scans, "--out", f"{T}/o", "--store", S),
    "run": POLICY["run"],
    "run --argo": lambda: tool("run", "--argo", f"{T}/argo.yaml", "--repo", f"scans={scans}", store=S),
    "plan --items": lambda: tool("plan", f"{T}/p.json", "--items", "--pipeline", "p", "--repo", f"scans={scans}", store=S),
    "audit": POLICY["audit"],
    "subjects": POLICY["subjects"],
    "consent list": lambda: tool("consent", "list", store=S),
    "consent check": lambda: tool("consent", "check", store=S),
}
tool("init", store=f"{T}/other")
shutil.copytree(S, f"{T}/other", dirs_exist_ok=True)
write(f"{T}/more/sub-009/t1.nii", "new")
tool("commit", "scans", f"{T}/more", "--copy", store=f"{T}/other")


def texts(path, text):
    write(path, text)


def link(path, _):
    os.symlink(f"{T}/away/{os.path.basename(path)}", path)


def folder(path, _):
    os.mkdir(path)


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    elif os.path.lexists(path):
        os.unlink(path)


damages = [("no JSON", texts, "{"), ("empty", texts, ""), ("another format", texts, '{"format":2}'), ("a list", texts, "[]"), ("an unknown word", texts, '{"format":1,"withdrown":[]}'),
    ("a directory", folder, None), ("a link to nowhere", link, None)]
for name, doors in (("policy.json", POLICY), ("consent.json", CONSENT)):
    path = f"{S}/{name}"
    for what, damage, text in damages:
        damage(path, text)
        wrong = {}
        for door, ask in doors.items():
            r = ask()
            if r.returncode != 78 or name not in r.stderr + r.stdout:
                wrong[door] = (r.returncode, r.stdout[-200:], r.stderr[-300:])
        r = tool("verify", store=S)
        if r.returncode != 76 or name.split(".")[0] not in r.stdout + r.stderr:
            wrong["verify"] = (r.returncode, r.stdout[-200:], r.stderr[-300:])
        check(not wrong, f"{name}: {what}: 78 at {len(doors)} doors, 76 by verify", wrong)
        check(not os.path.lexists(f"{T}/o"), "and no output appeared")
        shutil.rmtree(f"{T}/o", ignore_errors=True)
        remove(path)
for text in ('{"format":1,"withdrawn":{}}', '{"format":1,"withdrawn":["sub-001"]}', '{"format":1,"withdrawn":[{"name":"sub-001"}]}', '{"format":1,"approved":[]}'):
    write(f"{S}/consent.json", text)
    r = POLICY["a stage"]()
    check(r.returncode == 78, f"a consent.json of another form: 78: {text}", (r.returncode, r.stderr))
    shutil.rmtree(f"{T}/o", ignore_errors=True)
for number in ("1.5", "1e3"):
    for text in ('{"format":1,"withdrawn":[{"subject":"sub-009","time":%s}]}', '{"format":1,"decisions":[{"subject":"sub-009","x":[{"y":%s}]}]}'):
        write(f"{S}/consent.json", text % number)
        wrong = {c: r.returncode for c, r in (("stage", POLICY["a stage"]()), ("withdraw", tool("consent", "withdraw", "sub-001", "--reason", "x", store=S)), ("restore", POLICY["consent restore"]())) if r.returncode != 78 or "not whole" not in r.stderr}
        check(not wrong and open(f"{S}/consent.json").read() == text % number, f"a number that is not whole in consent.json: 78: {text % number}", wrong)
        shutil.rmtree(f"{T}/o", ignore_errors=True)
os.unlink(f"{S}/consent.json")
r = tool("trust", "add-key", f"{T}/k.pub", store=S)
kept = json.load(open(f"{S}/policy.json"))
for field, value in (("until", 1.5), ("until", 1e30), ("until", "2030-01-01"), ("from", 1e-3), ("revoked", True), ("revoked", 2.5), ("name", 1.5)):
    write(f"{S}/policy.json", json.dumps({**kept, "keys": [{**kept["keys"][0], field: value}]}))
    wrong = {c: (r.returncode, r.stderr) for c, r in ((c, POLICY[c]()) for c in ("a stage", "trust demand")) if r.returncode != 78 or field not in r.stderr or " must be a" not in r.stderr}
    check(r.returncode == 0 and not wrong, f"a key's {field} of another kind, {value!r}: 78", wrong)
    shutil.rmtree(f"{T}/o", ignore_errors=True)
for text in ('{"format":1.0}', '{"format":1,"approved":[1.5]}', '{"format":1,"x":1e3}', '{"format":1e0}'):
    write(f"{S}/policy.json", text)
    r = POLICY["trust demand"]()
    check(r.returncode == 78, f"trust demand on a policy with a number that is not whole: 78: {text}", (r.returncode, r.stderr))
r = tool("trust", "policy", store=S)
check(r.returncode == 78, "and trust policy", (r.returncode, r.stderr))
write(f"{S}/policy.json", canonical(kept))
r = tool("trust", "policy", store=S)
check(r.returncode == 0 and json.loads(r.stdout[r.stdout.index("{"):]) == kept, "trust policy prints JSON, a line a member", (r.returncode, r.stdout))
r = tool("verify", store=S)
check(r.returncode == 0, "put back, all is well", (r.stdout, r.stderr))
os.unlink(f"{S}/policy.json")
tool("trust", "add-key", f"{T}/k.pub", store=S)

r = stage("select", "--names", scans, "--from", scans, "--out", f"{T}/o")
check(r.returncode == 66 and "is a directory" in r.stderr and "give a file" in r.stderr, "a directory where a file is meant: 66, and said", (r.returncode, r.stderr))

# consent.json is lost or rewritten, and the history knows
r = tool("consent", "withdraw", "sub-001", "--reason", "by letter", store=S)
check(r.returncode == 0, "somebody withdraws", r.stderr)
kept = open(f"{S}/consent.json").read()
for what, text in (("is gone", None), ("names nobody", '{"decisions":[],"format":1,"withdrawn":[]}'), ("names somebody else", kept.replace("sub-001", "sub-002"))):
    os.unlink(f"{S}/consent.json")
    if text:
        write(f"{S}/consent.json", text)
    wrong = {}
    for door, ask in CONSENT.items():
        r = ask()
        if r.returncode != 76 or "sub-001" not in r.stderr + r.stdout:
            wrong[door] = (r.returncode, r.stdout[-200:], r.stderr[-300:])
    check(not wrong and tool("verify", store=S).returncode == 76, f"consent.json {what}: 76 at {len(CONSENT)} doors and by verify", wrong)
    write(f"{S}/consent.json", kept)
r = POLICY["a stage"]()
check(r.returncode == 65 and "withdrawn consent" in r.stderr, "put back, the stage refuses the subject: 65", (r.returncode, r.stderr))
r = POLICY["run"]()
r2 = CONSENT["run --argo"]()
check(r.returncode == 65 and r2.returncode == 65, "so do run and run --argo: 65", (r.returncode, r.stderr, r2.returncode, r2.stderr))
os.unlink(f"{S}/consent.json")
r = tool("consent", "withdraw", "sub-001", "--reason", "again", store=S)
check(r.returncode == 0 and POLICY["a stage"]().returncode == 65 and tool("consent", "list", store=S).returncode == 0, "withdrawn again, too", r.stderr)
r = tool("consent", "restore", "sub-001", "--reason", "a second letter", store=S)
os.unlink(f"{S}/consent.json")
r2 = POLICY["a stage"]()
check(r.returncode == 0 and r2.returncode == 0, "restored: nobody has withdrawn, and no file is needed", (r.stderr, r2.returncode, r2.stderr))
