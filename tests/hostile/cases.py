"""Cases of reviews that no other test here holds: keys of a workflow that lead out of its bucket, a peer that never ends, quarantine
files that know the machine, tries whose leftovers pass for results, emitted files under withdrawn consent, a store out of a bucket."""
import os, resource, shutil, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *
from _checks import no_bounds

unbounded = no_bounds("memory and seconds of pull and serve")

os.chdir(T)
IMAGE = "x@sha256:" + "0" * 64
SMALL = 1 << 30
S = f"{T}/store"


def spec(name, lines, repo="r", glob="/", tries=1):
    return json.dumps({"pipeline": {"name": name}, "datumTries": tries, "transform": {"image": IMAGE, "cmd": ["sh"], "stdin": lines}, "input": {"pfs": {"name": repo, "repo": repo, "glob": glob}}})


def emitted(engine, name, text):
    write(f"{T}/{name}.json", text)
    out = tool("emit", engine, f"{name}.json").stdout
    write(f"{T}/{name}.yaml", out)
    return out


write(f"{T}/in/sub-1/t", "scan of one")
write(f"{T}/in/sub-2/t", "scan of two")

# --- a workflow's artifacts: where the output of a task that ran goes, and what is removed there first
write(f"{T}/precious/f", "keep")
text = emitted("argo", "p", spec("p", [f"echo x >>{T}/ran; cp -r /pfs/r/. /pfs/out"]))
key = 'key: "datums/p/{{workflow.uid}}/whole/{{retries}}/"'
check(text.count(key) == 1, "the workflow has the key that is turned", text)
for k in (f"../../../../../../../../../..{T}/precious", "a/../../../precious", "./precious", "..", "a/."):
    write(f"{T}/bad.yaml", text.replace(key, f'key: "{k}"'))
    r = tool("lint", "bad.yaml")
    check(r.returncode == 65 and "/outputs/artifacts/0/s3/key: " in r.stderr and "without . and .." in r.stderr, f"lint names an artifact's key {k.replace(T, 'T')}", (r.returncode, r.stderr))
    r = tool("run", "--argo", "bad.yaml", "--repo", "r=in", store=S)
    check(r.returncode == 65 and contents(f"{T}/precious") == {"f": b"keep"} and not os.path.exists("ran"), "and run --argo does not begin", (r.returncode, r.stderr))
for k in (f"{T}/precious", "a//b"): # which a bucket may take
    write(f"{T}/bad.yaml", text.replace(key, f'key: "{k}"'))
    r = tool("run", "--argo", "bad.yaml", "--repo", "r=in", store=S)
    check(r.returncode == 1 and "must be relative, without . and .. and empty names" in r.stderr and contents(f"{T}/precious") == {"f": b"keep"}, f"run --argo: an artifact's key {k.replace(T, 'T')} is refused, nothing is removed", (r.returncode, r.stderr))
r = tool("run", "--argo", "p.yaml", "--repo", "r=in", "--checkout", "o", store=S)
check(r.returncode == 0 and contents("o/p") == contents("in"), "and the keys that are emitted are taken", r.stderr)

# --- a try that failed leaves files under a key of its own; what a killed stage left is no part
emitted("argo", "f", spec("f", [f"if [ ! -e {T}/tried ]; then : >{T}/tried; mkdir /pfs/out/.voxtrail-partial; echo half | tee /pfs/out/.voxtrail-partial/x >/pfs/out/stale; exit 9; fi; echo good >/pfs/out/x"], tries=2))
r = tool("run", "--argo", "f.yaml", "--repo", "r=in", "--checkout", "of", store=S)
check(r.returncode == 0 and contents("of/f") == {"x": b"good\n"} and os.path.exists(f"{T}/tried"), "files of a failed try are not in the output of the next", (r.returncode, r.stderr, os.listdir("of/f") if os.path.exists("of/f") else None))
write("parts/a/.voxtrail-partial/x", "half")
write("parts/a/s/y", "1")
r = tool("merge", "--from", "parts", "--out", "merged")
check(r.returncode == 1 and ".voxtrail-partial" in r.stderr and not (os.path.exists("merged") and contents("merged")), "merge refuses a part that a killed try left", (r.returncode, r.stderr))

# --- consent in emitted files: where they plan, and where a datum was computed all the same
tool("commit", "r", "in", "--copy", store=S)
check(tool("consent", "withdraw", "sub-1", "--reason", "a letter", store=S).returncode == 0, "withdrawn")
r = tool("run", "--argo", "p.yaml", "--repo", "r=in", store=S)
log = "".join(open(f"{b}/{n}").read() for b, _, names in os.walk(f"{S}/argo") for n in names if n == "log")
check(r.returncode != 0 and "sub-1 has withdrawn consent (a letter)" in log, "an emitted workflow refuses a withdrawn subject", (r.returncode, log))
shutil.copytree("in", "view/r")
shutil.copytree("in", "made")
r = tool("record", "p.json", "--pipeline", "p", "--in", "view", "--out", "made", env=dict(os.environ, VOXTRAIL_CONSENT=f"{S}/consent.json"))
check(r.returncode == 65 and "sub-1 has withdrawn consent" in r.stderr and not os.path.exists("made/.lineage"), "and no record is written of a datum with it", (r.returncode, r.stderr))
for engine, words in (("snakemake", 'os.environ["VOXTRAIL_CONSENT"] = consent()'), ("cwl", 'export VOXTRAIL_CONSENT=')):
    check(words in emitted(engine, "e", spec("p", ["true"])), f"{engine}: its steps are given the list")
check("--config r_=DIR" in emitted("snakemake", "e", spec("p", ["true"])), "a repo of one letter is no option of Snakemake's")
check(tool("consent", "restore", "sub-1", "--reason", "another letter", store=S).returncode == 0, "restored")

# --- a peer whose answers do not end
def flood(what, lines, seconds=20):
    write(f"{T}/flood", "#!/bin/sh\nprintf 'voxtrail 2\\n'\nread -r asked\n" + lines)
    os.chmod("flood", 0o755)
    limit = None if unbounded else lambda: resource.setrlimit(resource.RLIMIT_AS, (SMALL, SMALL))
    begun = time.time()
    r = tool("pull", "g", "evil:/x", store=f"{T}/flooded", env=dict(os.environ, VOXTRAIL_SSH=f"sh {T}/flood"), preexec_fn=limit)
    check(r.returncode in (65, 74, 76) and (unbounded or time.time() - begun < seconds), f"{what}: refused, in {SMALL >> 20} MiB", (r.returncode, r.stderr[-400:], time.time() - begun))


flood("99999999999 lines that are announced", "echo 'ok 99999999999'; exec yes 'g heads/master 0000'")
flood("a line without an end", "echo 'ok 1'; exec tr '\\0' x </dev/zero")
flood("an answer without an end", "exec tr '\\0' x </dev/zero")
flood("a count beyond 64 bits", "echo 'ok 18446744073709551616'; exec yes 'g heads/master 0000'")
flood("no count", "echo 'ok many'; exec yes 'g heads/master 0000'")
flood("as many long lines as may be announced", "echo 'ok 4194304'; exec yes " + "x" * 4000)

# and who asks, in names that do not end
limit = None if unbounded else lambda: resource.setrlimit(resource.RLIMIT_AS, (SMALL >> 1, SMALL >> 1))
with subprocess.Popen(["voxtrail", "serve", "--store", S], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=limit) as p:
    line, sent = b"objects " + b"x" * 4000 + b"\n", 0
    try:
        p.stdin.write(b"missing 1000000\n")
        while sent < 1 << 31:
            sent += p.stdin.write(line * 250)
    except BrokenPipeError:
        pass
    try:
        p.stdin.close()
    except BrokenPipeError:
        pass
    said = p.stdout.read()
check(p.returncode == 65 and b"no 65 a request of more than" in said and sent < 1 << 29, "serve: a request of a million long names is refused", (p.returncode, said[-300:], sent))

# --- quarantine files are outputs: one input below two mount points gives one output, and no folder's name is in it
write(f"{T}/m.json", json.dumps({"format": 1, "name": "m", "channels": [{"role": "t1", "files": ["{subject}/t1.nii.gz"]}, {"role": "flair", "files": ["{subject}/flair.nii.gz"]}]}))
seen = []
for d in ("home/DOE_JOHN/a", "mnt/b"):
    for n, data in (("lacks/t1.nii.gz", b"x"), ("damaged/t1.nii.gz", b"\x1f\x8b nothing"), ("damaged/flair.nii.gz", b""), ("dir/t1.nii.gz/x", b"")):
        write(f"{d}/{n}", data)
    r = stage("skullstrip-normalize", "--scans", d, "--manifest", "m.json", "--out", f"{d}-out")
    seen.append(contents(f"{d}-out") if os.path.exists(f"{d}-out") else r.stderr)
check(len(seen[0]) == 3 and seen[0] == seen[1], "three bad subjects below two mount points: the same quarantine files", seen)
check(isinstance(seen[0], dict) and not any(w in b for b in seen[0].values() for w in (T.encode(), b"DOE_JOHN", b"home/")), "which name no folder of the machine", seen[0])

# --- a disk that is not mounted is an empty directory
E = f"{T}/emptied"
os.mkdir("empty")
r = tool("commit", "new", "empty", store=E)
check(r.returncode == 0 and "emptied" not in r.stderr, "an empty directory in a new repo is no matter", r.stderr)
tool("commit", "r", "in", "--copy", store=E)
r = tool("commit", "r", "empty", store=E)
check(r.returncode == 0 and '"event":"emptied"' in r.stderr and '"files":2' in r.stderr and "--force` takes the commit back" in r.stderr, "over a head with files it is said, with the way back", (r.returncode, r.stderr))
r = tool("branch", "r", "master", "r@master~1", "--force", store=E)
check(r.returncode == 0 and tool("checkout", "r", "back", store=E).returncode == 0 and contents("back") == contents("in"), "which works", r.stderr)
r = tool("commit", "R", "in", "--copy", store=E)
check(r.returncode == 0 and '"event":"case-twins"' in r.stderr and '"other":"R"' in r.stderr, "a repo whose name differs from another in case alone is said", r.stderr)
r = tool("commit", "R", "in", "--copy", store=E)
check("case-twins" not in r.stderr, "once", r.stderr)

# --- a store out of a bucket: everything but the index, without times and permissions, through a second writer's hands
os.makedirs("many")
for i in range(15):
    write(f"many/{i}", f"file {i}")
write(f"{T}/c.json", spec("c", ["cat /pfs/r/* >/pfs/out/all"]))
C = f"{T}/cloud"
r = tool("run", "c.json", "--repo", "r=many", store=C)
check(r.returncode == 0, "a run", r.stderr)
for kind in ("objects", "trees", "records", "results", "commits", "tombs", "pins", "refs"):
    for base, _, names in os.walk(f"{C}/{kind}"):
        for n in names:
            write(f"{T}/bucket/{os.path.relpath(f'{base}/{n}', C)}", open(f"{base}/{n}", "rb").read())
for n in ("format", "history", "policy.json", "consent.json"):
    if os.path.exists(f"{C}/{n}"):
        write(f"{T}/bucket/{n}", open(f"{C}/{n}", "rb").read())
B2 = f"{T}/bucket"
r = tool("rebuild", store=B2)
check(r.returncode == 0, "what docs/store.md copies can be rebuilt", r.stderr)
r = tool("verify", store=B2)
lines = [l for l in r.stdout.split("\n") if l.startswith("writable: ")]
check(r.returncode == 0 and 1 < len(lines) <= 11 and lines[-1].endswith("objects in all"), "and is sound; that all of it is writable takes a few lines", r.stdout + r.stderr)
r = tool("run", "c.json", store=B2)
check(r.returncode == 0 and '"skipped":1' in r.stderr, "a run over it computes nothing again", r.stderr)
r = tool("checkout", "c", "oc", store=B2)
check(r.returncode == 0 and len(open("oc/all").read()) == sum(len(f"file {i}") for i in range(15)), "its output can be had", r.stderr)
