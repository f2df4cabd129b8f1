"""A process is killed between a line of the history and the change that it tells of: nothing is taken for tampering, whatever is done next, and the
same command again makes it whole.  Who looks in between waits for who is at work."""
import os, shutil, signal, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

S, D = f"{T}/s", f"{T}/data"
for n in (1, 2, 3):
    write(f"{D}/sub-00{n}/t1.nii", f"scan {n}")
tool("commit", "scans", D, "--copy", store=S)
tool("commit", "other", D, "--copy", store=S)
stage("voxtrail", "attest", "keygen", f"{T}/k")
write(f"{D}/sub-001/t2.nii", "more")
write(f"{T}/new/f", "new")
check(tool("verify", store=S).returncode == 0, "a store")
tool("consent", "withdraw", "sub-003", "--reason", "x", store=S)


def lines(d):
    return open(f"{d}/history").read().count("\n")


def killed(args, n):
    """The store behind the n-th file that `args` would write."""
    d = f"{T}/killed"
    shutil.rmtree(d, ignore_errors=True)
    shutil.copytree(S, d)
    return d, tool(*args, store=d, env={**os.environ, "VOXTRAIL_FAULT": f"{POINT[args[0]]}:kill:{n}"}).returncode


POINT = {"commit": "file.write", "consent": "file.write", "trust": "file.write", "pin": "pin.write", "erase": "file.write"}
CHANGES = [["commit", "scans", D, "--copy"], ["commit", "fresh", D, "--copy"], ["consent", "withdraw", "sub-001", "--reason", "x"],
           ["consent", "restore", "sub-003", "--reason", "x"], ["trust", "demand", "made", "reuse"], ["trust", "add-key", f"{T}/k.pub"],
           ["pin", "scans", "--reason", "x"], ["erase", "sub-001", "--yes", "--reason", "x"]]
for args in CHANGES:
    what, met = " ".join(args).replace(T, ""), 0
    for n in range(1, 9):
        d, code = killed(args, n)
        if code != -signal.SIGKILL:
            break
        if lines(d) == lines(S):
            continue
        met += 1
        for then in (None, ["commit", "other", f"{T}/new", "--copy"], ["commit", "third", D, "--copy"]):
            if then:
                r = tool(*then, store=d)
                check(r.returncode == 0, f"{what}, killed: another commit", r.stderr)
            r, seen = tool("verify", store=d), tool("consent", "list", store=d)
            said = r.stdout + r.stderr
            if args[1] == "withdraw":
                good = r.returncode == seen.returncode == 76 and "run `voxtrail consent withdraw` again" in said and "run `voxtrail consent withdraw` again" in seen.stderr
            elif args[0] == "erase":
                good = r.returncode in (0, 76) and "history says" not in said.replace("the history says that subject sub-001 has withdrawn", "")
            else:
                good = r.returncode == seen.returncode == 0
            check(good, f"{what}, killed ({n}){', then ' + then[1] if then else ''}: verify and consent list", (r.returncode, r.stdout, r.stderr, seen.returncode, seen.stderr))
        r = tool(*args, store=d)
        r2, seen = tool("verify", store=d), tool("consent", "list", store=d)
        check(r.returncode == r2.returncode == seen.returncode == 0, f"{what}: run again, all is well", (r.stderr, r2.stdout, r2.stderr, seen.stderr))
        check(tool("history", "--check", store=d).returncode == 0, "and the history is one chain")
    check(met > 0, f"{what}: was killed behind its event", n)

# a killed change, another on top of it, and then something behind the history's back
d, _ = killed(CHANGES[6], 1)
tool("commit", "other", f"{T}/new", "--copy", store=d)
with open(f"{d}/refs/other/heads/master", "w") as f:
    f.write(open(f"{S}/refs/other/heads/master").read())
r = tool("verify", store=d)
check(r.returncode == 76 and "ref other heads/master" in r.stdout, "only what was killed may be either: a branch moved back is found", r.stdout)

# between the event and the file of a withdrawal that goes on
d = f"{T}/going"
shutil.copytree(S, d)
at = next(n for n in range(1, 9) if killed(CHANGES[2], n)[1] and lines(f"{T}/killed") > lines(S))
p = subprocess.Popen(["voxtrail", "consent", "withdraw", "sub-001", "--reason", "x", "--store", d], env={**os.environ, "VOXTRAIL_FAULT": f"file.write:stop:{at}"}, stdout=subprocess.DEVNULL)
os.waitpid(p.pid, os.WUNTRACED)
lookers = [subprocess.Popen(["voxtrail", *a, "--store", d], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for a in (["consent", "list"], ["verify"])]
time.sleep(0.3)
os.kill(p.pid, signal.SIGCONT)
said = [q.communicate(timeout=60)[0] for q in lookers]
check(lines(d) > lines(S) and p.wait() == 0 and [q.returncode for q in lookers] == [0, 0], "who looks while somebody withdraws waits for the file", said)
check("sub-001" in said[0], "and sees the withdrawal", said[0])
