"""Where the policy wants a second person, nobody alone takes the second pair of eyes away or gives up what it would look at: approvers
are not revoked, branches and tags not given up, commits not swept, here or by a push; and nobody brings approvers or keys of their own."""
import fcntl, json, os, pwd, shutil, signal, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

S, other = f"{T}/s", f"{T}/other"
me = pwd.getpwuid(os.getuid()).pw_name
anna, bob = nobodys("anna"), nobodys("bob")
log = lambda store=S: [json.loads(l) for l in open(f"{store}/history")]
for n in (1, 2):
    write(f"{T}/scans/sub-00{n}/t1.nii", f"scan {n}")
    tool("commit", "scans", f"{T}/scans", "--copy", store=S)
tool("tag", "scans", "v1", "scans~1", store=S)
for k in ("mine", "anna", "bob", "ghost", "ghost2"):
    stage("voxtrail", "attest", "keygen", f"{T}/{k}")
for k, u in (("mine", me), ("anna", anna), ("bob", bob)):
    check(tool("trust", "add-approver", f"{T}/{k}.pub", "--user", u, store=S).returncode == 0, f"{u} may approve")
for w in ("drop", "revoke", "sweep", "erase", "trust"):
    check(tool("trust", "demand", "approved", w, store=S).returncode == 0, f"{w} needs a second person from now on")
policy = lambda: open(f"{S}/policy.json").read()
approver = lambda user: [l.split()[0] for l in tool("trust", "approvers", store=S).stdout.splitlines() if f" {user} " in l and "revoked" not in l]
heads = lambda store=S: tool("branch", "scans", store=store).stdout + tool("tag", "scans", store=store).stdout


def alone(what, *args):
    before = policy(), heads(), len(log())
    r = tool(*args, store=S)
    check(r.returncode == 3 and "second person" in r.stderr, f"{what}: not alone", (r.returncode, r.stderr))
    check((policy(), heads(), len(log())) == before, f"{what}: nothing was done")


def is_taken(file):
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def together(what, name, *args):
    r = tool(*args, "--ask", f"{T}/{name}-asked", store=S)
    check(r.returncode == 0 and "nothing was done" in r.stdout, f"{what}: asked for", r.stderr)
    r = stage("voxtrail", "trust", "approve", f"{T}/{name}-asked", "--key", f"{T}/anna", "--out", f"{T}/{name}", "--store", S)
    shown = r.stdout
    r = tool(*args, "--approve", f"{T}/{name}", store=S)
    check(r.returncode == 0, f"{what}: by two", r.stderr)
    return shown


bobs = approver(bob)[0]
revoke = ("trust", "revoke-approver", bobs[:12], "--reason", "left")
alone("trust revoke-approver", *revoke)
shown = together("trust revoke-approver", "revoked", *revoke)
check(bobs in shown and f'"{bob}"' in shown and not approver(bob), "who approves sees the whole id and whose it is", shown)
check(tool("trust", "revoke-approver", "0" * 16, "--reason", "x", store=S).returncode == 66, "one that is not there is 66 as ever")

tool("branch", "scans", "side", store=S)
check(tool("branch", "scans", "--delete", "side", store=S).returncode == 0, "a branch whose commits others reach goes as ever")
alone("branch --delete --force", "branch", "--delete", "--force", "scans", "master")
alone("branch REPO NAME REF --force", "branch", "scans", "master", "scans~1", "--force")
alone("tag --delete --force", "tag", "--delete", "--force", "scans", "v1")
alone("tag REPO NAME REF --force", "tag", "scans", "v1", "master", "--force")
check(tool("branch", "scans", "new", "scans~1", "--force", store=S).returncode == 0, "--force on what is not there gives nothing up")

# a push that would give it up, and a pull
write(f"{T}/else/sub-009/t1.nii", "others")
tool("commit", "scans", f"{T}/else", "--copy", store=other)
before = heads()
r = tool("push", "scans", S, "--force", store=other)
check(r.returncode == 3 and "second person" in r.stderr and heads() == before, "push --force of another store: not over what two decide", (r.returncode, r.stderr))
r = tool("pull", "scans", other, "--force", store=S)
check(r.returncode == 3 and heads() == before, "pull --force neither", (r.returncode, r.stderr))
r = tool("push", "scans", "host:" + S, "--force", store=other, env=dict(os.environ, VOXTRAIL_SSH="sh -c 'exec voxtrail serve --write --store \"$S\"' #", S=S))
check(r.returncode == 3 and "second person" in r.stderr and heads() == before, "nor over ssh", (r.returncode, r.stderr))
write(f"{T}/scans/sub-003/t1.nii", "scan 3")
tool("pull", "scans@master", S, "--force", store=f"{T}/ahead")
tool("commit", "scans", f"{T}/scans", "--copy", store=f"{T}/ahead")
r = tool("push", "scans@master", S, "--force", store=f"{T}/ahead")
check(r.returncode == 0, "--force forward is no loss", r.stderr)
head = [b["commit"] for b in json.loads(tool("branch", "scans", "--json", store=S).stdout) if b["name"] == "master"][0]
shown = together("branch --delete --force", "dropped", "branch", "--delete", "--force", "scans", "master")
check(head in shown and "master" in shown and head not in heads(), "who approves sees what is given up", shown)

sweep = ("gc", "--sweep", "--keep-days", "0")
alone("gc --sweep", *sweep)
idle = (("gc",), ("commit", "scans", f"{T}/scans", "--copy"), ("import", f"{T}/scans"), ("pin",), ("pin", "scans@v1"), ("branch", "scans"), ("branch", "scans", "idle", "v1"),
        ("branch", "--delete", "scans", "side2"), ("tag", "scans"), ("tag", "scans", "idle", "v1", "--force"), ("erase", "sub-001"), ("erase", "--proposed"),
        ("trust", "list"), ("trust", "reject", "0" * 16, "--reason", "x"), ("trust", "take"), ("trust", "demand", "approved", "unpin"), ("consent", "list"),
        ("consent", "check"), ("consent", "withdraw", "sub-001", "--reason", "x"))
tool("branch", "scans", "side2", "v1", store=S)
for args in idle:
    for option in ("--ask", "--approve"):
        before = policy(), heads(), len(log())
        r = tool(*args, option, f"{T}/x", store=S)
        check(r.returncode == 64 and "--ask and --approve go with " in r.stderr and not r.stdout and (policy(), heads(), len(log())) == before and not os.path.exists(f"{T}/x"),
              f"{' '.join(args).replace(T + '/', '')} {option}: nothing is decided, so it is refused", (r.returncode, r.stdout, r.stderr))
check(tool("gc", "--keep-days", "0", store=S).returncode == 0, "looking needs nobody")
commit = f"commits/{head[:2]}/{head[2:]}"
check(os.path.exists(f"{S}/{commit}"), "the commit is still there")
tool(*sweep, "--ask", f"{T}/sweep-asked", store=S)
stage("voxtrail", "trust", "approve", f"{T}/sweep-asked", "--key", f"{T}/anna", "--out", f"{T}/sweep", "--store", S)
write(f"{T}/more/sub-010/t1.nii", "more")  # not what the refused push brought
tool("commit", "more", f"{T}/more", "--copy", store=S)
together("branch --delete --force", "dropped2", "branch", "--delete", "--force", "more", "master")
r = tool(*sweep, "--approve", f"{T}/sweep", store=S)
check(r.returncode == 65 and "changed since" in r.stderr and os.path.exists(f"{S}/{commit}"), "what goes is what was signed", (r.returncode, r.stderr))
tool(*sweep, "--ask", f"{T}/swept-asked", store=S)
shown = stage("voxtrail", "trust", "approve", f"{T}/swept-asked", "--key", f"{T}/anna", "--out", f"{T}/swept", "--store", S).stdout
check(commit in shown, "who approves sees what goes", shown)
p = subprocess.Popen(["voxtrail", *sweep, "--approve", f"{T}/swept", "--store", S], env=dict(os.environ, VOXTRAIL_FAULT="approval.tell:stop"), stdout=subprocess.DEVNULL)
os.waitpid(p.pid, os.WUNTRACED)
with open(f"{S}/in-use") as used, open(f"{S}/lock") as lock:
    check(os.path.exists(f"{S}/{commit}") and is_taken(used) and is_taken(lock), "from the look that was compared with what was signed to the sweep nothing else can come to go")
p.send_signal(signal.SIGCONT)
check(p.wait(30) == 0, "gc --sweep: by two")
check(not os.path.exists(f"{S}/{commit}"), "swept by two")
check(tool("gc", "--sweep", "--ask", f"{T}/x", store=other).returncode == 64, "--ask where nobody is needed is said")

# approvers and keys that one person brings along
ghost = {"format": 1, "approvers": [{"id": sha(open(f"{T}/ghost.pub", "rb").read()), "name": "g", "user": "ghost", "pem": open(f"{T}/ghost.pub").read()}]}
write(f"{T}/ghosts.json", json.dumps(ghost))
env = dict(os.environ, VOXTRAIL_POLICY=f"{T}/ghosts.json")
erase = ("erase", "sub-001", "--yes", "--reason", "x")
tool(*erase, "--ask", f"{T}/e-asked", store=S)
stage("voxtrail", "trust", "approve", f"{T}/e-asked", "--key", f"{T}/ghost", "--out", f"{T}/e", "--store", S)
r = tool(*erase, "--approve", f"{T}/e", store=S, env=env)
check(r.returncode == 78 and "names no approvers" in r.stderr and os.path.exists(f"{S}/objects/{sha(b'scan 1')[:2]}/{sha(b'scan 1')[2:]}"), "a file that $VOXTRAIL_POLICY names brings no approvers", (r.returncode, r.stderr))
write(f"{T}/keys.json", json.dumps({"format": 1, "keys": [{"id": sha(open(f"{T}/ghost2.pub", "rb").read()), "name": "g", "pem": open(f"{T}/ghost2.pub").read()}]}))
env = dict(os.environ, VOXTRAIL_POLICY=f"{T}/keys.json")
check("counts" in tool("trust", "keys", store=other, env=env).stdout, "its keys count where one person may add keys")
check(tool("trust", "keys", store=S, env=env).stdout == "", "and count for nothing where two have to", tool("trust", "keys", store=S, env=env).stdout)

# where the machine's own policy names approvers, the store's file adds none
etc = f"{T}/etc"
os.makedirs(f"{etc}/voxtrail")
shutil.copy("/etc/passwd", etc)
for f in ("ld.so.cache", "ld.so.conf", "localtime", "ssl"):
    src = f"/etc/{f}"
    if os.path.isfile(src):
        shutil.copy(src, etc)
key = lambda name, user: {"id": sha(open(f"{T}/{name}.pub", "rb").read()), "name": name, "user": user, "pem": open(f"{T}/{name}.pub").read()}
write(f"{etc}/voxtrail/policy.json", json.dumps({"format": 1, "approved": ["erase"], "approvers": [key("anna", anna), key("bob", bob)]}))
within = lambda *args: stage("unshare", "-rm", "sh", "-c", 'mount --bind "$0" /etc && exec voxtrail "$@"', etc, *args, "--store", other)
if within("log").returncode:
    print("skip - approvers of /etc/voxtrail/policy.json: no mount namespace here")
    sys.exit(0)
r = within("trust", "add-approver", f"{T}/ghost.pub", "--user", "ghost", "--ask", f"{T}/g-asked")
for n in ("anna", "bob"):
    stage("voxtrail", "trust", "approve", f"{T}/g-asked", "--key", f"{T}/{n}", "--out", f"{T}/g-{n}", "--store", other)
r = within("trust", "add-approver", f"{T}/ghost.pub", "--user", "ghost", "--approve", f"{T}/g-anna", "--approve", f"{T}/g-bob")
check(r.returncode == 64 and "/etc/voxtrail/policy.json" in r.stderr, "/etc names approvers: the store adds none", (r.returncode, r.stderr))
write(f"{other}/policy.json", json.dumps({"format": 1, "approvers": [key("ghost", "ghost"), key("ghost2", "ghost2")]}))
erase = ("erase", "sub-009", "--yes", "--reason", "x")
within(*erase, "--ask", f"{T}/h-asked")
for n in ("ghost", "ghost2", "anna", "bob"):
    stage("voxtrail", "trust", "approve", f"{T}/h-asked", "--key", f"{T}/{n}", "--out", f"{T}/h-{n}", "--store", other)
r = within(*erase, "--approve", f"{T}/h-ghost", "--approve", f"{T}/h-ghost2")
check(r.returncode == 76 and "no approver" in r.stderr, "nor by hand", (r.returncode, r.stderr))
r = within(*erase, "--approve", f"{T}/h-anna", "--approve", f"{T}/h-bob")
check(r.returncode == 0, "those of /etc decide", (r.returncode, r.stderr))
