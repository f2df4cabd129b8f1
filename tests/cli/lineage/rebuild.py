"""lineage.db is only an index: the same rows whatever order the records came in, and after a rebuild; the edges are those an
independent reading of the records gives; a damaged, missing or foreign database says what to run."""
import os, random, shutil, sqlite3, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _records import *

TABLES = {
    "record": "SELECT hex(id), hex(derivation), hex(result), stage, status, hex(tree) FROM record",
    "tree": "SELECT hex(r.id), t.way, t.port, hex(a.digest) FROM tree t JOIN record r ON r.n = t.record JOIN artifact a ON a.n = t.artifact",
    "file_out": "SELECT hex(r.id), hex(a.digest), coalesce(s.name, '') FROM file_out o JOIN record r ON r.n = o.record JOIN artifact a ON a.n = o.artifact"
                " LEFT JOIN subject s ON s.n = o.subject",
    "file_in": "SELECT hex(r.id), i.port, hex(a.digest), coalesce(s.name, ''), i.open FROM file_in i JOIN record r ON r.n = i.record"
               " JOIN artifact a ON a.n = i.artifact LEFT JOIN subject s ON s.n = i.subject",
    "parent": "SELECT hex(r.id), p.port, hex(p.id) FROM parent p JOIN record r ON r.n = p.record",
    "edge": "SELECT hex(c.id), hex(p.id) FROM edge e JOIN record c ON c.n = e.child JOIN record p ON p.n = e.parent",
}


def dump(store):
    db = sqlite3.connect(f"file:{store}/lineage.db?mode=ro", uri=True)
    return {name: sorted(db.execute(sql).fetchall()) for name, sql in TABLES.items()}


# Executions with every kind of edge: parents named; files found by their bytes alone; the same bytes from two executions; a
# parent that wrote nothing of the input; an execution that reads what another wrote without a record beside it.
raw, prep, crop, train, export = cohort(4)
other = Execution("prepare", {"scans": raw["sub-001"]}, prep[0].contents, params={"strip": "never"})
both = Execution("merge", {"normed": [prep[0], other]}, {"all.bin": b"both"})
bare = Execution("look", {"normed": dict(prep[1].contents)}, {"seen.txt": b"seen"})
stranger = Execution("look", {"normed": [prep[2]]}, {"other.txt": b"2"})
named = record("look", [("normed", files_of(crop[3].contents), [crop[3].id, train.id, "c" * 64])], [("out", files_of({"n.txt": b"n"}))])
failed = record("crop", [("normed", files_of(prep[3].contents), [prep[3].id])], [], failure="sub-004: no label map")
texts = [e.text for e in prep + crop + [train, export, other, both, bare, stranger]] + [named[1], failed[1]]
oracle = Records(texts)
want = sorted((c.upper(), p.upper()) for c in oracle.by_id for p in oracle.parents(c)[0])


def fill(store, order):
    """Each record arrives alone, as one of a failed execution's directory: without files beside it."""
    for n in order:
        d = f"{T}/one"
        shutil.rmtree(d, ignore_errors=True)
        j = json.loads(texts[n])
        os.makedirs(f"{d}/.lineage/{j.get('result', 'failed')}")
        open(f"{d}/.lineage/{j.get('result', 'failed')}/record.json", "wb").write(texts[n])
        r = run("import", "--partial", d, store=store)
        r.returncode == 0 or check(False, f"import {n}", r.stderr)
    return dump(store)


rng = random.Random(2)
order = list(range(len(texts)))
first = fill(f"{T}/a", order)
check(first["edge"] == want, "edges are those of an independent reading", (len(first["edge"]), len(want)))
raws = sorted({(r.upper(), port, d.upper()) for r in oracle.by_id for port, _, d in oracle.parents(r)[1]})
db = sqlite3.connect(f"{T}/a/lineage.db")
found = sorted(set(db.execute("SELECT hex(r.id), i.port, hex(a.digest) FROM file_in i JOIN record r ON r.n = i.record JOIN artifact a ON a.n = i.artifact"
                              " WHERE i.open = 1 AND NOT EXISTS (SELECT 1 FROM file_out o WHERE o.artifact = i.artifact AND o.record <> i.record)").fetchall()))
check(found == raws, "raw files too")
same = [fill(f"{T}/{n}", rng.sample(order, len(order))) == first for n in range(6)]
check(all(same), "six other orders of arrival: the same rows", same)

answers = [run("audit", e.id, "--json", store=f"{T}/a").stdout for e in (train, export, both, bare)]
r = run("rebuild", store=f"{T}/a")
check(r.returncode == 0 and f"{len(texts)} records" in r.stdout and dump(f"{T}/a") == first, "rebuild: the same rows", r.stderr)
check([run("audit", e.id, "--json", store=f"{T}/a").stdout for e in (train, export, both, bare)] == answers, "and the same answers")
again = open(f"{T}/a/lineage.db", "rb").read()
run("rebuild", store=f"{T}/0")
check(dump(f"{T}/0") == first, "a store filled in another order rebuilds to the same rows")

for what, damage, status in (("cut short", lambda p: os.truncate(p, 5000), 76), ("not a database", lambda p: open(p, "w").write("x" * 9000), 76),
                             ("missing", os.remove, 76),
                             ("of another version", lambda p: sqlite3.connect(p).executescript("PRAGMA user_version = 9; PRAGMA wal_checkpoint(TRUNCATE)"), 65)):
    damage(f"{T}/a/lineage.db")
    for command in (["audit", train.id], ["verify"], ["import", "--partial", f"{T}/one"]):
        r = run(*command, store=f"{T}/a")
        check(r.returncode == status and "voxtrail rebuild" in r.stderr, f"database {what}: {command[0]} says to rebuild", (r.returncode, r.stderr))
    r = run("rebuild", store=f"{T}/a")
    check(r.returncode == 0 and dump(f"{T}/a") == first, f"database {what}: rebuilt", r.stderr)

path = f"{T}/a/records/{train.id[:2]}/{train.id[2:]}"
os.chmod(path, 0o644)
open(path, "ab").write(b" ")
r = run("rebuild", store=f"{T}/a")
check(r.returncode == 76 and train.id[2:] in r.stdout and f"{len(texts) - 1} records" in r.stdout, "a damaged record is left out and named", r.stdout)
r = run("audit", export.id, store=f"{T}/a")
check(r.returncode == 1 and train.id in r.stderr, "then audit says that the ancestry is incomplete", r.stderr)
check(run("rebuild", store=f"{T}/none").returncode == 66, "no store: exit 66")
