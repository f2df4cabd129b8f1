"""The SQL of docs/lineage.md, taken from the page and run by Python's sqlite3, gives what the commands give."""
import os, re, sqlite3, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _records import *

S = f"{T}/store"
raw, prep, crop, train, export = cohort(4)
again = Execution("train", {"patches": crop}, {"best.safetensors": b"other weights"}, params={"seed": "1"})
bare = Execution("look", {"normed": dict(prep[1].contents)}, {"seen.txt": b"seen"})
everything = prep + crop + [train, export, bare]
for n, e in enumerate(everything):
    run("import", e.dir(f"{T}/{n}"), store=S)
page = open(os.environ["ROOT"] + "/docs/lineage.md").read()
sql = re.findall(r"```sql\n(.*?)```", page, re.S)
check(len(sql) == 6, "the page has six queries", len(sql))
db = sqlite3.connect(f"file:{S}/lineage.db?mode=ro", uri=True)


def ask(n, **values):
    return [row[0] for row in db.execute(sql[n], values)]


def listed(*args):
    r = run(*args, "--json", store=S)
    return sorted(x["record"] for x in json.loads(r.stdout))


check(all(ask(0, what=e.id) == listed("audit", e.id, "--list") for e in everything), "ancestors")
check(all(ask(1, what=e.id) == listed("descendants", e.id) for e in everything), "descendants")
check(all(ask(2, what=e.id) == [s["subject"] for s in json.loads(run("subjects", e.id, "--json", store=S).stdout)["subjects"]] for e in everything), "subjects")
check(all(ask(3, subject=s) == listed("descendants", "--subject", s) for s in raw), "everything made of a subject")
run("import", again.dir(f"{T}/again"), store=S)
check(run("audit", train.id, store=S).returncode == 76, "two results of one derivation: audit says so")
check(ask(4, what=sha(b"weights")) == [train.id] and ask(4, what=sha(b"nowhere")) == [], "who made a file")
check(list(db.execute(sql[5])) == [(train.json["derivation"], 2)], "work whose result was not the same twice")
tables = {t: {c[1] for c in db.execute(f"PRAGMA table_info({t})")} for (t,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
named = {m[0]: set(re.findall(r"`(\w+)`(?! or)", m[1])) for m in re.findall(r"^\| `(\w+)` \| (`.*)\|$", page, re.M) if m[0] in tables}
check(set(named) == set(tables) and all(tables[t] <= named[t] for t in tables), "every table and column is on the page", {t: tables[t] - named.get(t, set()) for t in tables})
