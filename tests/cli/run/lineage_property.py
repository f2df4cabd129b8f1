"""Random chains of own commands - copying, rewriting, merging, dropping subjects - over random cohorts with equal and empty files: the
audit of the last output names exactly the raw files that went into it, computed here from what each datum saw.  One more chain
without a record in its middle says where it cannot go on, with an exit status of its own."""
import hashlib, json, os, random, shutil, subprocess

T = os.environ["T"]
image = "i@sha256:" + "0" * 64
SEEDS = range(int(os.environ.get("SEEDS", "8")))
COMMANDS = {
    "copy": "cp -r /pfs/up/. /pfs/out/; rm -rf /pfs/out/.lineage",
    "whole": "cp -r /pfs/up/. /pfs/out/",
    "rewrite": "cd /pfs/up; find . -name .lineage -prune -o -type f -print | while read f; do mkdir -p /pfs/out/$(dirname $f); (echo %s; cat $f) >/pfs/out/$f; done",
    "first": "cd /pfs/up; f=$(find . -name .lineage -prune -o -type f -print | LC_ALL=C sort | head -n 1); mkdir -p /pfs/out/$(dirname $f); (echo %s; cat $f) >/pfs/out/$f",
    "merge": "cd /pfs/up; find . -name .lineage -prune -o -type f -print | LC_ALL=C sort | while read f; do cat $f; done >/pfs/out/all-%s",
}


def check(good, what, why=""):
    print(f"{'ok' if good else 'not ok'} - {what}" + ("" if good else f": {str(why)[-900:]}"), flush=True)


def vox(*args):
    return subprocess.run(["voxtrail", *args], capture_output=True, text=True, env={**os.environ, "VOXTRAIL_STORE": T + "/none"})


def files(root):
    out = {}
    for d, dirs, names in os.walk(root):
        dirs[:] = [x for x in dirs if x != ".lineage"]
        for n in names:
            p = os.path.join(d, n)
            out[os.path.relpath(p, root)] = hashlib.sha256(open(p, "rb").read()).hexdigest()
    return out


def datums(paths, glob):
    if glob == "/":
        return [set(paths)]
    tops = sorted({p.split("/")[0] for p in paths})
    return [{p for p in paths if p.split("/")[0] == t} for t in tops]


def wrote(command, seen, word):
    if command == "merge":
        return {"all-" + word}
    return {min(seen, key=lambda p: ("./" + p).encode())} if command == "first" else set(seen)


def chain(seed):
    rng = random.Random(seed)
    w = f"{T}/{seed}"
    os.makedirs(w)
    same = rng.randbytes(20)
    for s in range(rng.randrange(2, 5)):
        for f in range(rng.randrange(1, 4)):
            os.makedirs(f"{w}/raw/sub-{s}", exist_ok=True)
            open(f"{w}/raw/sub-{s}/f{f}", "wb").write(rng.choice([b"", same, rng.randbytes(30), rng.randbytes(30)]))
    steps = [(rng.choice(list(COMMANDS)), rng.choice(["/", "/*"])) for _ in range(rng.randrange(2, 6))]
    spec, origin = [], {p: {h} for p, h in files(w + "/raw").items()}
    for i, (command, glob) in enumerate(steps):
        if command == "merge" and glob == "/*":
            command = steps[i][0]
        word = f"w{i}"
        cmd = COMMANDS[command].replace("%s", word if command != "merge" or glob == "/" else word + "-$(ls | head -n 1)")
        spec.append({"pipeline": {"name": f"p{i}"}, "datumTries": 1, "parallelismSpec": {"constant": 4},
                     "input": {"pfs": {"name": "up", "repo": f"p{i - 1}" if i else "raw", "glob": glob}},
                     "transform": {"image": image, "cmd": ["sh", "-c", cmd]}})
        made = {}
        for seen in datums(origin, glob):
            went_in = set().union(*(origin[p] for p in seen))
            name = word if command != "merge" or glob == "/" else word + "-" + min(p.split("/")[0] for p in seen)
            for p in wrote(command, seen, name):
                made[p] = went_in
        origin = made
    json.dump(spec, open(w + "/spec.json", "w"))
    r = vox("run", w + "/spec.json", "--repo", f"raw={w}/raw", "--store", w + "/store", "--checkout", w + "/out", "--jobs", "4")
    want = set().union(*origin.values()) if origin else set()
    if r.returncode:
        return steps, want, None, r.stderr
    a = vox("audit", f"{w}/out/p{len(steps) - 1}", "--json", "--store", w + "/store")
    got = {f["sha256"] for e in json.loads(a.stdout)["executions"] for f in e["raw"]} if a.returncode == 0 else None
    return steps, want, got, a.stderr


wrong = []
for seed in SEEDS:
    steps, want, got, why = chain(seed)
    if want != got:
        wrong.append((seed, steps, len(want), None if got is None else len(got), why))
check(not wrong, f"{len(SEEDS)} chains of own commands: the audit reaches exactly the raw files that went in", wrong)

# A record that is gone is not passed over.
w = T + "/cut"
os.makedirs(w + "/raw/sub-1")
open(w + "/raw/sub-1/f", "w").write("raw")
spec = [{"pipeline": {"name": n}, "input": {"pfs": {"name": "up", "repo": up, "glob": "/"}},
         "transform": {"image": image, "cmd": ["sh", "-c", COMMANDS["rewrite"].replace("%s", n)]}} for n, up in (("a", "raw"), ("b", "a"))]
json.dump(spec, open(w + "/spec.json", "w"))
r = vox("run", w + "/spec.json", "--repo", f"raw={w}/raw", "--store", w + "/store", "--checkout", w + "/out")
for d in os.listdir(w + "/out/b/.lineage"):
    p = f"{w}/out/b/.lineage/{d}/parents.jsonl"
    if os.path.exists(p):
        os.chmod(os.path.dirname(p), 0o755)
        os.remove(p)
a = vox("audit", w + "/out/b")
check(r.returncode == 0 and a.returncode == 1, "a chain whose middle is missing: exit status 1, and it says so", (r.returncode, a.returncode, a.stdout, a.stderr))
