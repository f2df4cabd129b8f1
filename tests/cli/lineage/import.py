"""import: a record that lies is refused by name and the store stays as it was; what is true is taken in, in any order, any
number of times, also after a bucket; audit recomputes."""
import hashlib, itertools, json, os, random, shutil, sqlite3, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _records import *


def listing(store):
    found = []
    for base, _, names in os.walk(store):
        found += [os.path.relpath(f"{base}/{n}", store) for n in names if not base.endswith("tmp") and "lineage.db" not in n]
    return sorted(found)


def answers(store, what):
    return [run("audit", w, "--json", store=store).stdout for w in what]


raw, prep, crop, train, export = cohort(3)
everything = prep + crop + [train, export]
for k, e in enumerate(everything):
    e.dir(f"{T}/true/{k}")

# --- the truth ------------------------------------------------------------------------------------------------------------------
orders = [list(range(len(everything))), list(reversed(range(len(everything))))]
orders.append(random.Random(1).sample(orders[0], len(everything)))
said = []
for n, order in enumerate(orders):
    for k in order:
        r = run("import", f"{T}/true/{k}", store=f"{T}/order{n}")
        r.returncode == 0 or check(False, f"import of a true output {k}", r.stderr)
    said.append((listing(f"{T}/order{n}"), answers(f"{T}/order{n}", [e.id for e in everything])))
check(said[0] == said[1] == said[2], "the order of imports changes neither the store's files nor an answer")
before = listing(f"{T}/order0")
for k in orders[2]:
    run("import", f"{T}/true/{k}", store=f"{T}/order0")
check(listing(f"{T}/order0") == before and answers(f"{T}/order0", [export.id]) == answers(f"{T}/order1", [export.id]), "importing again changes nothing")
run("import", f"{T}/true/{len(everything) - 1}", store=f"{T}/lone")
mine = {r["id"] for r in json.loads(run("audit", export.id, "--json", store=f"{T}/lone").stdout)["executions"]}
check(mine == {e.id for e in everything}, "one exported directory brings the records of all its ancestors")

# a bucket keeps names and bytes only: times, modes, empty directories are lost
tool = Execution("pack", {"model": train}, {"run.sh": b"#!/bin/sh\n", "keep/data": b"1"})
tool.id, tool.text, tool.json = record("pack", [("model", files_of(train.contents), [train.id])], [("out", files_of(tool.contents, {"run.sh"}))])
tool.dir(f"{T}/packed")
os.chmod(f"{T}/packed/run.sh", 0o755)
subprocess.run("mkdir bucket && (cd packed && find . -type f) | while read f; do mkdir -p bucket/$(dirname $f); cat packed/$f >bucket/$f; done", shell=True, check=True, cwd=T)
r = run("import", f"{T}/bucket", store=f"{T}/buckets")
stated = tool.json["outputs"][0]["tree"]
check(r.returncode == 0 and os.path.exists(f"{T}/buckets/trees/{stated[:2]}/{stated[2:]}"), "after a bucket: the tree the record states is in the store", r.stderr)
check(run("audit", f"{T}/bucket", store=f"{T}/buckets").returncode == 0, "and audit accepts the directory")

# a directory that many executions wrote
for c in crop:
    c.dir(f"{T}/merged")
r = run("import", f"{T}/merged", store=f"{T}/merge")
check(r.returncode == 0 and "3 records" in r.stdout, "a directory that three executions wrote", r.stderr)
open(f"{T}/merged/notes.txt", "w").write("mine")
check(run("import", f"{T}/merged", store=f"{T}/merge").stdout.count("notes.txt") == 1, "a file that no record lists is taken in and named")
r = run("import", "--strict", f"{T}/merged", store=f"{T}/merge")
check(r.returncode == 76 and "notes.txt" in r.stderr, "--strict refuses it", r.stderr)
os.remove(f"{T}/merged/sub-002/subject.vtp")
r = run("import", f"{T}/merged", store=f"{T}/merge")
check(r.returncode == 76 and "sub-002/subject.vtp" in r.stderr, "a listed file that is missing is refused", r.stderr)
check(run("import", "--partial", f"{T}/merged", store=f"{T}/merge").returncode == 0, "--partial lets it be missing")

# --- lies -------------------------------------------------------------------------------------------------------------------------
lie_number = itertools.count()


def refused(what, spoil, named, status=76, audit=None):
    d, s = f"{T}/lie{next(lie_number)}", f"{T}/liestore"
    export.dir(d)
    own = f"{d}/.lineage/{export.json['result']}"
    spoil(d, own)
    run("import", f"{T}/true/0", store=s)
    was = listing(s)
    r = run("import", d, store=s)
    check(r.returncode == status and named in r.stderr and listing(s) == was, f"{what}: refused by name, the store as before", (r.returncode, r.stderr))
    a = run("audit", d, store=s)
    check(a.returncode == (status if audit is None else audit) and named in a.stderr, f"{what}: audit says so too", (a.returncode, a.stderr))


def write(path, data):
    open(path, "wb").write(data)


def forged(d, own, **change):
    j = json.loads(export.text)
    j.update(change)
    write(f"{own}/record.json", canonical(j))


other = {"model.onnx": b"another"}
lying = record("export", [("model", files_of(train.contents), [train.id])], [("out", files_of(other))])
refused("an output with other bytes", lambda d, o: write(f"{d}/model.onnx", b"onnX"), "model.onnx")
refused("a sound record of other files", lambda d, o: write(f"{o}/record.json", lying[1]), "model.onnx")
refused("an output that is missing", lambda d, o: os.remove(f"{d}/model.onnx"), "model.onnx", audit=1)
refused("another binary's digest", lambda d, o: forged(d, o, binary="a" * 64), "record.json")
refused("other params", lambda d, o: forged(d, o, params={"seed": "2"}), "record.json")
refused("another tree id", lambda d, o: forged(d, o, outputs=[dict(export.json["outputs"][0], tree="0" * 64)]), "record.json")
refused("a list of files that does not make the tree", lambda d, o: forged(d, o, inputs=[dict(export.json["inputs"][0], files=[])]), "record.json")
refused("a pretty-printed record", lambda d, o: write(f"{o}/record.json", json.dumps(export.json, indent=1).encode()), "record.json")
refused("a record cut short", lambda d, o: write(f"{o}/record.json", export.text[:-1]), "record.json", 65)
refused("a record of a later format", lambda d, o: forged(d, o, format=2), "record.json", 65)
refused("an outsider among the ancestors", lambda d, o: write(f"{o}/parents.jsonl", Execution("other", {"x": {"a/b": b"c"}}, {"y": b"z"}).text + b"\n"), "parents.jsonl:1")
refused("a changed ancestor", lambda d, o: write(f"{o}/parents.jsonl", open(f"{o}/parents.jsonl", "rb").read().replace(b'"seed":"1"', b'"seed":"7"')), "parents.jsonl")

# a stage refuses such an input as well
prep[0].dir(f"{T}/input")
write(f"{T}/input/sub-001/t1.nii", b"other")
r = subprocess.run(["crop-patch", "--normed", f"{T}/input", "--manifest", os.environ["ROOT"] + "/manifests/embedded.json", "--out", f"{T}/no"], capture_output=True, text=True)
check(r.returncode == 76 and "sub-001/t1.nii" in r.stderr and not os.path.exists(f"{T}/no/sub-001"), "a stage refuses an input whose record lies", r.stderr)
