"""Records that are hard to read: deep paths, control characters, fifos, bytes behind a NUL; files that no record lists."""
import os, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

S = f"{T}/store"


def taken(name, text, files):
    d = f"{T}/{name}"
    for p, c in files.items():
        write(f"{d}/{p}", c)
    write(f"{d}/.lineage/{'0' * 64}/record.json", text)
    return [tool(cmd, d, store=S, timeout=60) for cmd in ("audit", "import")]


canon_record = lambda stage, params, port="out": record(stage, [], [(port, files_of({"a": b"1"}))], params=params)[1]
deep = {"port": "out", "tree": "0" * 64, "files": [{"path": "a/" * 60000 + "b", "sha256": "0" * 64, "size": 1}]}
j = json.loads(canon_record("x", {}))
j["outputs"] = [deep]
j["result"] = sha(canonical({"derivation": j["derivation"], "outputs": [["out", "0" * 64]]}))
for r in taken("deep", canonical(j), {"a": b"1"}):
    check(r.returncode in (65, 76) and "path of" in r.stderr, "a path of 60,000 elements is refused, not followed", (r.returncode, r.stderr[-200:]))
for what, text in (("stage", canon_record("x\n33 executions: all consents valid", {})), ("param", canon_record("x", {"a\x1b[8m": "1"})), ("port", canon_record("x", {}, "o\x07ut"))):
    for r in taken("control-" + what, text, {"a": b"1"}):
        check(r.returncode == 65 and "control characters" in r.stderr, f"control characters in a {what}: refused", (r.returncode, r.stderr))
d = f"{T}/value"
write(f"{d}/a", "1")
put_record(d, canon_record("x", {"note": "1\n99 executions, 0 subjects:\x1b[8m"}))
r = tool("audit", d, store=f"{T}/none")
check("\n99" not in r.stdout and "\x1b" not in r.stdout and "\\n99 executions" in r.stdout, "in a param's value they are shown", r.stdout)

os.makedirs(f"{T}/fifo/.lineage/x")
os.mkfifo(f"{T}/fifo/.lineage/x/record.json")
for cmd in (("audit", f"{T}/fifo"), ("import", f"{T}/fifo"), ("commit", "r", f"{T}/fifo")):
    begun = time.time()
    r = tool(*cmd, store=S, timeout=60)
    check(r.returncode == 65 and time.time() - begun < 30, f"{cmd[0]}: a fifo as a record is refused, not waited for", r.stderr)

raw, prep, crop, train, export = cohort(2)
d = export.dir(f"{T}/export")
write(f"{d}/extra.safetensors", "swapped in")
for cmd in (("audit", d), ("subjects", d), ("leakage", d)):
    r = tool(*cmd, store=S)
    check(r.returncode == 76 and "no record beside it lists" in r.stderr and "extra.safetensors" in r.stderr, f"{cmd[0]}: a file that no record lists: 76", (r.returncode, r.stderr))
os.remove(f"{d}/model.onnx")
os.remove(f"{d}/extra.safetensors")
check(tool("audit", d, store=S).returncode == 1, "a listed file that is missing: 1")

d = train.dir(f"{T}/train")
stage("voxtrail", "attest", "keygen", f"{T}/k")
stage("voxtrail", "attest", "sign", d, "--key", f"{T}/k", "-o", f"{T}/a.jsonl")
verify = lambda f: stage("voxtrail", "attest", "verify", f, "--key", f"{T}/k.pub")
check(verify(f"{T}/a.jsonl").returncode == 0, "an attestation")
write(f"{T}/nul.jsonl", open(f"{T}/a.jsonl", "rb").read() + b"\0 and more")
check(verify(f"{T}/nul.jsonl").returncode == 65, "bytes behind a NUL are not ignored")
stage("voxtrail", "attest", "sign", d, "--format", "oms", "--key", f"{T}/k", "-o", f"{T}/m.sig")
envelope = json.load(open(f"{T}/m.sig"))["dsseEnvelope"]
write(f"{T}/bare.json", json.dumps(envelope))
check(verify(f"{T}/bare.json").returncode == 65, "a model signature without its directory is not good", verify(f"{T}/bare.json").stdout)
os.chmod(f"{T}/k", 0o644)
r = stage("voxtrail", "attest", "sign", d, "--key", f"{T}/k", "-o", f"{T}/b.jsonl")
check(r.returncode == 78 and "others may read" in r.stderr, "a private key that others can read is refused", r.stderr)
