"""One directory has one tree id through every door, and every commit id that is printed anywhere is understood everywhere.

Random cohorts: names, depths, sizes, equal files, empty files, executable files, records beside files.  The tree id is computed here,
by another program, and must be what commit, run --repo, a run's output, push, checkout and import say."""
import hashlib, json, os, random, re, shutil, subprocess

T = os.environ["T"]
image = "i@sha256:" + "0" * 64


def check(good, what, why=""):
    print(f"{'ok' if good else 'not ok'} - {what}" + ("" if good else f": {str(why)[-800:]}"), flush=True)


def vox(*args, store):
    r = subprocess.run(["voxtrail", *args, "--store", store], capture_output=True, text=True)
    assert r.returncode == 0, (args, r.returncode, r.stderr)
    return r.stdout


def tree_id(path):
    lines, total = [], 0
    for name in sorted(os.listdir(os.fsencode(path))):
        full = os.path.join(os.fsencode(path), name)
        if name == b".lineage":
            continue
        if os.path.isdir(full):
            digest, size = tree_id(full)
            kind = b"d"
            if digest == hashlib.sha256(b"voxtree 1\n").hexdigest():
                continue
        else:
            data = open(full, "rb").read()
            digest, size = hashlib.sha256(data).hexdigest(), len(data)
            kind = b"x" if os.stat(full).st_mode & 0o100 else b"f"
        lines.append(b"%s %s %d %s\n" % (kind, digest.encode(), size, name))
        total += size
    return hashlib.sha256(b"voxtree 1\n" + b"".join(lines)).hexdigest(), total


letters = "abAB019-_.+ @"


def name(rng):
    return rng.choice("abAB019_") + "".join(rng.choice(letters) for _ in range(rng.randrange(8))) + rng.choice("xyz")


def cohort(root, rng):
    same = rng.randbytes(rng.randrange(1, 3000))
    for _ in range(rng.randrange(1, 25)):
        d = os.path.join(root, *[name(rng) for _ in range(rng.randrange(4))])
        path = os.path.join(d, name(rng))
        try:
            os.makedirs(d, exist_ok=True)
            if os.path.exists(path):
                continue
            with open(path, "wb") as f:
                f.write(rng.choice([b"", same, rng.randbytes(rng.randrange(5000))]))
        except (FileExistsError, NotADirectoryError):
            continue
        os.chmod(path, rng.choice([0o644, 0o600, 0o755, 0o700, 0o444]))
        if rng.random() < 0.2:
            os.makedirs(d + "/.lineage/notes", exist_ok=True)
            open(d + "/.lineage/notes/of-a-stage.txt", "w").write("no part of the tree")


json.dump({"pipeline": {"name": "copy"}, "input": {"pfs": {"name": "src", "repo": "src", "glob": "/"}},
           "transform": {"image": image, "cmd": ["sh"], "stdin": ["cp -rp /pfs/src/. /pfs/out/", "rm -rf /pfs/out/.lineage",
                                                                 f"echo $src_COMMIT $PACH_OUTPUT_COMMIT_ID >{T}/told"]}}, open(T + "/copy.json", "w"))


def head(repo, store):
    return json.loads(vox("log", repo, "-n", "1", "--json", store=store))[0]


def doors(i, rng):
    """Every way in and out, by name, with the tree id it gives."""
    w = f"{T}/{i}"
    os.makedirs(w + "/d")
    cohort(w + "/d", rng)
    want = tree_id(w + "/d")[0]
    seen = {}
    vox("commit", "src", w + "/d", "--copy", store=w + "/s1")
    seen["commit"] = head("src", w + "/s1")["tree"]
    vox("run", T + "/copy.json", "--repo", f"src={w}/d", "--checkout", w + "/co", store=w + "/s2")
    seen["run --repo"] = head("src", w + "/s2")["tree"]
    seen["a run's output"] = head("copy", w + "/s2")["tree"]
    seen["run --checkout"] = tree_id(w + "/co/copy")[0]
    vox("push", "src", w + "/s3", store=w + "/s1")
    seen["push"] = head("src", w + "/s3")["tree"]
    for how in [], ["--writable"]:
        vox("checkout", "src", f"{w}/out{len(how)}", *how, store=w + "/s3")
        seen[" ".join(["checkout", *how])] = tree_id(f"{w}/out{len(how)}")[0]
    vox("import", w + "/out1", store=w + "/s4")
    seen["import"] = want if os.path.exists(f"{w}/s4/trees/{want[:2]}/{want[2:]}") else os.listdir(w + "/s4/trees")
    vox("run", T + "/copy.json", store=w + "/s3")
    seen["the output of a run over a pushed repo"] = head("copy", w + "/s3")["tree"]
    return want, seen


wrong = []
for i in range(6):
    want, seen = doors(i, random.Random(i))
    wrong += [(i, door, id, want) for door, id in seen.items() if id != want]
check(not wrong, f"six random cohorts through {len(seen)} doors: one id each", wrong)

# Every id that was told, in the store of the last run.
store, printed = f"{T}/5/s2", {"src": set(), "copy": set()}
vox("run", T + "/copy.json", "--repo", f"src={T}/5/d", store=store)
open(T + "/5/d/one-more", "w").write("1")
vox("run", T + "/copy.json", "--repo", f"src={T}/5/d", store=store)
src, job = open(T + "/told").read().split()
printed["src"].add(src)
printed["copy"].add(job)
explained = vox("explain", "copy", "/one-more", store=store)
printed["copy"].add(re.search(r"^commit +(\w+)", explained, re.M).group(1))
for repo in printed:
    printed[repo] |= {line.split()[0] for line in vox("log", repo, store=store).splitlines()}
    printed[repo] |= {c["commit"] for c in json.loads(vox("log", repo, "--json", store=store))}
    said = vox("checkout", repo, f"{T}/last-{repo}", store=store)
    printed[repo].add(re.search(r"commit (\w+)", said).group(1))
lost = []
for repo, ids in printed.items():
    for id in sorted(ids):
        for command in ["log", f"{repo}@{id}", "-n", "1"], ["diff", f"{repo}@{id}", repo], ["checkout", f"{repo}@{id}", f"{T}/by/{repo}/{id}"], ["branch", repo, f"b{len(id)}-{id[:8]}", f"{repo}@{id}"]:
            r = subprocess.run(["voxtrail", *command, "--store", store], capture_output=True, text=True)
            if r.returncode not in (0, 1):
                lost.append((command, r.returncode, r.stderr))
check(not lost, f"{sum(map(len, printed.values()))} ids that were printed, in four commands each: all are understood", lost)
now = {repo: head(repo, store) for repo in printed}
check(src == now["src"]["commit"], "<input>_COMMIT is the commit's id", (src, now["src"]["commit"]))
check(head("copy@" + job, store)["commit"] == now["copy"]["commit"], "PACH_OUTPUT_COMMIT_ID means the output's commit")
check(now["copy"]["commit"] in explained, "explain names the commit as log does", explained)

# A pushed output is an input like any other.
vox("push", "--all", T + "/far", store=store)
json.dump({"pipeline": {"name": "next"}, "input": {"pfs": {"name": "copy", "repo": "copy", "glob": "/"}},
           "transform": {"image": image, "cmd": ["sh"], "stdin": ["cp -rp /pfs/copy/. /pfs/out/"]}}, open(T + "/next.json", "w"))
vox("run", T + "/next.json", store=T + "/far")
check(head("next", T + "/far")["tree"] == now["copy"]["tree"], "a pipeline reads what was pushed from another store")
r = subprocess.run(["voxtrail", "explain", "copy", "/one-more", "--store", T + "/far"], capture_output=True, text=True)
check(r.returncode == 66 and "not in this store" in r.stderr, "whose datums' results stayed behind: explain says so", (r.returncode, r.stderr))
check(subprocess.run(["voxtrail", "verify", "--store", store], capture_output=True).returncode == 0, "the store is sound")
for d, _, fs in os.walk(T):
    for f in fs:
        p = os.path.join(d, f)
        if "/last-" in p and not os.path.islink(p) and os.stat(p).st_mode & 0o222:
            check(False, "no link to a writable file is handed out", p)
