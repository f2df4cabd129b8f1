"""rerun on real stages: the same bytes for every execution of a chain; another binary is refused; a result that was changed by one
step of one number is found, with the tensor's name; what was found is kept."""
import glob, json, os, shutil, struct, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _records import *

S, ROOT, B = f"{T}/store", os.environ["ROOT"], os.environ["B"]
if subprocess.run(["sh", "-c", '. "$0" && make_chain "$1" 3', ROOT + "/tests/cli/lineage/_chain.sh", T + "/c"]).returncode:
    check(False, "a small chain of real stages")
    sys.exit(1)
os.makedirs(f"{T}/manifest")
shutil.copy(f"{ROOT}/manifests/embedded.json", f"{T}/manifest/embedded.json")
run("commit", "scans", f"{T}/c/scans", store=S), run("commit", "labels", f"{T}/c/labels", store=S)
r = run("rerun", f"{T}/c/train", "--chain", store=S)
check(r.returncode == 66 and "voxtrail import" in r.stderr and "/records/" not in r.stderr, "a chain that is not in the store: import is named, no file of the store", (r.returncode, r.stderr))
for d in ("normed", "crop", "train"):
    run("import", f"{T}/c/{d}", store=S)
r = run("rerun", f"{T}/c/train", "--chain", store=S)
check(r.returncode in (66, 76) and "manifest" in r.stderr, "an input that is not in the store is named", (r.returncode, r.stderr))
run("commit", "manifest", f"{T}/manifest", store=S)
r = run("rerun", f"{T}/c/train", "--chain", "--json", store=S)
found = json.loads(r.stdout) if r.returncode == 0 else []
check([f["verdict"] for f in found] == ["same"] * 3, "every execution of the chain gives the same bytes again", (r.returncode, r.stdout, r.stderr))
check(all(f["record"] == f["of"] for f in found), "and writes the same record", found)
check(len(glob.glob(f"{S}/repro/*/*")) == 3 and not glob.glob(f"{S}/tmp/rerun*"), "the evidence is kept, the work removed")

r = run("audit", f"{T}/c/train", store=S)
check("done again 1 time: 1 same" in r.stdout, "audit says that it was done again", r.stdout[-300:])

os.makedirs(f"{T}/bin")
shutil.copy(f"{B}/bin/train", f"{T}/bin/train")
open(f"{T}/bin/train", "ab").write(b"\0")
r = run("rerun", f"{T}/c/train", "--bin", f"{T}/bin", store=S)
check(r.returncode == 78 and "--any-binary" in r.stderr, "a binary with another digest is refused: exit 78", (r.returncode, r.stderr))
r = run("rerun", f"{T}/c/train", "--bin", f"{T}/bin", "--any-binary", store=S)
check(r.returncode == 0 and "another binary" in r.stdout, "--any-binary runs it and says so", (r.returncode, r.stdout, r.stderr))
open(f"{T}/bin/train", "w").write("#!/bin/sh\necho 'no such luck' >&2\nexit 3\n")
r = run("rerun", f"{T}/c/train", "--bin", f"{T}/bin", "--any-binary", store=S)
check(r.returncode == 1 and "status 3" in r.stdout and "no such luck" in r.stdout, "a program that fails: exit 1, its status and last words", r.stdout)

# one number of one tensor, two steps further; the record says that this was the result
path = glob.glob(f"{T}/c/train/.lineage/*/record.json")[0]
truth = json.loads(open(path, "rb").read())
files = {p: open(f"{T}/c/train/{p}", "rb").read() for p in os.listdir(f"{T}/c/train") if p != ".lineage"}
weights = bytearray(files["best.safetensors"])
n = struct.unpack("<Q", weights[:8])[0]
header = json.loads(weights[8:8 + n])
names = sorted((k for k in header if k != "__metadata__"), key=lambda k: header[k]["data_offsets"][0])
victim = names[len(names) // 2]
at = 8 + n + header[victim]["data_offsets"][0] + 4
weights[at:at + 4] = struct.pack("<I", struct.unpack("<I", weights[at:at + 4])[0] + 2)
files["best.safetensors"] = bytes(weights)
truth["outputs"] = [port_json("out", files_of(files))]
truth["result"] = sha(canonical({"derivation": truth["derivation"], "outputs": [["out", truth["outputs"][0]["tree"]]]}))
os.makedirs(f"{T}/changed/.lineage/{truth['result']}")
for p, c in files.items():
    open(f"{T}/changed/{p}", "wb").write(c)
open(f"{T}/changed/.lineage/{truth['result']}/record.json", "wb").write(canonical(truth))
r = run("import", f"{T}/changed", store=S)
check(r.returncode == 0, "a store takes a record whose ids are sound: only doing the work again can show that it is untrue", r.stderr)
r = run("rerun", sha(canonical(truth)), "--keep", f"{T}/kept", store=S)
check(r.returncode == 1 and "different" in r.stdout and f"tensor {victim} (F32): 1 of " in r.stdout and "2 ulp" in r.stdout and "1 of " in r.stdout.split("; ")[-1],
      "a result that was changed is found: file, tensor, distance in ulp", r.stdout + r.stderr)
check(os.path.exists(f"{T}/kept/out/best.safetensors") and os.path.exists(f"{T}/kept/log"), "--keep leaves the new output and the log")
check(run("rerun", "e" * 64, store=S).returncode == 66, "an unknown record: exit 66")
