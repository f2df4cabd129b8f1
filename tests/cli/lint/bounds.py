"""A file decides neither how long lint takes nor how much it says: findings are counted and the first are shown, pipelines are bounded."""
import json, os, subprocess, time
T = os.environ["T"]


def say(good, what, seen=""):
    print(("ok - " if good else "not ok - ") + what + ("" if good else f": {str(seen)[-600:]}"))


def one(name, repo):
    return {"pipeline": {"name": name}, "transform": {"image": "x@sha256:" + "0" * 64, "cmd": ["true"]}, "input": {"pfs": {"name": "r", "repo": repo, "glob": "/"}}}


def lint(what):
    path = f"{T}/spec.json"
    json.dump(what, open(path, "w"))
    before = os.times()
    r = subprocess.run(["voxtrail", "lint", path], capture_output=True, text=True, timeout=300)
    after = os.times()
    return r, after.children_user - before.children_user


slow = 40 if "asan" in os.environ["B"] or "tsan" in os.environ["B"] else 10
r, seconds = lint([one("p", "r")] * 4000)
say(r.returncode == 65 and "3999 errors" in r.stdout and r.stderr.count("another pipeline of this file") == 1000 and "2999 more findings" in r.stderr and seconds < slow,
    "4000 pipelines of one name: one finding each, the first thousand are shown", (r.returncode, seconds, r.stdout, r.stderr))
r, seconds = lint([one(f"p{i}", f"p{i + 1}") for i in range(3000)])
say(r.returncode == 0 and seconds < slow, "3000 pipelines that each read the next one", (r.returncode, seconds, r.stderr))
r, seconds = lint([one(f"p{i}", f"p{(i + 1) % 1000}") for i in range(1000)])
say(r.returncode == 65 and "cycle" in r.stderr and seconds < slow, "a circle of a thousand", (r.returncode, seconds, r.stderr))
r, seconds = lint([1] * 400000)
say(r.returncode == 65 and "400000 pipelines in one file; at most 4096" in r.stderr and seconds < slow, "more pipelines than a file may have", (r.returncode, seconds, r.stderr))
r, seconds = lint({**one("p", "r"), **{f"k{i}": 1 for i in range(50000)}})
say(r.returncode == 65 and "50000 errors" in r.stdout and r.stderr.count("\n") == 1001 and seconds < slow, "50000 unknown keys", (r.returncode, seconds, r.stdout))
