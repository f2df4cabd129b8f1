"""What others called their regions and subjects, in the files of an evaluation: the page shows it as text, a table holds one field
of it, and no spreadsheet takes it for a formula."""
import csv, os, re, shutil, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

os.chdir(T)
REGION, SUBJECT = '<img src=x onerror=alert(1)>', "=1+1,x"
m = json.load(open(f"{ROOT}/manifests/embedded.json"))
m["regions"][0]["name"] = REGION
write(f"{T}/m.json", json.dumps(m))
stage("make-cohort", "--out", "cohort", "--subjects", "2", "--seed", "3", "--coarse")
for kind in ("scans", "labels"):
    os.rename(f"cohort/{kind}/sub-001", f"cohort/{kind}/{SUBJECT}")
for args in (["skullstrip-normalize", "--scans", "cohort/scans", "--manifest", "m.json", "--out", "normed"],
             ["crop-patch", "--normed", "normed", "--labels", "cohort/labels", "--manifest", "m.json", "--out", "patches"],
             ["train", "--patches", "patches", "--network", '{"init_filters":8}', "--patch", "16", "--steps", "1", "--validate-every", "1", "--max-validation", "1", "--fold=-1", "--out", "model"],
             ["evaluate", "--model", "model", "--patches", "patches", "--subjects", "all", "--overlap", "0", "--bootstrap", "0", "--out", "metrics"],
             ["export", "--model", "model", "--metrics", "metrics", "--out", "exported"]):
    r = stage(*args)
    check(r.returncode == 0, args[0], r.stderr[-600:])
pages = [f"{b}/{n}" for d in ("metrics", "exported") for b, _, names in os.walk(d) for n in names if n.endswith(".html")]
check(len(pages) >= 1, "there is a page", pages)
for p in pages:
    page = open(p).read()
    check("<img src=x" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page and "Content-Security-Policy" in page, f"{p}: a region's name is text, and no script may run", re.findall(r".{40}<img src=x.{20}", page)[:3])
rows = list(csv.reader(open("metrics/subjects.csv", newline="")))
check(len(rows) == 7 and len({len(r) for r in rows}) == 1, "subjects.csv: as many fields in every row", [len(r) for r in rows])
names = [f for r in rows for f in r]
check("'" + SUBJECT in names and not [f for f in names if re.match(r"[=@\t\r]|[+-](?!\d|inf|nan)", f)], "no field begins as a formula does", names[:6])
r = tool("scores", "metrics", "--subjects")
check(r.returncode == 0 and SUBJECT in r.stdout, "the table on the screen has the subject's own name", (r.returncode, r.stdout, r.stderr))
evil = open("metrics/metrics.json").read().replace(REGION, "R\\u001b[8m\\nforged line")
write(f"{T}/twice/metrics.json", evil)
r = tool("scores", "twice", "--subjects")
check("u001b[8m" in evil and r.returncode in (0, 65) and "\x1b" not in r.stdout + r.stderr and "\nforged line" not in r.stdout + r.stderr, "nor do control characters of a name reach the screen", (r.returncode, r.stdout, r.stderr))
