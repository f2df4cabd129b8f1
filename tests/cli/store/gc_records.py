"""gc keeps what records name: outputs, and inputs that are in the store; and what results name."""
import json, os, sys

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
run("branch", "--delete", "--force", "junk", "master", store=store)
run("branch", "--delete", "--force", "scans", "master", store=store)


def result(key, tree, **more):
    os.makedirs(f"{store}/results/{key[:2]}", exist_ok=True)
    with open(f"{store}/results/{key[:2]}/{key[2:]}", "w") as f:
        json.dump({"data": "d" * 64, "datum": "b" * 64, "exit": 0, "format": 1, "ms": 5, "pipeline": "p", "state": "success", "tree": tree, "tries": 1, **more}, f)


write(T + "/kept", {"r.bin": b"result of a datum"})
tree = run("commit", "junk2", T + "/kept", store=store).stdout.split(" tree ")[1].split(",")[0]
write(T + "/beside", {"d/record.json": b"lineage of a datum"})
beside = run("commit", "junk3", T + "/beside", store=store).stdout.split(" tree ")[1].split(",")[0]
run("branch", "--delete", "--force", "junk2", "master", store=store)
run("branch", "--delete", "--force", "junk3", "master", store=store)
result("a" * 64, tree, lineage=beside)
result("c" * 64, "e" * 64)
r = run("gc", "--sweep", "--keep-days", "0", store=store)
check(r.returncode == 0, "gc with no ref left", r.stderr)
check(all(os.path.exists(blob(d)) for d in made.values()), "outputs that a record lists stay")
check(all(os.path.exists(blob(d)) for d in raw.values()), "inputs that a record lists stay")
check(os.path.exists(blob(b"result of a datum")), "a file that a result of a run names stays")
check(os.path.exists(blob(b"lineage of a datum")), "and the lineage it names")
check(os.listdir(store + "/results/aa") and not os.listdir(store + "/results/cc"), "a result whose tree is gone goes")
check(not os.path.exists(blob(b"garbage")), "what nothing names goes")
check(run("verify", store=store).returncode == 0, "the store is sound")
r = run("audit", id_, store=store)
check(r.returncode == 0, "and the record can be audited", r.stderr)
