"""Which records within a directory are its own: those of directories that lie in it, but none behind a link, none of a store that lies in it,
and no file called .lineage.  What cannot be listed is said."""
import json, os, pwd, shutil, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _records import check

T, B, ROOT = os.environ["T"], os.environ["B"], os.environ.get("ROOT", os.getcwd())
os.chdir(T)
M = os.path.join(ROOT, "manifests/embedded.json")


def run(name, *args, limit=60, **more):
    return subprocess.run([f"{B}/bin/{name}", *args], capture_output=True, text=True, timeout=limit, **more)


def subjects(what):
    r = run("voxtrail", "subjects", what, "--json")
    try:
        return sorted({s if isinstance(s, str) else s["subject"] for s in json.loads(r.stdout)["subjects"]})
    except (ValueError, TypeError, KeyError):
        return (r.returncode, r.stdout[-200:], r.stderr[-200:])


for n in "12":
    r = [run("make-cohort", "--out", f"c{n}", "--first", n, "--subjects", "1", "--seed", n, "--coarse"),
         run("skullstrip-normalize", "--scans", f"c{n}/scans", "--manifest", M, "--out", f"n{n}")]
    check(all(x.returncode == 0 for x in r), "a result with a record", [x.stderr[-300:] for x in r])
one, two = os.listdir("c1/scans")[0], os.listdir("c2/scans")[0]
shutil.copytree("n1", "in/a")
check(subjects("in") == [one], "the record of a member counts", subjects("in"))

os.symlink("../../n2", "in/a/linked")
check(subjects("in/a") != [one, two] and subjects("in/a")[0] == 65, "a link to a directory is refused with its path, whatever lies there", subjects("in/a"))
os.remove("in/a/linked")
os.makedirs("in/b")
open("in/b/.lineage", "w").write("nothing")
os.makedirs("in/c")
os.symlink("nowhere", "in/c/.lineage")
check(subjects("in") == [one], "a file or a broken link called .lineage is no record", subjects("in"))
os.remove("in/c/.lineage")
os.symlink("..", "in/c/.lineage")
check(subjects("in") == [one], "a link called .lineage that leads around is looked into, not through", subjects("in"))

shutil.copytree("n2", "made")
r = run("voxtrail", "import", "made", "--vouch", "here", "--store", "in/s")
os.makedirs("in/s/scratch/x")
shutil.copytree("n2", "in/s/scratch/x/n2")
check(r.returncode == 0 and subjects("in") == [one], "what a store holds that lies in the directory is not the directory's", (r.stderr, subjects("in")))
r = run("voxtrail", "import", "in", "--vouch", "here", "--store", "S2")
check(r.returncode == 0, "and it may be taken in", r.stderr)
shutil.rmtree("in/s")

at = "deep/" + "/".join("12345678")
shutil.copytree("n1", at)
check(subjects("deep") == [one], "eight directories deep", subjects("deep"))
for i in range(1000):
    os.makedirs(f"in/many/{i:04}/x")
begun = time.monotonic()
check(subjects("in") == [one] and time.monotonic() - begun < 20, "2000 directories around it are no burden", time.monotonic() - begun)

os.makedirs("in/closed/x")
os.chmod("in/closed", 0)
ids, env = {}, {}
if os.getuid() == 0:
    nobody = pwd.getpwnam("nobody")
    probe = subprocess.run(["ls", T], user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], capture_output=True)
    ids = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []} if probe.returncode == 0 else None
if ids is None:
    print("skip - an unreadable directory: nobody else may read the test's directory")
else:
    r = run("voxtrail", "subjects", "in", **ids)
    check(r.returncode == 66 and "in/closed" in r.stderr, "a directory that may not be listed is named", (r.returncode, r.stderr))
os.chmod("in/closed", 0o755)
