"""What stages and commands say where somebody gave the wrong thing, or will find nothing at the end: which directory a model is, who is
kept for testing, which verbs there are."""
import json, os, subprocess, sys

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
sys.path.insert(0, ROOT + "/tests/tools")
from patches import container
from _checks import say
os.chdir(T)
EMBEDDED = ROOT + "/manifests/embedded.json"


def do(*args):
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr


def events(stderr, name):
    return [e for e in map(json.loads, filter(lambda l: l.startswith("{"), stderr.splitlines())) if e["event"] == name]


# --- nobody for testing
manifest = json.load(open(EMBEDDED))
for i in range(3):
    container("patches/s%d/subject.vtp" % i, "s%d" % i, i % 2, manifest, i)
network = ("--network", '{"init_filters": 8}', "--patch", "16", "--steps", "1", "--validate-every", "1")
rc, _, err = do("train", "--patches", "patches", *network, "--out", "folds/f0")
warned = events(err, "no-test-subject")
say(rc == 0 and len(warned) == 1 and warned[0]["level"] == "warn" and warned[0]["labeled"] == 3 and "--subjects folds" in warned[0]["note"] and "--place" in warned[0]["note"],
    "train warns where nobody is kept for testing, with both ways out", (rc, err[-600:]))
names = [e["event"] for e in map(json.loads, filter(lambda l: l.startswith("{"), err.splitlines()))]
say("no-test-subject" in names and names.index("no-test-subject") == names.index("subjects") + 1, "as soon as it knows its subjects", names)
do("make-cohort", "--out", "c", "--subjects", "6", "--seed", "7", "--coarse")
rc, out, err = do("voxtrail", "manifest", "c/scans", "--labels", "c/labels", "--check", EMBEDDED)
table = [l.split("\t") for l in out.splitlines()[1:]]
tests = sum(r[2] == "test" for r in table)
say(rc == 0 and len(table) == 6 and "6 subjects, %d for testing" % tests in err, "manifest --check counts who is kept for testing", err)
say(tests or "--place" in err, "and names the remedy where nobody is", err)
half = dict(manifest, split={"seed": 3, "test": 0.5, "folds": 2})
json.dump(half, open("half.json", "w"))
rc, out, err = do("voxtrail", "manifest", "c/scans", "--labels", "c/labels", "--check", "half.json")
tests = sum(l.split("\t")[2] == "test" for l in out.splitlines()[1:])
say(rc == 0 and tests and "6 subjects, %d for testing\n" % tests in err, "and nothing more where somebody is", (tests, err))
do("voxtrail", "commit", "scans", "c/scans", "--copy", "--store", "st")
rc, out, err = do("voxtrail", "table", "scans", "--manifest", "half.json", "--store", "st")
say(rc == 0 and "6 subjects, %d for testing\n" % tests in err and len(out.splitlines()) == 7, "table counts them, beside its output", err)

# --- nobody for validation
rc, _, err = do("train", "--patches", "patches", *network, "--fold", 3, "--out", "folds/f3")
warned = events(err, "no-validation")
said = warned[0]["note"] if warned else ""
c = json.load(open("folds/f3/checkpoint.json")) if rc == 0 else {}
say(rc == 0 and len(warned) == 1 and warned[0]["level"] == "warn" and warned[0]["fold"] == 3 and "(0, 1)" in said and "--fold -1" in said,
    "train warns of a fold with nobody in it, and names those with somebody", (rc, err[-600:]))
say(c.get("subjects", {}).get("validation") == [] and open("folds/f3/best.safetensors", "rb").read() == open("folds/f3/last.safetensors", "rb").read(),
    "its best weights are the last", c.get("subjects"))
rc, _, err = do("evaluate", "--model", "folds/f3", "--patches", "patches", "--subjects", "validation", "--out", "never")
say(rc == 65 and "in the validation fold of the checkpoint (3;" in err, "evaluate refuses to score its validation", (rc, err[-400:]))
rc, _, err = do("train", "--patches", "patches", *network, "--fold", -1, "--out", "folds/none")
say(rc == 0 and not events(err, "no-validation"), "--fold -1 asks for none and is not warned", err[-300:])
rc, _, err = do("evaluate", "--model", "folds", "--patches", "patches", "--subjects", "folds", "--out", "folds-e")
empty, left = events(err, "empty-fold"), events(err, "not-scored")
say(rc == 0 and [(os.path.basename(e["checkpoint"]), e["fold"]) for e in empty] == [("f3", 3), ("none", -1)], "evaluate --subjects folds warns of checkpoints that kept nobody out", (rc, err[-600:]))
say([(e["subjects"], e["first"]) for e in left] == [(1, "s1")] and sorted(json.load(open("folds-e/metrics.json"))["subjects"]) == ["s0", "s2"] if rc == 0 else False,
    "and of subjects that no checkpoint kept out", left)
os.rename("folds/f3", "f3")
os.rename("folds/none", "none")
rc, _, err = do("evaluate", "--model", "none", "--patches", "patches", "--subjects", "folds", "--out", "never")
say(rc == 65 and "none of the 1 checkpoint" in err, "where none of them kept anybody out it refuses", (rc, err[-400:]))

# --- a file where a directory is wanted
rc, _, err = do("train", "--patches", "patches", *network, "--previous", "f3/last.safetensors", "--out", "never")
say(rc == 66 and "last.safetensors is a file; give the directory that holds it" in err and "one .pth, .pt or .safetensors file" in err, "--previous of a bare file: give its directory", (rc, err[-400:]))
rc, _, err = do("predict", "--model", "f3/best.safetensors", "--scans", "c/scans", "--manifest", EMBEDDED, "--out", "never")
say(rc == 66 and "give the directory that holds it: a checkpoint: output of train" in err, "any port says what it takes", (rc, err[-400:]))

# --- what a directory is
rc, _, err = do("export", "--model", "folds/f0", "--out", "exported")
say(rc == 0, "a checkpoint is exported", err[-300:])
for what, args in (("predict", ("--scans", "c/scans", "--manifest", EMBEDDED)), ("export", ())):
    rc, _, err = do(what, "--model", "exported", *args, "--out", "never")
    say(rc == 66 and "output of export" in err and "output of train" in err, what + " of an export: what it is and what to give", (rc, err[-400:]))
rc, _, err = do("export", "--model", "folds", "--out", "never")
say(rc == 66 and "1 checkpoint," in err and "folds/f0" in err, "export of a directory of checkpoints: give one of them", (rc, err[-400:]))
rc, _, err = do("predict", "--model", "c", "--scans", "c/scans", "--manifest", EMBEDDED, "--out", "never")
say(rc == 66 and "neither a checkpoint.json" in err, "of anything else: neither", (rc, err[-300:]))
three = dict(manifest, channels=manifest["channels"][:3])
json.dump(three, open("three.json", "w"))
rc, _, err = do("predict", "--model", "folds/f0", "--scans", "c/scans", "--manifest", "three.json", "--out", "never")
say(rc == 65 and "3 channels cannot stand for 4" in err and "--allow" not in err, "another number of channels: --allow is not offered", (rc, err[-400:]))
swapped = dict(manifest, channels=manifest["channels"][::-1])
json.dump(swapped, open("swapped.json", "w"))
rc, _, err = do("predict", "--model", "folds/f0", "--scans", "c/scans", "--manifest", "swapped.json", "--out", "never")
say(rc == 65 and "--allow channels" in err, "another order of them: it is", (rc, err[-400:]))

# --- verbs
for command, verbs in (("trust", ("list", "vouch RECORD", "add-key FILE", "demand LIST WORD")), ("consent", ("withdraw SUBJECT", "decide RECORD"))):
    rc, out, err = do("voxtrail", command, "--store", "st")
    say(rc == 64 and all(v in err for v in verbs) and "usage: voxtrail %s VERB" % command in err and not out, command + " without a verb lists them: 64", (rc, err))
