"""audit, descendants, subjects, leakage: the same answers as an independent reading of the records; exit status is the answer;
a directory that carries its lineage answers alone."""
import json, os, re, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _records import *

S = f"{T}/store"
raw, prep, crop, train, export = cohort(5)
tuned = Execution("train", {"patches": crop[:2], "previous": train}, {"best.safetensors": b"tuned"},
                  notes={"split": {"train": ["sub-001", "sub-002"], "validation": [], "test": []}})
scores = Execution("evaluate", {"patches": crop, "model": train}, {"metrics.json": b"1"}, notes={"subjects": ["sub-005"]})
cheat = Execution("evaluate", {"patches": crop, "model": train}, {"metrics.json": b"2"}, params={"with": "cheating"}, notes={"subjects": ["sub-002", "sub-005"]})
# sub-005 is sub-001's scan under another name
twin = {"sub-009/t1.nii": raw["sub-001"]["sub-001/t1.nii"], "sub-009/seg.nii": b"own"}
twin_prep = Execution("prepare", {"scans": twin}, {"sub-009/t1.nii": b"nsub-009"})
twin_crop = Execution("crop", {"normed": twin_prep}, {"sub-009/subject.vtp": b"csub-009"})
twin_scores = Execution("evaluate", {"patches": crop + [twin_crop], "model": train}, {"metrics.json": b"3"}, notes={"subjects": ["sub-009"]})
# subjects that are no directory of their own: the record's notes say whose file is whose
flat = Execution("prepare", {"scans": {"images/P_001.nii": b"flat 1", "images/P_001-b.nii": b"flat 2", "images/P_0011.nii": b"flat 3", "images/readme": b"flat 4"}},
                 {"x.bin": b"flat"}, notes={"subjects": {"P_001": {}, "P_0011": {}}, "quarantined": ["P_001-b"]})
everything = prep + crop + [train, export, tuned, scores, cheat, twin_prep, twin_crop, twin_scores, flat]
for n, e in enumerate(everything):
    run("import", e.dir(f"{T}/d{n}"), store=S)
oracle = Records([e.text for e in everything])

wrong = []
for e in everything:
    a = json.loads(run("audit", e.id, "--json", store=S).stdout)
    listed = json.loads(run("audit", e.id, "--list", "--json", store=S).stdout)
    ids = {x["id"] for x in a["executions"]}
    edges = {(x["id"], f) for x in a["executions"] for f in x["from"]}
    raws = {(x["id"], f["port"], f["path"], f["sha256"]) for x in a["executions"] for f in x["raw"]}
    want = oracle.ancestors(e.id)
    if ids != want or {x["record"] for x in listed} != want or a["roots"] != [e.id]:
        wrong.append(("ancestors", e.stage))
    if edges != {(i, p) for i in want for p in oracle.parents(i)[0]} or raws != {(i, *f) for i in want for f in oracle.parents(i)[1]}:
        wrong.append(("edges or raw files", e.stage))
    if any(x["record"] != oracle.by_id[x["id"]] for x in a["executions"]):
        wrong.append(("a record", e.stage))
check(not wrong, f"audit of {len(everything)} artifacts: ancestors, edges, raw files as an independent reading has them", wrong)

down = []
for e in everything:
    r = run("descendants", e.id, "--json", store=S)
    want = sorted(oracle.descendants(e.id))
    if [x["record"] for x in json.loads(r.stdout)] != want or r.returncode != (0 if want else 1):
        down.append((e.stage, r.returncode, r.stderr))
check(not down, "descendants too, in the order of their ids; exit 1 where there are none", down)
first = {r for r in oracle.by_id if any("sub-001/" in f[1] for f in oracle.parents(r)[1])}
want = sorted(first.union(*(oracle.descendants(i) for i in first)))
r = run("descendants", "--subject", "sub-001", "--json", store=S)
check([x["record"] for x in json.loads(r.stdout)] == want, "descendants of a subject", r.stderr)
os.makedirs(f"{T}/scan")
open(f"{T}/scan/t1.nii", "wb").write(raw["sub-001"]["sub-001/t1.nii"])
by_bytes = sorted({prep[0].id, twin_prep.id} | oracle.descendants(prep[0].id) | oracle.descendants(twin_prep.id))
for what in (f"{T}/scan/t1.nii", f"{T}/scan", sha(raw["sub-001"]["sub-001/t1.nii"])):
    r = run("descendants", what, "--json", store=S)
    check([x["record"] for x in json.loads(r.stdout)] == by_bytes, f"descendants of a raw file, given as {os.path.basename(what)[:8]}", r.stderr)
check(run("descendants", "--subject", "sub-0", store=S).returncode == 66 and run("descendants", "0" * 64, store=S).returncode == 66, "unknown: exit 66")

names = [(e.stage, [s["subject"] for s in json.loads(run("subjects", e.id, "--json", store=S).stdout)["subjects"]], oracle.subjects(e.id)) for e in everything if e is not flat]
check(all(a == b for _, a, b in names), "subjects of each", [n for n in names if n[1] != n[2]])
r = run("subjects", flat.id, store=S)
check(r.stdout.split() == ["P_001", "P_001-b", "P_0011", "images"], "subjects in file names, as the record's notes name them", r.stdout)
r = run("subjects", tuned.id, store=S)
check(r.stdout.splitlines() == [f"sub-00{i}  train" for i in (1, 2, 3, 4)] + ["sub-005  validation"], "and what for, through a fine-tuning", r.stdout)
check([run("subjects", tuned.id, "--has", s, store=S).returncode for s in ("sub-004", "sub-010")] == [0, 1], "--has: the exit status")

for what, status, said in ((scores, 0, "0 subjects and 0 volumes"), (cheat, 1, "shared subject  sub-002"), (twin_scores, 1, "sub-001/t1.nii (training) is sub-009/t1.nii (evaluation)")):
    r = run("leakage", what.id, store=S)
    check(r.returncode == status and said in r.stdout, f"leakage: exit {status}, {said}", (r.returncode, r.stdout, r.stderr))
r = run("leakage", train.id, store=S)
check(r.returncode == 64 and "is a training: say what it is compared with" in r.stderr, "leakage of a training alone: 64", (r.returncode, r.stdout, r.stderr))
r = run("leakage", scores.id, "--validation", "--json", store=S)
check(r.returncode == 1 and json.loads(r.stdout)["shared_subjects"] == ["sub-005"], "--validation counts those that chose the weights", r.stdout)
for d, files in (("fresh", {"sub-100/t1.nii": b"new"}), ("copied", {"sub-100/scan.nii": raw["sub-003"]["sub-003/t1.nii"]}), ("named", {"sub-003/t1.nii": b"other"})):
    for p, c in files.items():
        os.makedirs(os.path.dirname(f"{T}/{d}/{p}"))
        open(f"{T}/{d}/{p}", "wb").write(c)
check([run("leakage", train.id, f"{T}/{d}", store=S).returncode for d in ("fresh", "copied", "named")] == [0, 1, 1], "leakage into a directory of scans: new, copied under another name, a known subject")

# a directory alone
lone = f"{T}/d{everything.index(tuned)}"
r = run("audit", lone, "--json", store=f"{T}/nostore")
check(r.returncode == 3 and {x["id"] for x in json.loads(r.stdout)["executions"]} == oracle.ancestors(tuned.id), "a directory answers without any store", r.stderr)
check(run("subjects", lone, store=f"{T}/nostore").stdout == run("subjects", tuned.id, store=S).stdout, "subjects as well")
tuned.dir(f"{T}/cut", parents=False)
r = run("audit", f"{T}/cut", store=f"{T}/nostore")
check(r.returncode == 1 and "incomplete" in r.stderr, "without its ancestors' records it says that it is incomplete: exit 1", r.stderr)
r = run("audit", f"{T}/cut", "--json", store=S)
check(r.returncode == 0 and {x["id"] for x in json.loads(r.stdout)["executions"]} == oracle.ancestors(tuned.id), "and the store completes it")
run("import", f"{T}/d0", store=f"{T}/half")
r = run("audit", f"{T}/cut", store=f"{T}/half")
check(r.returncode == 1, "a store that knows only some of them: exit 1", r.returncode)

# what a checkout carries
for d, e in (("m1", crop[0]), ("m1", crop[1]), ("m2", prep[0]), ("m2", prep[1])):
    e.dir(f"{T}/{d}")
older = Execution("prepare", {"scans": raw["sub-001"]}, {"sub-001/t1.nii": b"another", "sub-001/geometry.json": b"{}"}, params={"strip": "never"})
run("import", older.dir(f"{T}/older"), store=S)
for repo, d in (("crops", "m1"), ("preps", "m2")):
    run("commit", repo, f"{T}/{d}", store=S)
    run("checkout", repo, f"{T}/co-{repo}", store=S)
    r = run("audit", f"{T}/co-{repo}", "--json", store=f"{T}/nostore")
    mine = json.loads(r.stdout) if r.stdout else {"roots": r.stderr}
    made = [e.id for e in (crop[:2] if repo == "crops" else prep[:2])]
    check(r.returncode == 3 and mine["roots"] == sorted(made), f"a checkout of {repo} answers alone: those that made it, not one that shares some bytes", mine["roots"])
    check(json.loads(run("audit", repo, "--json", store=S).stdout)["roots"] == sorted(made), f"as the commit {repo} does")
    check(run("import", f"{T}/co-{repo}", store=f"{T}/elsewhere").returncode == 0, "and another store takes it")
run("checkout", "crops:sub-002", f"{T}/part", store=S)
r = run("audit", f"{T}/part", "--json", store=f"{T}/nostore")
check(r.returncode == 3 and json.loads(r.stdout)["roots"] == [crop[1].id], "part of a commit carries the records of that part", r.stderr)

# forms
dot = run("audit", tuned.id, "--format", "dot", store=S).stdout
check(dot.startswith("digraph") and len(set(re.findall(r'^\t"([0-9a-f]{16})" \[label', dot, re.M))) == len(oracle.ancestors(tuned.id)) + len({f[2] for i in oracle.ancestors(tuned.id) for f in oracle.parents(i)[1]}), "dot: a node an execution and raw file")
if shutil.which("dot"):
    check(subprocess.run(["dot", "-Tsvg"], input=dot.encode(), capture_output=True).returncode == 0, "graphviz reads it")
else:
    print("skip - graphviz reads the dot form: dot is not installed")
evil = Execution("prep<script>", {"in": {"<img src=x>/a&b.nii": b"1"}}, {"o'\"ut": b"2"}, params={"note": "</style><script>alert(1)</script>"})
run("import", evil.dir(f"{T}/evil"), store=S)
page = run("audit", evil.id, "--format", "html", store=S).stdout
check("<script" not in page and "<img" not in page and "prep&lt;script&gt;" in page, "html: names are escaped")
page = run("audit", tuned.id, "--format", "html", store=S).stdout
check(not re.search(r"""(src|href)=(?!'#)|https?:|@import|url\(""", page) and all(i[:16] in page for i in oracle.ancestors(tuned.id)), "html: refers to nothing outside, holds every execution")
check(run("audit", tuned.id, "--format", "pdf", store=S).returncode == 64, "an unknown form: exit 64")
