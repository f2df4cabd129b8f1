#!/usr/bin/env python3
"""Plain git reads the mirror of a data repo, the mirror is the same however it came to be, and a spec's work tree is captured as
git itself describes it."""
import hashlib, json, os, shutil, subprocess, sys

T = os.environ["T"]
store = os.path.join(T, "st")
env = dict(os.environ, VOXTRAIL_STORE=store, GIT_CONFIG_GLOBAL="/dev/null", GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a",
           GIT_COMMITTER_EMAIL="a@b")
clock = 1767225600


def ok(good, what):
    print("ok" if good else "not ok", "-", what, flush=True)


def run(*words, cwd=T, check=True, **more):
    out = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env=dict(env, **more))
    if check and out.returncode:
        raise SystemExit(f"not ok - {' '.join(words)}: {out.returncode}: {out.stderr}")
    return out.stdout


def commit(repo, files, message, at=None, **more):
    global clock
    clock += 3600
    d = os.path.join(T, "d")
    shutil.rmtree(d, ignore_errors=True)
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(d, path)) or d, exist_ok=True)
        with open(os.path.join(d, path), "w") as f:
            f.write(text)
        os.chmod(os.path.join(d, path), 0o755 if path.startswith("bin") else 0o644)
    run("voxtrail", "commit", repo, d, "-m", message, "--author", "A. Nurse <a@example.org>", SOURCE_DATE_EPOCH=str(clock), **more)


def refs(git):
    return run("git", "for-each-ref", "--format=%(refname) %(objectname)", cwd=git)


git = os.path.join(store, "git", "scans.git")
commit("scans", {"sub-001/t1.nii": "one", "sub-001/seg.nii": "s", "bin/tool": "#!"}, "first ä\n\nwith a body")
commit("scans", {"sub-001/t1.nii": "two", "sub-001/seg.nii": "s", "bin/tool": "#!"}, "second")
run("voxtrail", "tag", "scans", "v1.0", "master~1")
run("voxtrail", "branch", "scans", "trial", "master~1")
commit("scans@trial", {"sub-002/t1.nii": "three"}, "")
log = json.loads(run("voxtrail", "log", "scans", "--json"))
said = run("git", "log", "--format=%an|%ae|%at|%cn|%s|%(trailers:key=Voxtrail-Commit,valueonly,separator=)|%(trailers:key=Voxtrail-Tree,valueonly,separator=)", cwd=git).splitlines()
ok(said == [f"A. Nurse|a@example.org|{c['time']}|voxtrail|{c['message'].splitlines()[0]}|{c['commit']}|{c['tree']}" for c in log], "git log: authors, times, subjects, ids")
changed = [l for l in run("git", "diff", "master~1", "master", cwd=git).splitlines() if l[:1] in "+-" and l[:3] not in ("+++", "---")]
h = lambda t: hashlib.sha256(t.encode()).hexdigest()
ok(changed == [f"-{h('one')}  sub-001/t1.nii", f"+{h('two')}  sub-001/t1.nii"], "git diff shows the file that changed")
run("voxtrail", "checkout", "scans@v1.0", "co")
open(os.path.join(T, "M"), "w").write(run("git", "show", "v1.0:MANIFEST", cwd=git))
ok("FAILED" not in run("sha256sum", "-c", "../M", cwd=os.path.join(T, "co")) and run("git", "show", "v1.0:EXECUTABLE", cwd=git) == "bin/tool\n", "sha256sum -c MANIFEST in a checkout; EXECUTABLE")
ok([l.split()[0] for l in refs(git).splitlines()] == ["refs/heads/master", "refs/heads/trial", "refs/tags/v1.0"], "branches and tags are the same")
ok(subprocess.run(["git", "fsck", "--strict", "--no-dangling"], cwd=git, env=env, capture_output=True).returncode == 0, "git fsck --strict")
ok(run("git", "log", "-1", "--format=%s", "trial", cwd=git).startswith("Tree ") and run("git", "merge-base", "trial", "master", cwd=git) == run("git", "rev-parse", "master~1", cwd=git), "a branch shares its history")

before = refs(git)
shutil.rmtree(git)
run("voxtrail", "mirror")
ok(refs(git) == before, "removed and made again: the same git ids")
run("voxtrail", "push", "--all", os.path.join(T, "far"))
ok(refs(os.path.join(T, "far", "git", "scans.git")) == before, "a copy of the store has the same mirror")
obj = run("git", "rev-parse", "master", cwd=git).strip()
os.chmod(os.path.join(git, "objects", obj[:2], obj[2:]), 0o644)
open(os.path.join(git, "objects", obj[:2], obj[2:]), "w").write("rubbish")
commit("scans", {"sub-001/t1.nii": "five"}, "after damage")
ok(run("git", "rev-parse", "master~1", cwd=git).strip() == obj and run("git", "log", "-1", "--format=%s", cwd=git) == "after damage\n", "a damaged mirror is made anew by the next commit")
run("voxtrail", "tag", "scans", "v1.0", "--delete")
run("voxtrail", "branch", "scans", "trial", "--delete", "--force")
ok([l.split()[0] for l in refs(git).splitlines()] == ["refs/heads/master"], "removed refs go from the mirror")
shutil.rmtree(os.path.join(store, "git"))
open(os.path.join(store, "git"), "w").close()
commit("scans", {"x": "six"}, "no mirror possible")
ok(json.loads(run("voxtrail", "log", "scans", "-n", "1", "--json"))[0]["message"] == "no mirror possible", "a mirror that cannot be made fails no commit")
os.unlink(os.path.join(store, "git"))
commit("scans", {"x": "seven"}, "off", VOXTRAIL_GIT_MIRROR="0")
ok(not os.path.exists(git), "VOXTRAIL_GIT_MIRROR=0: none is made")

# --- a spec in a work tree
work, cohort = os.path.join(T, "work"), os.path.join(T, "cohort")
os.makedirs(os.path.join(work, "specs"))
os.makedirs(cohort)
open(os.path.join(cohort, "a"), "w").write("a\n")
spec = {"pipeline": {"name": "copy"}, "transform": {"image": "copy@sha256:" + "0" * 64, "cmd": ["sh", "-c", ""]}, "input": {"pfs": {"name": "in", "repo": "in", "glob": "/"}}}
path = os.path.join(work, "specs", "copy.json")


def source(cmd):
    spec["transform"]["cmd"][2] = cmd
    json.dump(spec, open(path, "w"))
    run("voxtrail", "run", path, "--repo", "in=" + cohort)
    return json.loads(run("voxtrail", "log", "copy", "-n", "1", "--json"))[0].get("source")


s = source("cp /pfs/in/a /pfs/out/a")
ok(s == {"sha256": hashlib.sha256(open(path, "rb").read()).hexdigest()}, "a spec outside of git: its digest")
run("git", "init", "-q", "-b", "main", cwd=work)
run("git", "remote", "add", "origin", "https://user:secret@example.org/x.git", cwd=work)
s = source("cp /pfs/in/a /pfs/out/b")["git"]
ok(s["commit"] == "" and s["file"] == "untracked" and s["remote"] == "https://example.org/x.git", "before the first commit; no password in the record")
open(os.path.join(work, "other"), "w").write("x\n")
run("git", "add", "-A", cwd=work)
run("git", "commit", "-qm", "spec", cwd=work)
head = run("git", "rev-parse", "HEAD", cwd=work).strip()
open(os.path.join(work, "other"), "w").write("y\n")
spec_now = open(path).read()
s = source("cp /pfs/in/a /pfs/out/c")["git"]
diff = subprocess.run(["git", "diff", "HEAD", "--binary", "--full-index"], cwd=work, env=env, capture_output=True).stdout
ok(s == {"commit": head, "dirty": True, "diff": hashlib.sha256(diff).hexdigest(), "file": "modified", "path": "specs/copy.json", "remote": "https://example.org/x.git"}, "modified: the digest of what git diff prints")
run("git", "add", "-A", cwd=work)
run("git", "commit", "-qm", "changed", cwd=work)
count = len(json.loads(run("voxtrail", "log", "copy", "--json")))
s = source("cp /pfs/in/a /pfs/out/c")
ok(len(json.loads(run("voxtrail", "log", "copy", "--json"))) == count, "another commit of the spec alone makes no data commit")
open(os.path.join(cohort, "a"), "w").write("b\n")
s = source("cp /pfs/in/a /pfs/out/c")["git"]
ok(s["commit"] == run("git", "rev-parse", "HEAD", cwd=work).strip() and s["dirty"] is False and s["file"] == "committed" and "diff" not in s, "a clean work tree")
sys.exit(0)
