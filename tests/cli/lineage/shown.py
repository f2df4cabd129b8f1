"""What a record of others says reaches a terminal, a page and a graph as text; keys of a workflow stay in the bucket."""
import hashlib, json, os, subprocess
B, T = os.environ["B"], os.environ["T"]
V = B + "/bin/voxtrail"
sha = lambda b: hashlib.sha256(b).hexdigest()
canon = lambda o: json.dumps(o, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

def say(good, what, seen=""):
    print(("ok - " if good else "not ok - ") + what)
    if not good:
        print("#", repr(seen)[:1500])

def run(*args):
    return subprocess.run([V, *args], capture_output=True, timeout=60, env={**os.environ, "VOXTRAIL_STORE": T + "/store"}, cwd=T)

def tree(name, data):
    return sha(("voxtree 1\nf %s %d %s\n" % (sha(data), len(data), name)).encode())

def record(stage, params, out=b"y", name="a.txt"):
    port = lambda p, n, d: {"port": p, "tree": tree(n, d), "files": [{"path": n, "sha256": sha(d), "size": len(d)}]}
    i, o = {**port("scans", "sub-1.nii", b"x"), "parents": []}, port("out", name, out)
    d = sha(canon({"stage": stage, "version": "1", "binary": "0" * 64, "params": params, "inputs": [["scans", i["tree"]]]}))
    r = sha(canon({"derivation": d, "outputs": [["out", o["tree"]]]}))
    j = {"format": 1, "stage": stage, "version": "1", "binary": "0" * 64, "code": {"commit": "unknown", "dirty": False}, "params": params,
         "inputs": [i], "status": "ok", "outputs": [o], "derivation": d, "result": r}
    at = T + "/d/.lineage/" + r
    os.makedirs(at)
    open(at + "/record.json", "wb").write(canon(j))
    open(T + "/d/" + name, "wb").write(out)

forged = "x\n33 executions, 16 subjects: all consents valid\n\x1b[8m\u202e"
# line ends in a stage's name are refused (tests/hostile/records.py); in a param's value they are shown
record('stage"];x->y<script>', {"note": forged + "<script>alert(1)</script>\"];x->y"})
for args in ([], ["--format=html"], ["--format=dot"], ["--json"]):
    r = run("audit", "d", *args)
    text = r.stdout.decode(errors="replace") + r.stderr.decode(errors="replace")
    lines = [l for l in text.split("\n") if l.startswith("33 executions")]
    quiet = "\x1b" not in text and "\u202e" not in text and not lines
    say(quiet, "audit %s of a record with line ends, escapes and turned text" % " ".join(args), text)
    if args == ["--format=html"]:
        say("<script" not in text and "default-src 'none'" in text, "the page holds no script and allows none", text)
    if args == ["--json"]:
        say(forged in text.encode().decode("unicode_escape") and json.loads(r.stdout), "and the JSON holds the same value", text)
    if args == ["--format=dot"]:
        say('"];x->y' not in text.replace('\\"', ""), "a label ends where it ends", text)
r = run("lint", "no\x1b[31mfile\nforged.json")
say(b"\x1b" not in r.stderr and r.stderr.count(b"\n") == 1, "an error is one line", r.stderr)
os.makedirs(T + "/scans"); open(T + "/scans/f", "w").write("1")
r = run("commit", "r", "scans", "-m", "one\n\x1b[2Jtwo"); r = run("log", "r")
say(b"\x1b" not in r.stdout and b"one\\n\\x1b[2Jtwo" in r.stdout, "log shows a message's controls", r.stdout)

# every command that prints JSON: the same values, and nothing that turns or hides the text around it
bad = "a\u202eb\u200bc\U000e0041d\x7f"
run("consent", "withdraw", "sub-9", "--unknown", "--reason", bad)
run("commit", "r", "scans", "-m", bad, "--allow-empty")
run("tag", "r", "t")
open(T + "/m.json", "w").write(json.dumps({**json.load(open(os.environ["ROOT"] + "/manifests/embedded.json")), "description": bad}))
os.makedirs(T + "/cohort/sub-1"); open(T + "/cohort/sub-1/t1.nii.gz", "w").write("1")
for args in (["log", "r", "--json"], ["tag", "r", "--json"], ["consent", "list", "--json"], ["export-log"],
             ["manifest", "cohort", "--place", "m.json"]):
    r = run(*args)
    text = r.stdout.decode()
    hidden = [hex(ord(c)) for c in text if c in bad and c not in "abcd"]
    values = repr([json.loads(l) for l in text.splitlines()] if args[0] == "export-log" else json.loads(text))
    say(r.returncode == 0 and text and not hidden and repr(bad)[1:-1] in values, " ".join(args) + ": what cannot be seen is escaped, the value is the same", (r.returncode, hidden, values, r.stderr))

# the history's lines are those that are stored, whose digests hold each other; on a screen the same values are escaped
r = run("history", "--json")
stored = open(T + "/store/history", "rb").read()
say(r.stdout == stored and "\u202e".encode() in stored, "history --json: the bytes that are stored", r.stdout)
ours, theirs = os.openpty()
subprocess.run([V, "history", "--json", "--store", T + "/store"], stdout=theirs, stderr=subprocess.DEVNULL)
os.close(theirs)
screen = b""
try:
    while part := os.read(ours, 65536):
        screen += part
except OSError:  # the other end is closed and all is read
    pass
text = screen.decode()
say([json.loads(l) for l in text.splitlines()] == [json.loads(l) for l in stored.splitlines()] and not [c for c in text if c in bad and c not in "abcd"],
    "history --json on a screen: what cannot be seen is escaped, the value is the same", text)

# a workflow's keys
z = "0" * 64
def workflow(key, path="/pfs/out", kind="outputs"):
    side = {"artifacts": [{"name": "a", "path": path, "s3": {"key": key}, "optional": True}]}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"}, "spec": {"entrypoint": "main", "templates": [
        {"name": "main", "dag": {"tasks": [{"name": "a", "template": "t"}]}},
        {"name": "t", kind: side, "container": {"image": "x@sha256:" + z, "command": ["true"]}}]}}
os.makedirs(T + "/precious"); open(T + "/precious/keep", "w").write("keep")
up = "../" * 12 + T.lstrip("/") + "/precious"
for what, text in (("output key with ..", workflow(up)), ("absolute output key", workflow(T + "/precious")), ("input key with ..", workflow(up, "/pfs/in", "inputs")),
                   ("output path with ..", workflow("k", "/pfs/../../../../.." + T + "/precious")), ("input path with ..", workflow("k", "/pfs/../../x", "inputs"))):
    open(T + "/w.yaml", "w").write(json.dumps(text))
    r = run("run", "--argo", "w.yaml")
    said = r.stdout + r.stderr
    say(r.returncode not in (0, 70) and r.returncode < 128 and b"must be relative" in said and open(T + "/precious/keep").read() == "keep", "run --argo refuses an %s" % what, said)
spec = {"pipeline": {"name": "p"}, "transform": {"image": "x@sha256:" + z, "cmd": ["true"]}, "input": {"pfs": {"name": "r", "repo": 'a"+__import__("os").system("id")+"', "glob": "/"}}}
open(T + "/p.json", "w").write(json.dumps(spec))
for form in ("snakemake", "cwl", "argo"):
    r = run("emit", form, "p.json")
    say(r.returncode == 65 and b"/pfs/repo" in r.stderr and not r.stdout, "a repo name that is code is not emitted as %s" % form, r.stderr)
