"""Who is asked to end while one giant file is hashed, copied, committed or taken in as an output ends within a second by that signal,
and nothing half-written stays."""
import json, os, shutil, signal, subprocess, time
from _checks import say

T = os.environ["T"]
os.chdir(T)
SIZE = 12 << 30  # of holes: it costs time, and no disk


def giant(path):
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as f:
        f.truncate(SIZE)


def ended(args, ready, sig=signal.SIGTERM):
    """Sends sig once `ready`, and gives status and seconds; the program is then still at work."""
    default = lambda: [signal.signal(s, signal.SIG_DFL) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=default)
    end = time.time() + 60
    while not ready(p) and p.poll() is None and time.time() < end:
        time.sleep(0.05)
    busy = p.poll() is None
    begun = time.time()
    p.send_signal(sig)
    said = p.communicate(timeout=120)[1]
    return busy, p.returncode, time.time() - begun, said


def reads(path):
    """Does the process have read some hundred megabytes of this file?"""
    def at(p):
        base = f"/proc/{p.pid}"
        try:
            for fd in os.listdir(f"{base}/fd"):
                if os.readlink(f"{base}/fd/{fd}").split(" (deleted)")[0].endswith(path):
                    pos = open(f"{base}/fdinfo/{fd}").read().split()[1]
                    if int(pos) > 200 << 20:
                        return True
        except OSError:
            pass
        return False
    return at


quick = 2.0  # a second, and as much again for a machine with other things to do

giant("scans/sub-001/t1.nii")
for sig, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
    args = ["skullstrip-normalize", "--scans", "scans", "--manifest", os.environ["ROOT"] + "/manifests/embedded.json", "--out", "out", "--store", "made"]
    busy, rc, took, said = ended(args, reads("t1.nii"), sig)
    say(busy and rc == status and took < quick, f"a stage that hashes its input: {sig.name}", (busy, rc, took, said[-300:]))
    say(not os.path.exists("out") or not os.listdir("out"), "and leaves nothing in --out", os.path.exists("out") and os.listdir("out"))

for how in ((), ("--copy",)):
    shutil.rmtree("c", ignore_errors=True)
    busy, rc, took, said = ended(["voxtrail", "commit", "scans", "scans", "--store", "c", *how], reads("t1.nii"))
    say(busy and rc == -signal.SIGTERM and took < quick, f"commit {' '.join(how)}", (busy, rc, took, said[-300:]))
    blobs = [f for _, _, names in os.walk("c/objects") for f in names]
    say(subprocess.run(["voxtrail", "log", "scans", "--store", "c"], capture_output=True).returncode == 66 and not blobs, "no commit, no object")
    subprocess.run(["voxtrail", "gc", "--sweep", "--store", "c"], capture_output=True)
    say(not os.path.exists("c/tmp") or not os.listdir("c/tmp"), "and gc has nothing left", os.path.exists("c/tmp") and os.listdir("c/tmp"))

# a run that takes in an output, beside one that is small and done
image = "x@sha256:" + "0" * 64
step = lambda name, command: {"pipeline": {"name": name}, "transform": {"image": image, "cmd": ["sh"], "stdin": [command]}, "input": {"pfs": {"name": "r", "repo": "r", "glob": "/"}}, "datumTries": 1}
os.makedirs("in")
open("in/f", "w").write("x")
for sig, status in ((signal.SIGTERM, -15), (signal.SIGHUP, -1)):
    json.dump([step("small", "echo x >/pfs/out/x"), step("giant", f"sleep 1; truncate -s {SIZE} /pfs/out/x")], open("p.json", "w"))
    busy, rc, took, said = ended(["voxtrail", "run", "--log", "text", "p.json", "--repo", "r=in", "--store", "s", "--jobs", "2"], reads("out/x"), sig)
    say(busy and rc == status and took < quick, f"a run that takes in an output: {sig.name}", (busy, rc, took, said[-600:]))
    say("what was finished is kept" in said and "state=pending" in said and " failed=1" not in said, "it says so, and nothing has failed", said[-600:])
    log = lambda repo: subprocess.run(["voxtrail", "log", repo, "--store", "s"], capture_output=True).returncode
    say(log("giant") == 66 and log("small") == 0, "no output of the one, that of the other")
    big = [f"{base}/{n}" for base, _, names in os.walk("s") for n in names if os.stat(f"{base}/{n}").st_size > 1 << 20]
    say(not [b for b in big if "/objects/" in b], "no object of it", big)
    say(subprocess.run(["voxtrail", "verify", "--store", "s"], capture_output=True).returncode == 0, "verify is clean")
json.dump([step("small", "echo x >/pfs/out/x"), step("giant", "echo y >/pfs/out/x")], open("p.json", "w"))
r = subprocess.run(["voxtrail", "run", "--log", "text", "p.json", "--repo", "r=in", "--store", "s"], capture_output=True, text=True)
say(r.returncode == 0 and log("giant") == 0, "the next run finds a store that is free", r.stderr[-400:])
big = [f"{base}/{n}" for base, _, names in os.walk("s") for n in names if os.stat(f"{base}/{n}").st_size > 1 << 20]
say(not big, "and takes away what was left", big)
