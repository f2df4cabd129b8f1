"""Where the policy wants a second person, nobody decides alone: what was asked for, on which store, by whom it was signed and how often
it was used are all checked, and an auditor finds both persons in the history."""
import getpass, json, os, pwd, shutil, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

S = f"{T}/s"
me = pwd.getpwuid(os.getuid()).pw_name
anna = nobodys("anna")
for n in (1, 2, 3):
    write(f"{T}/scans/sub-00{n}/t1.nii", f"scan {n}")
tool("commit", "scans", f"{T}/scans", "--copy", store=S)
for k in ("mine", "anna", "bob", "stranger"):
    stage("voxtrail", "attest", "keygen", f"{T}/{k}")
here = lambda n: os.path.exists(f"{S}/objects/{sha(f'scan {n}'.encode())[:2]}/{sha(f'scan {n}'.encode())[2:]}")
events = lambda: [json.loads(l) for l in open(f"{S}/history")]


def approve(request, key, out):
    r = stage("voxtrail", "trust", "approve", f"{T}/{request}", "--key", f"{T}/{key}", "--out", f"{T}/{out}", "--store", S)
    check(r.returncode == 0 and "approved:" in r.stdout, f"{key} signs {request}", r.stderr)
    return r.stdout


r = tool("trust", "demand", "approved", "erase", store=S)
check(r.returncode == 64 and "two approvers" in r.stderr, "without two approvers nobody could decide anything: refused", r.stderr)
check(tool("trust", "add-approver", f"{T}/mine.pub", store=S).returncode == 64, "an approver without a login name is refused")
check(tool("trust", "add-approver", f"{T}/mine.pub", "--user", me, "--name", "me", store=S).returncode == 0, "one approver")
check(tool("trust", "demand", "approved", "erase", store=S).returncode == 64, "one is not enough")
check(tool("trust", "add-approver", f"{T}/anna.pub", "--user", anna, store=S).returncode == 0, "a second one")
for w in ("erase", "consent", "lift", "trust", "unpin"):
    check(tool("trust", "demand", "approved", w, store=S).returncode == 0, f"{w} needs a second person from now on")
check(tool("trust", "demand", "approved", "everything", store=S).returncode == 78, "a word that is not known is refused")
check(tool("erase", "sub-001", store=S).returncode == 0, "looking needs nobody")
# every decision of the list, alone
id_, text, j = record("train", [], [("out", files_of({"x": b"y"}))])
write(f"{T}/made/x", "y")
put_record(f"{T}/made", text)
tool("import", f"{T}/made", store=S)
tool("consent", "withdraw", "sub-002", "--reason", "a letter", store=S)
tool("pin", "scans", "--until", "2099-01-01", "-m", "x", store=S)
lone = {
    "erase": ("erase", "sub-001", "--yes", "--reason", "x"),
    "consent restore": ("consent", "restore", "sub-002", "--reason", "x"),
    "consent decide": ("consent", "decide", id_, "sub-002", "accept", "--reason", "x"),
    "trust vouch": ("trust", "vouch", id_, "--reason", "x"),
    "import --vouch": ("import", f"{T}/made", "--vouch", "x"),
    "commit --vouch": ("commit", "made", f"{T}/made", "--vouch", "x"),
    "trust add-key": ("trust", "add-key", f"{T}/stranger.pub"),
    "trust add-approver": ("trust", "add-approver", f"{T}/stranger.pub", "--user", "somebody"),
    "trust waive": ("trust", "waive", "approved", "erase", "--reason", "x"),
    "pin --remove --force": ("pin", "scans", "--remove", "--force"),
}
before = len(events())
for what, args in lone.items():
    r = tool(*args, store=S)
    check(r.returncode == 3 and "second person" in r.stderr, f"{what}: not alone", (r.returncode, r.stderr))
check(len(events()) == before and here(1), "and nothing was done", events()[before:])
check(tool("consent", "withdraw", "sub-003", "--reason", "a letter", store=S).returncode == 0 and tool("trust", "reject", id_, "--reason", "x", store=S).returncode == 0, "what protects is never held up: withdraw, reject")

ask = ("erase", "sub-001", "--yes", "--reason", "a letter")
r = tool(*ask, "--ask", f"{T}/request", store=S)
check(r.returncode == 0 and here(1) and "nothing was done" in r.stdout, "--ask writes what is to be decided", r.stderr)
check("sub-001" in approve("request", "anna", "by-anna") and here(1), "who approves is shown what")
approve("request", "mine", "by-me")
approve("request", "stranger", "by-stranger")
refused = lambda what, status, said, *args, store=S: (lambda r: check(r.returncode == status and said in r.stderr and here(1), what, (r.returncode, r.stderr)))(tool(*args, store=store))
refused("one's own key is no second person", 3, "second person", *ask, "--approve", f"{T}/by-me")
refused("a stranger's neither", 76, "no approver", *ask, "--approve", f"{T}/by-stranger")
refused("nor for another subject", 65, "another decision", "erase", "sub-003", "--yes", "--reason", "a letter", "--approve", f"{T}/by-anna")
refused("nor for other grounds", 65, "another decision", *ask[:-1], "no letter", "--approve", f"{T}/by-anna")
write(f"{T}/by-anna-2", open(f"{T}/by-anna").read().replace('"payload":"', '"payload":"e30K'))
refused("a word changed", 76, "no approver", *ask, "--approve", f"{T}/by-anna-2")
write(f"{T}/scans2/sub-001/t2.nii", "more of scan 1")
tool("commit", "more", f"{T}/scans2", "--copy", store=S)
refused("files that came since the signature", 65, "changed since", *ask, "--approve", f"{T}/by-anna")
other = f"{T}/other-store"
shutil.copytree(f"{T}/scans", f"{T}/scans3")
now = dict(os.environ, SOURCE_DATE_EPOCH=str(events()[0]["time"]))
tool("commit", "scans", f"{T}/scans3", "--copy", store=other, env=now)
theirs, ours = json.loads(open(f"{other}/history").readline()), events()[0]
check(theirs.pop("store") != ours.pop("store") and theirs == ours, "a store of the same first event, in the same second", (theirs, ours))
for k, u in (("mine", me), ("anna", anna)):
    tool("trust", "add-approver", f"{T}/{k}.pub", "--user", u, store=other)
tool("trust", "demand", "approved", "erase", store=other)
refused("another store", 65, "another store", *ask, "--approve", f"{T}/by-anna", store=other)
tool(*ask, "--ask", f"{T}/request2", store=S)
approve("request2", "anna", "by-anna-now")
late = dict(os.environ, SOURCE_DATE_EPOCH="4102444800")
r = tool(*ask, "--approve", f"{T}/by-anna-now", store=S, env=late)
check(r.returncode == 65 and "week" in r.stderr and here(1), "and not for ever", r.stderr)
r = tool(*ask, "--approve", f"{T}/by-anna-now", store=S)
check(r.returncode == 0 and not here(1), "with a second person it is done", r.stderr)
done = [e for e in events() if e["event"] == "approved"]
check(len(done) == 1 and sorted(done[0]["detail"]["persons"]) == sorted([anna, me]) and done[0]["detail"]["decision"]["subject"] == "sub-001" and done[0]["detail"]["approvals"], "the history names both, and keeps what was signed", done)
check(tool(*ask, "--approve", f"{T}/by-anna-now", store=S).returncode == 0 and sum(e["event"] == "approved" for e in events()) == 1, "an erasure may be finished with it after a kill")

write(f"{T}/mine-already", "keep")
r = stage("voxtrail", "trust", "approve", f"{T}/request2", "--key", f"{T}/anna", "--out", f"{T}/mine-already", "--store", S)
check(r.returncode == 73 and open(f"{T}/mine-already").read() == "keep", "an approval is written over nothing", (r.returncode, r.stderr))

# once only
back = ("consent", "restore", "sub-002", "--reason", "a mistake")
tool(*back, "--ask", f"{T}/request3", store=S)
approve("request3", "anna", "restore")
check(tool(*back, "--approve", f"{T}/restore", store=S).returncode == 0, "consent restored by two")
tool("consent", "withdraw", "sub-002", "--reason", "once more", store=S)
r = tool(*back, "--approve", f"{T}/restore", store=S)
check(r.returncode == 65 and "used" in r.stderr and "sub-002" in tool("consent", "list", store=S).stdout, "an approval serves once", r.stderr)
# by an account that is nobody's: two signatures
key = ("trust", "add-approver", f"{T}/bob.pub", "--user", nobodys("bob"))
tool(*key, "--ask", f"{T}/request4", store=S)
approve("request4", "anna", "bob-1")
check(tool(*key, "--approve", f"{T}/bob-1", store=S).returncode == 0, "a new approver, by two")
mine = [l.split()[0] for l in tool("trust", "approvers", store=S).stdout.splitlines() if f" {me} " in l][0]
check(tool("trust", "revoke-approver", mine, "--reason", "left", store=S).returncode == 0, "an approver is revoked")
give = ("trust", "waive", "approved", "trust", "--reason", "a test")
tool(*give, "--ask", f"{T}/request5", store=S)
approve("request5", "anna", "w1")
approve("request5", "bob", "w2")
r = tool(*give, "--approve", f"{T}/w1", store=S)
check(r.returncode == 3, "one signature is one person where the account is no approver's", r.stderr)
r = tool(*give, "--approve", f"{T}/w1", "--approve", f"{T}/w1", store=S)
check(r.returncode == 3, "the same one twice is one person", r.stderr)
r = tool(*give, "--approve", f"{T}/w1", "--approve", f"{T}/w2", store=S)
check(r.returncode == 0 and tool("trust", "vouch", id_, "--reason", "x", store=S).returncode == 0, "two are two", r.stderr)
check(tool("trust", "add-key", f"{T}/stranger.pub", "--ask", f"{T}/no", store=S).returncode == 64 and not os.path.exists(f"{T}/no"), "--ask where nobody is needed is said")
r = tool("verify", store=S)
check(r.returncode == 0, "verify is clean", r.stdout[-400:] + r.stderr)

# the clock is the machine's: what has ended is not brought back by the environment, and what is not yet is not kept longer
S = f"{T}/clock"
tool("commit", "scans", f"{T}/scans", "--copy", store=S)
for k, u in (("mine", me), ("anna", anna)):
    tool("trust", "add-approver", f"{T}/{k}.pub", "--user", u, store=S)
tool("trust", "demand", "approved", "erase", store=S)
clock = int(time.time())
at = lambda days: dict(os.environ, SOURCE_DATE_EPOCH=str(clock + days * 86400))
for days, what in ((-8, "an approval of eight days ago, with a clock set back"), (4, "an approval dated ahead")):
    name = f"old{days}"
    tool(*ask, "--ask", f"{T}/{name}", store=S, env=at(days))
    stage("voxtrail", "trust", "approve", f"{T}/{name}", "--key", f"{T}/anna", "--out", f"{T}/{name}-a", "--store", S)
    for env in (at(days), at(0)):
        r = tool(*ask, "--approve", f"{T}/{name}-a", store=S, env=env)
        check(r.returncode == 65 and "more than a week ago, or" in r.stderr, what, (r.returncode, r.stderr))
tool(*ask, "--ask", f"{T}/now", store=S)
stage("voxtrail", "trust", "approve", f"{T}/now", "--key", f"{T}/anna", "--out", f"{T}/now-a", "--store", S)
policy = json.load(open(f"{S}/policy.json"))
whole = json.dumps(policy)
next(k for k in policy["approvers"] if k["user"] == anna)["until"] = clock - 86400
write(f"{S}/policy.json", json.dumps(policy))
for env in (at(0), at(-2)):
    r = tool(*ask, "--approve", f"{T}/now-a", store=S, env=env)
    check(r.returncode == 76 and "no approver" in r.stderr, "an approver's key that has ended, whatever SOURCE_DATE_EPOCH says", (r.returncode, r.stderr))
write(f"{S}/policy.json", whole)
check(tool(*ask, "--approve", f"{T}/now-a", store=S).returncode == 0, "an erasure by two")
check(tool("erase", "--lift", sha(b"scan 1"), "--reason", "a mistake", store=S).returncode == 0, "it is taken back")
r = tool("commit", "scans", f"{T}/scans", "--copy", store=S)
r = tool(*ask, "--approve", f"{T}/now-a", store=S)
check(r.returncode == 65, "and the approval of then erases nothing any more", (r.returncode, r.stderr, r.stdout))
