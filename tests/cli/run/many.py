"""Many datums: their outputs are made durable in groups, the cost of one does not grow with their number, and an object with as many
links as the file system allows is copied."""
import json, os, resource, subprocess

T = os.environ["T"]


def check(good, what, why=""):
    print(f"{'ok' if good else 'not ok'} - {what}" + ("" if good else f": {str(why)[-800:]}"), flush=True)


def spec(glob, *cmd, **more):
    json.dump({"pipeline": {"name": "p"}, "parallelismSpec": {"constant": 8}, "input": {"pfs": {"name": "r", "repo": "r", "glob": glob}}, "datumTries": 1,
               "transform": {"image": "x@sha256:" + "0" * 64, "cmd": list(cmd)}, **more}, open(T + "/p.json", "w"))


def run(store, *more):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    r = subprocess.run(["voxtrail", "run", T + "/p.json", "--store", T + "/" + store, "--jobs", "4", "--log", "json", *more], capture_output=True, text=True,
                       env=dict(os.environ, VOXTRAIL_GIT_MIRROR="0"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = [json.loads(line) for line in r.stderr.splitlines() if '"event":"job"' in line]
    return r.returncode, jobs[-1] if jobs else r.stderr, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cohort(n):
    d = f"{T}/in{n}"
    os.makedirs(d)
    for i in range(n):
        open(f"{d}/s{i:06d}", "w").write(f"file {i}\n")
    return d


spec("/*", "cp", "-r", "/pfs/r/.", "/pfs/out/")
cost = {}
for n in 50, 300:
    rc, job, cpu = run(f"s{n}", "--repo", f"r={cohort(n)}")
    check(rc == 0 and job["success"] == n, f"{n} datums of one file", (rc, job))
    cost[n] = cpu / n
check(cost[300] < 2 * cost[50], "six times as many datums: the same processor time for each, within a factor of two", cost)
rc, job, cpu = run("s300")
check(rc == 0 and job["skipped"] == 300 and cpu < 1, "nothing changed: all skipped, in less than a second", (rc, job, cpu))

# One datum of many files: a group. The time for each of them does not grow with their number, nor does what is printed.
os.makedirs(T + "/grouped")
for i in range(4000):
    open(f"{T}/grouped/f{i:05d}", "w").close()
json.dump({"pipeline": {"name": "p"}, "datumTries": 1, "input": {"group": [{"pfs": {"name": "r", "repo": "r", "glob": "/(f)*", "groupBy": "$1"}}]},
           "transform": {"image": "x@sha256:" + "0" * 64, "cmd": ["sh", "-c", "ls /pfs/r | wc -l >/pfs/out/n"]}}, open(T + "/p.json", "w"))
rc, job, cpu = run("grouped-store", "--repo", f"r={T}/grouped", "--checkout", T + "/go")
check(rc == 0 and job["success"] == 1 and open(T + "/go/p/n").read().strip() == "4000" and cpu < 3, "a group of 4000 files takes less than three seconds", (rc, job, cpu))

# A quarter of them write a name that no tree takes: those fail alone.
spec("/*", "sh", "-c", 'n=$(basename "$r"); case $n in *[37]) echo x >"/pfs/out/a[b]";; *) cp /pfs/r/$n /pfs/out/;; esac')
rc, job, _ = run("bad", "--repo", f"r={T}/in50")
check(rc == 1 and job["failed"] == 10 and job["success"] == 40, "outputs that cannot be taken in fail alone, the others of their group are kept", (rc, job))
rc, job, _ = run("bad")
check(rc == 1 and job["skipped"] == 40 and job["failed"] == 10, "and are not computed again", (rc, job))

# As many links as there can be.
os.makedirs(T + "/one")
open(T + "/one/f", "w").write("the same everywhere\n")
spec("/", "cp", "-r", "/pfs/r/.", "/pfs/out/")
subprocess.run(["voxtrail", "commit", "r", T + "/one", "--copy", "--store", T + "/l"], capture_output=True, check=True)
object = subprocess.run(["find", T + "/l/objects", "-type", "f"], capture_output=True, text=True).stdout.split()[0]
os.makedirs(T + "/links")
full = False
for i in range(70000):
    try:
        os.link(object, f"{T}/links/{i}")
    except OSError:
        full = True
        break
if full:
    rc, job, _ = run("l", "--checkout", T + "/lo")
    check(rc == 0 and open(T + "/lo/p/f").read() == "the same everywhere\n", f"an object with {i + 1} links, which is all there can be, is copied", (rc, job))
    check(os.stat(T + "/lo/p/f").st_nlink == 1 and not os.stat(T + "/lo/p/f").st_mode & 0o222, "into a file of its own, read-only")
else:
    print("skip - an object with all links there can be: this file system allows more than 70000")
