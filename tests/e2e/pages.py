"""The commands of the documents that run a shipped spec, word for word but for the names of directories, from a fresh directory with the specs in it: each is planned with the
shipped recipes, and names every repo that its spec reads.  What they compute is run at a tiny size by the tests of each spec."""
import glob, json, os, re, shlex, subprocess
from _checks import run, say

T, ROOT = os.environ["T"], os.environ["ROOT"]
os.chdir(T)
for d in ("pipelines", "manifests"):
    os.symlink(ROOT + "/" + d, d)
run("make-cohort", "--out", "cohort", "--subjects", "2", "--seed", "7", "--coarse")
os.makedirs("names"), os.makedirs("pretrained"), os.makedirs("models")
open("names/names.txt", "w").write("sub-001\n")
open("pretrained/resnet_50.pth", "w").write("weights")
IS = {"STORE": "store", "M": "manifests/embedded.json", "OUT": "out"}


def directory(repo):
    return repo if repo in ("names", "pretrained") else "cohort/labels" if repo.endswith("labels") else "cohort/scans"


def pipelines(spec):
    """The names of its pipelines, those of what it extends too."""
    j = json.load(open(spec))
    if isinstance(j, list):
        return [p["pipeline"]["name"] for p in j]
    gone = [k for k, v in j.get("change", {}).items() if v is None]
    return [n for n in pipelines("pipelines/" + j["extends"]) if n not in gone] + [p["pipeline"]["name"] for p in j.get("add", [])]


seen = set()
for page in sorted(glob.glob(ROOT + "/docs/*.md")):
    text = open(page).read().replace("\\\n", " ")
    for line in re.findall(r"^    (voxtrail run pipelines/.*)$", text, re.M):
        words = shlex.split(line)
        if "..." in words or "DIR" not in line and "imagesTr" not in line or not any(w.startswith("scans=") for w in words):
            continue
        spec = words[2]
        seen.add(spec)
        words[1] = "plan"
        if "--checkout" in words:
            at = words.index("--checkout")
            del words[at:at + 2]
        for i, w in enumerate(words):
            repo, is_, value = w.partition("=")
            words[i] = IS.get(w, w) if not is_ else repo + "=" + (directory(repo) if value in ("DIR", "imagesTr", "labelsTr") else IS.get(value, value))
        p = subprocess.run(words, capture_output=True, text=True)
        say(p.returncode == 0 and all(n in p.stdout for n in pipelines(spec)), "%s: %s" % (os.path.basename(page), " ".join(words[:3])), (p.returncode, p.stderr[-500:]))
for spec in ("hpe", "brats2020", "multiprecision", "med3d-transfer", "two-stage-liver", "catalyst"):
    say("pipelines/%s.json" % spec in seen, "a page says how to run pipelines/%s.json" % spec, seen)

# every test that docs/mission.md names is there
text = open(ROOT + "/docs/mission.md").read()
named = set(re.findall(r"\b((?:unit|cli|e2e|oracle|repro|corrupt|hostile)/[\w/-]+(?:\.py|\.sh)?)", text)) | {"e2e/" + n for n in re.findall(r"(?<![\w/])(\w+\.sh)\b", text)}
exists = lambda n: any(os.path.exists("%s/tests/%s%s" % (ROOT, n, end)) for end in ("", ".c", ".py", ".sh"))
say(len(named) > 50 and all(map(exists, named)), "the %d tests that docs/mission.md names exist" % len(named), [n for n in named if not exists(n)])
