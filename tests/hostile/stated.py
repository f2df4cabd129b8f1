"""What is stated in another type than its writer gives it is refused with the path, as damage of the input and not of the program: real
numbers where bytes are hashed, a checkpoint's preparation. A file beyond its limit is not read before it is refused."""
import json, os, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *
from _checks import no_bounds

unbounded = no_bounds("memory of files that are too long")

os.chdir(T)
S = f"{T}/store"
canonical = lambda j: json.dumps(j, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
make_cohort(3)
embedded = f"{ROOT}/manifests/embedded.json"
for args in (("skullstrip-normalize", "--scans", "cohort/scans", "--manifest", embedded, "--strip", "never", "--out", "normed"),
             ("crop-patch", "--normed", "normed", "--labels", "cohort/labels", "--manifest", embedded, "--out", "crop"),
             ("train", "--patches", "crop", "--network", '{"init_filters":8}', "--patch", "16", "--steps", "1", "--validate-every", "1", "--max-validation", "1", "--fold", "1", "--out", "train")):
    r = stage(*args)
    check(r.returncode == 0, f"{args[0]} makes what is altered", r.stderr[-300:])

# --- real numbers: they have no canonical form
record = [f"{b}/record.json" for b, _, names in os.walk("train/.lineage") if "record.json" in names][0]
whole = open(record).read()
for key, value in (("notes", {"x": 0.5}), ("params", {"seed": 1e-320}), ("status", 0.5)):
    j = json.loads(whole)
    j[key] = value
    open(record, "w").write(canonical(j))
    for words in (("import", "train", "--store", S), ("audit", "train", "--store", S)):
        r = tool(*words)
        check(r.returncode == 76 and "record.json: not in canonical form" in r.stderr, f"{words[0]}: a record with a real number in {key}: 76", (r.returncode, r.stderr))
open(record, "w").write(whole)

write(f"{T}/evil-ssh", '#!/bin/sh\nexec "%s" "%s/_evil.py" "$@"\n' % (sys.executable, os.path.dirname(os.path.abspath(__file__))))
os.chmod(f"{T}/evil-ssh", 0o755)
for key in ("provenance", "source"):
    write(f"{T}/evil.py", f"""D = put("objects", b"pwn")
E = put("trees", b"voxtree 1\\nf %s 3 a\\n" % D.encode())
c = put("commits", canon({{"format": 1, "message": "m", "parents": [], "{key}": {{"x": 0.5}}, "time": 1700000000, "tree": E}}))
history.append(c)
refs.append("g heads/master " + c)
""")
    r = subprocess.run(["voxtrail", "pull", "g", "evil:/x", "--store", f"{T}/pulled"], capture_output=True, text=True, env=dict(os.environ, EVIL=f"{T}/evil.py", VOXTRAIL_SSH=f"{T}/evil-ssh"))
    check(r.returncode == 65 and "not the canonical form of a commit" in r.stderr, f"pull: a commit with a real number in its {key}: 65", (r.returncode, r.stderr))

stage("voxtrail", "attest", "keygen", "key")
# anna has no store here
request = {"decision": {"decision": "erase", "files": 4, "subject": "sub-001"}, "format": 1, "nonce": "9a99202729c8deb424524a5939e0104f", "store": "0" * 32, "time": 1796083050}
for key, value in (("time", 0.5), ("store", 1e308), ("decision", {"files": 0.5})):
    write(f"{T}/request.json", json.dumps(dict(request, **{key: value})))
    r = stage("voxtrail", "trust", "approve", "request.json", "--key", "key", "--out", "approval.json")
    check(r.returncode == 65 and "request.json: no request of a decision" in r.stderr and not os.path.exists("approval.json"), f"trust approve: a real number in {key}: 65, nothing is signed", (r.returncode, r.stderr))

write(f"{T}/request.json", json.dumps(request))
r = stage("voxtrail", "trust", "approve", "request.json", "--key", "key", "--out", "approval.json")
check(r.returncode == 0 and os.path.exists("approval.json") and not os.path.exists(".voxtrail"), "trust approve needs no store: on any machine", (r.returncode, r.stderr))
for words in (("approve", "a", "b"), ("approve",)):
    r = stage("voxtrail", "trust", *words, "--key", "key", "--out", "approval-2.json")
    check(r.returncode == 64 and "usage" in r.stderr, f"trust {' '.join(words)}: 64", (r.returncode, r.stderr))

# --- a checkpoint: no default stands in for what it says
shutil.copytree("train", "stated", ignore=shutil.ignore_patterns(".lineage"))
checkpoint = json.load(open("stated/checkpoint.json"))
for path, value, said in ((("settings", "strip"), {"x": 1}, "strip"), (("settings", "threshold"), "half", "threshold"), (("settings", "nan_outside"), 1, "nan_outside"), (("settings",), [], "settings"),
                          (("crop", "region"), "no", "/crop/region"), (("crop", "dtype"), "f64", "/crop/dtype"), (("activation",), "Softmax", "/activation"), (("activation",), None, "/activation"), (("classifies",), 1, "/classifies")):
    j = json.loads(json.dumps(checkpoint))
    at = j
    for k in path[:-1]:
        at = at[k]
    at[path[-1]] = value
    json.dump(j, open("stated/checkpoint.json", "w"))
    r = stage("predict", "--model", "stated", "--scans", "cohort/scans", "--manifest", embedded, "--out", "seg")
    check(r.returncode == 65 and "checkpoint.json" in r.stderr and said in r.stderr and not contents("seg"), f"predict: {'.'.join(path)} {value!r}: 65", (r.returncode, r.stderr[-400:]))

# --- scores in a card: nothing in them turns the text around
write(f"{T}/scored/metrics.json", json.dumps({"mean": {"WT": {"dice": 0.1, "note": "\u202e9.0 :ecid\u200b"}}}, ensure_ascii=False))
r = stage("export", "--model", "train", "--metrics", "scored", "--allow", "metrics", "--out", "exported")
card = open("exported/model-card.md", encoding="utf-8").read() if r.returncode == 0 else ""
check("\\xe2\\x80\\xae9.0 :ecid\\xe2\\x80\\x8b" in card and "\u202e" not in card and "\u200b" not in card, "export: hidden characters of scores are shown in the card", (r.returncode, r.stderr[-400:]))

# --- lengths
with open("long", "wb") as f:
    f.truncate(3 << 30)
for words in (("attest", "verify", "long", "--key", "key.pub"), ("merge", "--out", "m", "--from", "crop", "--only", "long"), ("lint", "long")):
    p = subprocess.Popen(["voxtrail", *words], stdout=subprocess.DEVNULL, stderr=open("said", "w"))
    _, status, used = os.wait4(p.pid, 0)
    said = open("said").read()
    check(os.waitstatus_to_exitcode(status) == 65 and "longer than" in said and (unbounded or used.ru_maxrss < 64 << 10), f"{words[0]} does not read a file that is too long: 65", (status, used.ru_maxrss, said))
