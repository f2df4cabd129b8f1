"""gc keeps what records name: outputs, and inputs that are in the store; and what the runner's results and heads name."""
import os, sys

sys.path.insert(0, os.environ["ROOT"] + "/tests/cli/lineage")
from _records import T, check, files_of, record, run, sha

store = T + "/st"
raw = {"sub-001/a.nii": b"raw scan", "sub-001/b.nii": b"another"}
made = {"model.bin": b"weights", "log/loss.txt": b"0.5\n"}
id_, text, j = record("train", [("data", files_of(raw), [])], [("out", files_of(made))])


def write(root, contents):
    for path, data in contents.items():
        os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
        open(f"{root}/{path}", "wb").write(data)


def blob(data):
    return f"{store}/objects/{sha(data)[:2]}/{sha(data)[2:]}"


write(T + "/out", made)
os.makedirs(f"{T}/out/.lineage/{j['result']}")
open(f"{T}/out/.lineage/{j['result']}/record.json", "wb").write(text)
write(T + "/raw", raw)
check(run("commit", "scans", T + "/raw", store=store).returncode == 0, "raw files are committed")
r = run("import", T + "/out", store=store)
check(r.returncode == 0, "an output is imported", r.stderr)
os.makedirs(T + "/alone")
open(T + "/alone/f", "wb").write(b"garbage")
r = run("commit", "junk", T + "/alone", store=store)
os.remove(store + "/refs/junk/heads/master")
os.remove(store + "/refs/scans/heads/master")
os.makedirs(store + "/runner/results")
write(T + "/kept", {"r.bin": b"result of a datum"})
run("commit", "junk2", T + "/kept", store=store)
os.remove(store + "/refs/junk2/heads/master")
open(store + "/runner/results/" + "a" * 64, "w").write(f"datum 1 0 1 5 p {'b' * 64}\nf {sha(b'result of a datum')} {'0' * 64} 17 /r.bin\nend\n")
r = run("gc", "--sweep", "--keep-days", "0", store=store)
check(r.returncode == 0, "gc with no ref left", r.stderr)
check(all(os.path.exists(blob(d)) for d in made.values()), "outputs that a record lists stay")
check(all(os.path.exists(blob(d)) for d in raw.values()), "inputs that a record lists stay")
check(os.path.exists(blob(b"result of a datum")), "a file that a result of a run names stays")
check(not os.path.exists(blob(b"garbage")), "what nothing names goes")
check(run("verify", store=store).returncode == 0, "the store is sound")
r = run("audit", id_, store=store)
check(r.returncode == 0, "and the record can be audited", r.stderr)
