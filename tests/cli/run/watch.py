"""run --watch: starts by itself when data is committed, runs only what is new, does what the triggers say, outlives a failed run, a wrong spec and
another run, is alone on its store, and ends when asked to."""
import fcntl, json, os, signal, subprocess, time
from _checks import say

T = os.environ["T"]
os.chdir(T)
IMAGE = "x@sha256:" + "0" * 64
LINES = ["echo $(ls /pfs/scans) >>%s/ran" % T, "if grep -rq BAD /pfs/scans; then exit 9; fi", "if grep -rq SLOW /pfs/scans; then sleep 60; fi", "cp -r /pfs/scans/. /pfs/out"]


def spec(**more):
    json.dump([{"pipeline": {"name": "p"}, "transform": {"image": IMAGE, "cmd": ["sh"], "stdin": LINES},
                "input": {"cross": [{"pfs": dict({"name": "scans", "repo": "scans", "glob": "/*"}, **more)}, {"pfs": {"name": "m", "repo": "m", "glob": "/"}}]}}], open("spec.json", "w"))


def subject(name, text="x"):
    os.makedirs("in", exist_ok=True)
    if os.path.exists("in/" + name):
        os.remove("in/" + name)  # what was committed is read-only
    open("in/" + name, "w").write(text)


def commit():
    subprocess.run(["voxtrail", "commit", "scans", "in", "--store", "s"], check=True, capture_output=True)


def start(*more, file="spec.json"):
    # in a session of its own and with signals as a service manager leaves them
    return subprocess.Popen(["voxtrail", "run", file, "--watch", "--every", "0.1", "--store", "s", "--log", "text", *more], stderr=open("err", "w"), start_new_session=True,
                            preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in (2, 15, 1)])


def until(test, seconds=30):
    end = time.time() + seconds
    while time.time() < end and not test():
        time.sleep(0.05)
    return bool(test())


ran = lambda: open("ran").read().split() if os.path.exists("ran") else []
log = lambda: open("err").read()
waits = lambda n: until(lambda: log().count('note="waits for commits"') >= n)
spec()
open("m.txt", "w").write("1")
w = start("--repo", "m=m.txt")
say(waits(1) and "repo scans has no commit" in log() and ran() == [], "nothing is committed yet: it says so and waits", log())
subject("a")
commit()
say(waits(2) and ran() == ["a"], "a commit starts a run", log())
subject("b")
commit()
say(waits(3) and ran() == ["a", "b"], "the second commit runs what is new, and only that", (ran(), log()))
cpu = lambda: sum(map(int, open("/proc/%d/stat" % w.pid).read().rsplit(")", 1)[1].split()[11:13]))
before = cpu()
time.sleep(1.5)
say(log().count("waits for commits") == 3 and cpu() - before <= 15, "waiting is cheap, and starts nothing", cpu() - before)
p = subprocess.run(["voxtrail", "run", "spec.json", "--watch", "--store", "s"], capture_output=True, text=True, timeout=20)
say(p.returncode == 75 and "another `voxtrail run --watch` is waiting" in p.stderr, "a second watch of the store is refused", p.stderr)
subject("c", "BAD")
commit()
say(waits(4) and "failed: /c of p ended with 9" in log() and "this run ended with 1; the next commit starts another" in log() and w.poll() is None, "a failed run is told, and outlived", log())
subject("c")
commit()
say(waits(5) and ran().count("c") >= 2 and 'state=done datums=3 success=1 skipped=2' in log(), "the commit that mends it runs what had failed", log())
os.makedirs("m2", exist_ok=True)
open("m2/manifest.json", "w").write("2")
subprocess.run(["voxtrail", "commit", "m", "m2", "--store", "s"], check=True, capture_output=True)
say(until(lambda: log().count("success=3 skipped=0") >= 1), "what --repo bound is bound once: a later commit counts", log())
waits(6)
good = open("spec.json").read()
open("spec.json", "w").write("[{")
k = log().count("waits for commits")
subject("d")
commit()
say(until(lambda: "d" in ran()) and w.poll() is None and "the next commit starts another" in log(), "a spec that became wrong: said, and the one before goes on", log())
until(lambda: log().count("waits for commits") > k)
open("spec.json", "w").write(good)
lock = open("s/runner/lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
subject("e")
commit()
say(until(lambda: "another run is using the store" in log()) and "e" not in ran(), "another run has the store: it waits for it")
lock.close()
say(until(lambda: "e" in ran()), "and goes on behind it", log())
k = log().count("waits for commits")
until(lambda: log().count("waits for commits") > k, 3)
os.makedirs("s/refs/scans/tags", exist_ok=True)
open("s/refs/scans/tags/v1~", "w").write("an editor's")
time.sleep(0.5)
say(w.poll() is None, "a stray file beside the head that it watches is none of its business", log()[-300:])
os.remove("s/refs/scans/tags/v1~")
w.send_signal(signal.SIGTERM)
say(w.wait(20) == 0 and "stopped by Terminated while it waited" in log(), "SIGTERM while it waits ends it: 0", (w.returncode, log()[-300:]))
subject("f", "SLOW")
commit()
w = start()
until(lambda: "f" in ran())
w.send_signal(signal.SIGTERM)
say(w.wait(20) == -signal.SIGTERM and "stopped by Terminated; what was finished is kept" in log(), "SIGTERM in a run: it is stopped as without --watch", (w.returncode, log()[-300:]))
subject("f")
commit()

# --- what triggers say ---------------------------------------------------------------------------------------------------------
spec(trigger={"commits": 2})
os.remove("ran")
w = start("--repo", "m=m.txt")
say(waits(1) and ran() == [], "a trigger of two commits: the first is not enough", log())
subject("g")
commit()
say(until(lambda: "g" in ran()), "the second is", log())
waits(2)
n = len(ran())
subject("h")
commit()
say(waits(3) and len(ran()) == n and 'note="waits"' in log(), "one more waits", log())
w.kill()
w.wait()
w = start()
say(waits(1) and len(ran()) == n, "killed and started again it knows how far it was", log())
subject("i")
commit()
say(until(lambda: "i" in ran() and "h" in ran()), "and goes on from there", log())
waits(2)
w.terminate()
w.wait(20)
spec()
w = start("--checkout", "co")
waits(1)
os.rename("co/p", "aside")
open("co/p", "w").write("mine")
subject("j")
commit()
say(waits(2) and "this run ended with 73" in log() and w.poll() is None and open("co/p").read() == "mine", "what cannot be written once it runs is a failed run, not the end", log()[-500:])
w.terminate()
w.wait(20)
# --- branches that come and go -------------------------------------------------------------------------------------------------
spec()
w = start()
waits(1)
drop = lambda: subprocess.run(["voxtrail", "branch", "--delete", "--force", "scans", "master", "--store", "s"], check=True, capture_output=True)
calm = lambda: [n := log().count("waits for commits"), time.sleep(1), log().count("waits for commits") == n][-1]
drop()
say(waits(2) and "repo scans has no commit" in log() and w.poll() is None and calm(), "the branch is deleted: said once, and it waits", log()[-500:])
subject("k")
commit()
say(until(lambda: "k" in ran()) and waits(3), "made again with a commit it counts", log()[-500:])
n = len(ran())
drop()
waits(4)
commit()
say(waits(5) and calm() and len(ran()) == n, "deleted and made again with what it had: nothing runs anew", log()[-500:])
w.terminate()
w.wait(20)
head = lambda repo: open("s/refs/%s/heads/master" % repo).read().strip()
lose = lambda id: os.rename("s/commits/%s/%s" % (id[:2], id[2:]), "lost")
mend = lambda id: os.rename("lost", "s/commits/%s/%s" % (id[:2], id[2:]))
json.dump({"pipeline": {"name": "n"}, "transform": {"image": IMAGE, "cmd": ["sh"], "stdin": ["ls /pfs/tick >/pfs/out/log"]}, "input": {"cron": {"name": "tick", "spec": "@daily"}}}, open("cron.json", "w"))
subprocess.run(["voxtrail", "tick", "cron.json", "n", "--store", "s"], check=True, capture_output=True)
for repo, file in (("n_tick", "cron.json"), ("scans", "spec.json")):
    id = head(repo)
    lose(id)
    p = subprocess.run(["voxtrail", "run", file, "--store", "s"], capture_output=True, text=True, timeout=20)
    say(p.returncode == 76 and id in p.stderr and "pull it from a copy" in p.stderr, "a head of %s whose commit is missing: 76, and how to mend it" % repo, (p.returncode, p.stderr))
    w = start(file=file)
    say(waits(1) and calm() and log().count("waits for commits") == 1 and w.poll() is None, "a watch waits, and does not spin", log()[-500:])
    w.terminate()
    w.wait(20)
    mend(id)
spec(branch="master~1")
p = subprocess.run(["voxtrail", "run", "spec.json", "--watch", "--store", "s"], capture_output=True, text=True, timeout=20)
say(p.returncode == 65 and "/pfs/branch" in p.stderr and "is no name of a branch" in p.stderr, "a commit back from a head is no branch to wait for: 65", (p.returncode, p.stderr))
spec()
for args, what in ((["--every", "2"], "with --watch"), (["--watch", "--every", "0"], "0.1 to 86400")):
    p = subprocess.run(["voxtrail", "run", "spec.json", "--store", "s", *args], capture_output=True, text=True, timeout=20)
    say(p.returncode == 64 and what in p.stderr, "run %s: 64" % " ".join(args), p.stderr)
