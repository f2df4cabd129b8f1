#!/usr/bin/env python3
"""`voxtrail diff` says what `git diff --no-index` says, over random pairs of trees with distinct contents."""
import json, os, random, shutil, subprocess, sys

T = os.environ["T"]
store = os.path.join(T, "st")


def write(root, files):
    shutil.rmtree(root, ignore_errors=True)
    for path, (text, executable) in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as f:
            f.write(text)
        os.chmod(full, 0o755 if executable else 0o644)


def by_git(a, b):
    out = subprocess.run(["git", "diff", "--no-index", "-M100%", "--name-status", "-z", a, b], capture_output=True, text=True, cwd=T)
    words, said = out.stdout.split("\0")[:-1], set()
    while words:
        kind = words.pop(0)[0]
        if kind == "R":
            said.add(("renamed", words.pop(0)[2:], words.pop(0)[2:]))
        else:
            said.add(({"A": "added", "D": "removed", "M": "changed"}[kind], words.pop(0)[2:]))
    return said, out.returncode


def by_us(*args):
    out = subprocess.run(["voxtrail", "diff", *args, "--store", store, "--json"], capture_output=True, text=True)
    j = json.loads(out.stdout)
    said = {(k, f["path"]) for k in ("added", "removed", "changed") for f in j[k]}
    said |= {("renamed", f["before"]["path"], f["path"]) for f in j["renamed"]}
    for f in [f for k in ("added", "removed", "changed", "renamed") for f in j[k]]:
        assert f["size"] >= 0 and len(f["sha256"]) == 64
    return said, out.returncode, j


def main():
    rng = random.Random(5)
    wrong = 0
    for case in range(12):
        names = [f"{rng.choice('pqr')}/{rng.choice(['s/', ''])}{i:02d}" for i in range(12)]
        before = {n: ("x" * rng.randrange(1, 300) + f"unique {i} {case}\n", rng.random() < 0.2) for i, n in enumerate(names)}
        after = dict(before)
        for n in names:
            act = rng.choice(["keep", "keep", "keep", "remove", "change", "move", "mode"])
            if act == "remove":
                after.pop(n)
            elif act == "change":
                after[n] = (after[n][0] + "more\n", after[n][1])
            elif act == "move":
                after["moved/" + n.replace("/", "_")] = after.pop(n)
            elif act == "mode":
                after[n] = (after[n][0], not after[n][1])
        after["new"] = (f"new {case}\n", False)
        if case == 0:
            after = dict(before)
        write(os.path.join(T, "a"), before)
        write(os.path.join(T, "b"), after)
        git, git_rc = by_git("a", "b")
        for d in "ab":
            subprocess.run(["voxtrail", "commit", f"r{case}", os.path.join(T, d), "--store", store], check=True, stdout=subprocess.DEVNULL)
        if case == 0:
            subprocess.run(["voxtrail", "commit", "r0", os.path.join(T, "b"), "--allow-empty", "--store", store], check=True, stdout=subprocess.DEVNULL)
        ours, rc, _ = by_us(f"r{case}~1", f"r{case}")
        if ours != git or rc != git_rc:
            wrong += 1
            print(f"# case {case}: rc {rc} vs {git_rc}; only here {sorted(ours - git)}; only git {sorted(git - ours)}")
    print("not ok" if wrong else "ok", "- added, removed, changed, renamed and exit status as git's, 12 pairs of trees")

    write(os.path.join(T, "a"), {"x1": ("same\n", False), "x2": ("same\n", False), "gone": ("g\n", False)})
    write(os.path.join(T, "b"), {"y1": ("same\n", False), "y2": ("same\n", False), "y3": ("same\n", False)})
    for d in "ab":
        subprocess.run(["voxtrail", "commit", "dup", os.path.join(T, d), "--store", store], check=True, stdout=subprocess.DEVNULL)
    ours, rc, j = by_us("dup~1", "dup")
    good = ours == {("renamed", "x1", "y1"), ("renamed", "x2", "y2"), ("added", "y3"), ("removed", "gone")} and rc == 1
    print("ok" if good else "not ok", "- equal contents are paired in order of path")
    text = subprocess.run(["voxtrail", "diff", "dup~1", "dup", "--store", store], capture_output=True, text=True).stdout
    print("ok" if "1 added, 1 removed, 0 changed, 2 renamed, 0 the same" in text and "x1 -> y1" in text else "not ok", "- the same as text")
    bad = subprocess.run(["voxtrail", "diff", "dup", "nothing", "--store", store], capture_output=True, text=True)
    print("ok" if bad.returncode == 66 and "nothing" in bad.stderr else "not ok", "- a repo that is not there: exit 66")


sys.exit(main())
