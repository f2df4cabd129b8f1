"""Results made of several results, each with its records below a directory of its own: an ensemble's members, the models and scores that
compare reads, what select reads.  Whose data it is, what came of a subject, and leaks, with the members' records beside them, in the store,
or nowhere."""
import hashlib, json, os, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _records import check

T, B, ROOT = os.environ["T"], os.environ["B"], os.environ.get("ROOT", os.getcwd())
os.chdir(T)
M = os.path.join(ROOT, "manifests/embedded.json")
TRAIN = ["--network", '{"init_filters":8}', "--patch", "16", "--steps", "2", "--validate-every", "2", "--max-validation", "1"]


def run(name, *args, limit=60, **more):
    try:
        p = subprocess.run([f"{B}/bin/{name}", *args], capture_output=True, text=True, timeout=limit, **more)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(args, -1, "", f"{name} {args} did not end within {limit} s")
    return p


def ask(what, *args, store=None):
    return run("voxtrail", what, *args, *(["--store", store] if store else []))


def subjects(what, store=None):
    r = ask("subjects", what, "--json", store=store)
    try:
        return sorted({s if isinstance(s, str) else s["subject"] for s in json.loads(r.stdout)["subjects"]})
    except (ValueError, TypeError, KeyError):
        return (r.returncode, r.stdout[-200:], r.stderr[-200:])


def record_of(path):
    base = f"{path}/.lineage"
    names = [n for n in os.listdir(base) if not n.startswith("failed-")]
    return json.load(open(f"{base}/{names[0]}/record.json")), f"{base}/{names[0]}"


def strip(src, dst, *members):
    """A copy in which these members have lost their records."""
    shutil.copytree(src, dst)
    for m in members:
        shutil.rmtree(f"{dst}/{m}/.lineage")


steps = [run("make-cohort", "--out", "c", "--subjects", "3", "--seed", "5", "--coarse"),
         run("make-cohort", "--out", "c", "--first", "104", "--subjects", "1", "--seed", "5", "--coarse")]  # the manifest keeps it for testing
steps += [run("skullstrip-normalize", "--scans", "c/scans", "--manifest", M, "--spacing", "4", "--out", "normed"),
          run("crop-patch", "--normed", "normed", "--labels", "c/labels", "--manifest", M, "--out", "crop")]
steps += [run("train", "--patches", "crop", "--fold", k, "--out", f"ens/f{k}", *TRAIN) for k in "01"]
check(all(r.returncode == 0 for r in steps), "two folds are trained", [r.stderr[-300:] for r in steps if r.returncode])
trained = [record_of(f"ens/f{k}")[0] for k in "01"]
cohort = sorted(os.listdir("c/scans"))

# --- records beside the members -----------------------------------------------
os.makedirs("new")
shutil.copytree(f"c/scans/{cohort[0]}", "new/sub-900")
r = run("predict", "--model", "ens", "--scans", "new", "--manifest", M, "--out", "seg", "--overlap", "0")
p, where = record_of("seg")
ids = sorted(next(i for i in p["inputs"] if i["port"] == "model")["parents"])
check(r.returncode == 0 and len(ids) == 2, "the prediction of an ensemble names both trainings as parents", (r.stderr[-300:], ids))
lines = [json.loads(x) for x in open(where + "/parents.jsonl")]
check(sorted(x["stage"] for x in lines) == ["crop-patch", "skullstrip-normalize", "train", "train"], "and carries their records and those before", [x["stage"] for x in lines])
want = sorted(cohort + ["sub-900"])
got = subjects("seg")
check(got == want, "whose data it is: the patients trained on and predicted, no member", got)
got = subjects("ens")
check(got == cohort, "a directory of checkpoints answers for itself, without a store", got)
r = ask("audit", "seg", "--list", "--json")
check(r.returncode in (0, 3) and len(json.loads(r.stdout)) == 5, "audit reaches every execution", (r.returncode, r.stdout[-300:], r.stderr[-300:]))

# --- a store that knows one member alone --------------------------------------------
r = ask("import", "ens/f0", "--vouch", "made here", store="one")
for what in ("subjects", "audit"):
    r = ask(what, "seg", store="one")
    check(r.returncode in (0, 3), f"{what}: a store that knows one member alone answers, and comes to an end", (r.returncode, r.stderr))
got = subjects("seg", "one")
check(got == want, "rightly", got)
strip("ens", "half", "f0")
got = subjects("half", "one")
check(got == cohort, "the members' directory itself: one by its record, one by its bytes", got)
r = run("predict", "--model", "half", "--scans", "new", "--manifest", M, "--out", "seg-half", "--overlap", "0")
got = subjects("seg-half", "one")
check(r.returncode == 0 and got == want, "one member's record beside it and the other's in the store: both are found", got)

shutil.copytree("one", "hurt")
first = hashlib.sha256(open(record_of("ens/f0")[1] + "/record.json", "rb").read()).hexdigest()
damaged = f"hurt/records/{first[:2]}/{first[2:]}"
os.chmod(damaged, 0o644)
open(damaged, "w").write("{}")
for what in ("audit", "subjects", "leakage"):
    r = ask(what, "half", store="hurt")
    check(r.returncode == 76 and damaged in r.stderr, f"{what}: a member's record that is damaged is named, and nothing is answered without it", (r.returncode, r.stderr))

# --- a store that knows none ---------------------------------------------------------
r = run("predict", "--model", "ens", "--scans", "new", "--manifest", M, "--store", "S", "--overlap", "0", "--out", "seg-s")
got = subjects("seg-s", "S")
check(r.returncode == 0 and got == want, "predict --store takes the members' records in", (r.stderr[-300:], got))
r = ask("descendants", "--subject", cohort[0], "--json", store="S")
names = [x["stage"] for x in json.loads(r.stdout or "[]")]
check(names.count("train") == 2 and "predict" in names, "what came of a subject: both trainings and the prediction", (r.returncode, names))
r = ask("import", "ens", "--vouch", "made here", store="I")
r2 = ask("import", "seg", "--vouch", "made here", store="I")
got = subjects("seg", "I")
check(r.returncode == 0 and r2.returncode == 0 and got == want, "import of the members' directory takes their records in", (r.stderr, r2.stderr, got))
for f in ("f1", "f0"):
    check(ask("descendants", "--subject", f, store="I").returncode == 66, f"{f} is the name of no subject")

r = ask("commit", "models", "ens", store="I")
r2 = ask("checkout", "models", "out", store="I")
got = subjects("out")
check(r.returncode == 0 and r2.returncode == 0 and sorted(os.listdir("out")) == ["f0", "f1"] and got == cohort,
      "commit and checkout keep each member's record beside it", (r.stderr, r2.stderr, got, os.listdir("out")))

# --- nobody vouches ---------------------------------------------------------------------
strip("ens", "bare", "f0", "f1")
r = run("predict", "--model", "bare", "--scans", "new", "--manifest", M, "--out", "seg-bare", "--overlap", "0")
got = subjects("seg-bare")
check(r.returncode == 0 and got == ["sub-900"], "members without records are no patients either", got)

# --- evaluation ------------------------------------------------------------------------
r = run("evaluate", "--model", "half", "--patches", "crop", "--out", "eval", "--overlap", "0")
check(r.returncode == 0, "the ensemble is scored on the test subject", r.stderr[-300:])
for store in ("one", "I"):
    r = ask("leakage", "eval", "--json", store=store)
    check(r.returncode in (0, 3) and not json.loads(r.stdout)["leak"], f"no leak, by the store {store}", (r.returncode, r.stdout[-300:], r.stderr[-300:]))
r = ask("leakage", "ens", "c/scans", "--json")
got = json.loads(r.stdout or "{}")
known = sorted({n for t in trained for n in t["notes"]["split"]["train"]})
check(r.returncode == 1 and got.get("shared_subjects") == known, "whom any member was trained on is said", (r.returncode, got, known, r.stderr[-300:]))

# --- a member whose record lies ------------------------------------------------------------
shutil.copytree("ens", "lies")
os.chmod("lies/f1/checkpoint.json", 0o644)
with open("lies/f1/checkpoint.json", "a") as f:
    f.write("\n")
r = run("predict", "--model", "lies", "--scans", "new", "--manifest", M, "--out", "seg-lies", "--overlap", "0")
check(r.returncode == 76 and "f1/checkpoint.json" in r.stderr, "a member that is not what its record says is refused with its path", (r.returncode, r.stderr[-300:]))
check(ask("import", "lies", "--vouch", "x", store="L").returncode == 76, "by import too")

# --- compare, select -----------------------------------------------------------------------
for k in "01":
    r = run("evaluate", "--model", f"ens/f{k}", "--patches", "crop", "--out", f"scores/f{k}", "--overlap", "0")
    check(r.returncode == 0, f"fold {k} is scored", r.stderr[-300:])
for name, args in (("compare", ["--models", "ens", "--scores", "scores"]), ("select", ["--scores", "scores", "--from", "ens", "--of", "models", "--keep-best", "1"])):
    r = run(name, *args, "--out", name)
    got, stored = subjects(name), subjects(name, "one")
    check(r.returncode == 0 and got == cohort and stored == cohort, f"{name}: whose data it is, alone and with a store that knows a part", (r.stderr[-300:], got, stored))

# --- joints: a run, a rerun, two stores, push and serve ----------------------------------------
IMAGE = "x@sha256:" + "0" * 64
spec = {"pipeline": {"name": "predict"}, "datumTries": 1,
        "transform": {"image": IMAGE, "cmd": ["predict", "--model", "/pfs/models", "--scans", "/pfs/new", "--manifest", M, "--out", "/pfs/out", "--overlap", "0"]},
        "input": {"cross": [{"pfs": {"name": "models", "repo": "models", "glob": "/"}}, {"pfs": {"name": "new", "repo": "new", "glob": "/"}}]}}
json.dump(spec, open("predict.json", "w"))
r = run("voxtrail", "run", "predict.json", "--repo", "models=ens", "--repo", "new=new", "--store", "R", "--checkout", "by-run")
if r.returncode == 0:
    got, _ = record_of("by-run/predict")
check(r.returncode == 0 and next(i for i in got["inputs"] if i["port"] == "model")["parents"] == next(i for i in p["inputs"] if i["port"] == "model")["parents"],
      "run --repo models=ens: the prediction names both trainings", (r.returncode, r.stderr[-300:]))
check(subjects("by-run/predict") == want and subjects("predict", "R") == want and subjects("models", "R") == cohort, "and the run's store and checkout know whose data it is",
      (subjects("by-run/predict"), subjects("predict", "R"), subjects("models", "R")))
r = ask("audit", "predict", "--list", "--json", store="R")
check(r.returncode == 3 and len(json.loads(r.stdout)) == 5, "audit reaches every execution, by claims of others", (r.returncode, r.stdout[-300:]))
r = ask("checkout", "models", "models-again", store="R")
check(r.returncode == 0 and os.path.isdir("models-again/f0/.lineage") and os.path.isdir("models-again/f1/.lineage"), "a checkout of what was bound has each member's record beside it", r.stderr)

for d in ("ens", "new", "seg"):
    r = ask("import", d, "--vouch", "made here", store="W")
    check(r.returncode == 0, f"{d} goes into a store", r.stderr)
os.makedirs("manifest")
shutil.copy(M, "manifest/manifest.json")
ask("commit", "manifest", "manifest", "--copy", store="W")
r = ask("rerun", "seg", store="W")
check(r.returncode == 0, "rerun of an ensemble's prediction gives the same", (r.returncode, r.stdout[-300:], r.stderr[-300:]))

for k, store in (("f0", "X"), ("f1", "Y")):
    check(ask("commit", k, f"ens/{k}", "--copy", "--vouch", "made here", store=store).returncode == 0, f"{k} lives in the store {store}")
    r = ask("pull", k, store, store="Z")
    r2 = ask("checkout", k, f"two/{k}", store="Z")
    check(r.returncode == 0 and r2.returncode == 0, f"and comes to a third one", (r.stderr, r2.stderr))
r = run("predict", "--model", "two", "--scans", "new", "--manifest", M, "--out", "seg-two", "--overlap", "0")
got = record_of("seg-two")[0] if r.returncode == 0 else r.stderr
check(r.returncode == 0 and got["result"] == p["result"] and subjects("seg-two") == want, "members of two stores: the same prediction, of the same people", got if r.returncode else subjects("seg-two"))

check(ask("commit", "seg", "seg", store="I").returncode == 0, "the prediction is committed")
r = ask("push", "--all", "P", store="I")
got = subjects("seg", "P"), subjects("models", "P")
check(r.returncode == 0 and got == (want, cohort), "push: the other store knows whose data the prediction and the members are", (r.stderr, got))
ssh = {**os.environ, "VOXTRAIL_SSH": f"sh -c 'exec voxtrail serve --store P' #"}
r = run("voxtrail", "pull", "--all", "host:P", "--store", "Q", env=ssh)
got = subjects("seg", "Q"), subjects("models", "Q")
check(r.returncode == 0 and got == (want, cohort), "so does one that pulls it through serve", (r.stderr, got))
r = ask("descendants", "--subject", cohort[0], "--json", store="Q")
names = [x["stage"] for x in json.loads(r.stdout or "[]")]
check(r.returncode == 3 and names.count("train") == 2 and "predict" in names, "what came of a subject, there, by claims", (r.returncode, names))
r = ask("checkout", "seg", "seg-far", store="Q")
check(r.returncode == 0 and subjects("seg-far") == want, "and its checkout answers alone", (r.stderr, subjects("seg-far")))
