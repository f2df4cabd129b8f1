"""Our YAML reader against PyYAML: the same values where both read, a line number where we refuse."""
import glob, json, os, random, subprocess
from _checks import say
try:
    import yaml
except ImportError as e:
    print("skip - YAML reader: %s" % e); raise SystemExit
B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]


def ours(text):
    open(T + "/x.yaml", "w").write(text)
    r = subprocess.run([B + "/tests/yaml_json", T + "/x.yaml"], capture_output=True, text=True)
    return (json.loads(r.stdout) if r.returncode == 0 else None), r.stderr

good = 0
cases = [
    "a: 1\nb:\n  - x\n  - y: 2\n    z: [3, 'four', \"fi\\u00e9ve\"]\n", "a:\n- 1\n-   b: 2\n    c: 3\n- - 4\n  - 5\n", "# only\n\na: b # comment\nc: 'it''s # no comment'\n",
    "a: |\n  one\n    two\n\n  three\nb: >-\n  folded\n  text\n", "a: |-\n  # kept\n  x\n", "{a: {b: [c, d]}, e: f}\n", "- {a: 1, b: two words}\n- [1, -2, 3.5, true, null, ~, text]\n",
    "a: null\nb: ~\nc:\nd: true\ne: -7\nf: 1.5e+3\ng: 0x\nh: '1'\n", "---\na: 1\n---\nb: 2\n", "\"quoted key\": 1\n'other': 2\n", "a: long plain\n  text over lines\nb: 1\n",
    "a: [1,\n  2,\n  3]\n", "a: http://x:80/y\nb: c:d\n", "a: \"{{x}}\"\nb: \"a \\\"b\\\" \\n\"\n", "- a\n-\n  b: 1\n", "empty: {}\nlist: []\n", "a:\n  b:\n    c:\n      - d\ne: f\n", "plain\n",
    "a: \"one\n  two\\\n  \\ three\n\n  four\" # c\nb: 'x\n  y'\n",
]
for c in cases:
    got, said = ours(c)
    if got == list(yaml.safe_load_all(c)):
        good += 1
    else:
        print("#", repr(c), got, said)
say(good == len(cases), "%d of %d small texts" % (good, len(cases)))
files = [p for p in glob.glob(ROOT + "/pipelines/argo/*.yaml")]
same = [p for p in files if ours(open(p).read())[0] == list(yaml.safe_load_all(open(p)))]
say(len(same) == len(files), "%d of %d committed workflows" % (len(same), len(files)))

rng = random.Random(5)
def value(depth):
    kind = rng.randrange(7 if depth else 4)
    if kind == 0: return rng.randrange(-999, 999)
    if kind == 1: return rng.choice([True, False, None])
    if kind <= 3: return "".join(rng.choice("ab:#-?'\"{}[],&*!|> \\.0/\u00e9") for _ in range(rng.randrange(9)))
    if kind == 4: return [value(depth - 1) for _ in range(rng.randrange(4))]
    return {"k%d" % i: value(depth - 1) for i in range(rng.randrange(4))}
wrong = 0
for i in range(150):
    v = {"v": value(4)}
    text = yaml.safe_dump(v, default_flow_style=[None, False, True][i % 3], width=[10000, 20][i % 2], allow_unicode=True)
    got, said = ours(text)
    if got != [v]:
        wrong += 1
        print("#", repr(text)[:300], got, said)
say(wrong == 0, "150 random values as PyYAML writes them: %d wrong" % wrong)
refused = ["a: &x 1\nb: *x\n", "a: !!str 1\n", "a: 1\na: 2\n", "\ta: 1\n", "a: [1, 2\n", "a: {b: 1\n", "a: 'open\n", "a: 1\n  b: 2\n c: 3\n", "<<: {a: 1}\n", "- a\nb: 1\n", "{" * 80, "a: \"x\" y\n", "%YAML 1.1\n---\na: 1\n", "%TAG ! x\n---\na: 1\n", "a: \"x\\0y\"\n", "[a, b]: 1\n", "a: *x\n", "*x : 1\n", "- !x [1]\n", "- &x {a: 1}\n", "[" * 70 + "]" * 70, "a: b\n" * 2]
bad = [t for t in refused if ours(t)[0] is not None or ":" not in ours(t)[1]]
say(not bad, "%d texts are refused with a line %s" % (len(refused), bad))
many = "".join("key-%d: %d\n" % (i, i) for i in range(200000))
import time
t = time.time(); got, said = ours(many); t = time.time() - t
say(got and len(got[0]) == 200000 and t < 30, "200000 keys of one mapping in %.1f s" % t)
