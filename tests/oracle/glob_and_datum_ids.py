"""Glob patterns against the measured vectors of Pachyderm's own matcher, and datum ids against the published formula."""
import hashlib, json, os, struct, subprocess
from _checks import say
B, SHARED = os.environ["B"], os.environ.get("SHARED", "")
tool = B + "/tests/glob_vectors"

def ask(lines):
    return subprocess.run([tool], input="".join(l + "\n" for l in lines), text=True, errors="surrogateescape", capture_output=True, check=True).stdout.splitlines()


inputs = [("scans", "scans", "master", "/sub-001/"), ("labels", "labels", "master", "/" + "x" * 300)]
h = hashlib.blake2b(digest_size=32)
for fields in inputs:
    for f in fields:
        h.update(f.encode() + struct.pack(">Q", len(f)))
say(ask(["\t".join(("id",) + inputs[0] + inputs[1])]) == [h.hexdigest()], "datum id of two inputs equals hashlib's BLAKE2b over the formula")

def steps(pattern, path):
    return int(ask(["steps\t%s\t%s" % (pattern, path)])[0])

# Every one has a number of ways to match that doubles with each letter; of the path's last letter there is none.
for pattern in ("/+(*)b", "/+(a|a)b", "/+(+(a))b", "/*(*(a|?)|aa)b", "/@(|a)+(*)*+(?)c", "/*a*a*a*a*a*a*a*a*b", "/{a,aa}{,a}+(?|*)b", "/!(+(*)b)+(a|*)c", "/!(!(+(*)b))+(!(c))c"):
    few, many = steps(pattern, "/" + "a" * 40), steps(pattern, "/" + "a" * 80)
    say(many < 400000 and many < 12 * few, "%s: %d steps for 40 letters, %d for 80" % (pattern, few, many))

corpus = os.path.join(os.environ["ROOT"], "tests", "fuzz", "corpus", "glob")
for name in sorted(os.listdir(corpus)):
    lines = open(os.path.join(corpus, name), encoding="utf-8", errors="surrogateescape", newline="").read().split("\n") + [""]
    n = steps(lines[0], lines[1])
    say(n < 20000, "fuzz input %s: %d steps" % (name, n))

if not SHARED:
    print("skip - glob vectors: no ../shared")
    raise SystemExit
v = json.load(open(SHARED + "/schemas/glob-vectors.json"))
good = 0
for c in v["cases"]:
    rows = ask("%s\t%s\t%s" % (c["glob"], c.get("replace", ""), p) for p in v["paths"])
    got = [p for p, r in zip(v["paths"], rows) if r[0] == "1"]
    keys = {p: r.split("\t", 1)[1] for p, r in zip(v["paths"], rows) if r[0] == "1"}
    if sorted(got) != sorted(c["match"] or []) or ("key" in c and keys != c["key"]):
        print("# glob", c, "got", got, keys)
    else:
        good += 1
say(good == len(v["cases"]), "%d of %d glob vectors" % (good, len(v["cases"])))
for i, c in enumerate(json.load(open(SHARED + "/schemas/datum-id-vectors.json"))["vectors"]):
    row = ask(["\t".join(["id"] + [x[k] for x in c["inputs"] for k in ("name", "repo", "branch", "path")])])
    say(row == [c["datum_id"]], "datum id vector %d" % i)
