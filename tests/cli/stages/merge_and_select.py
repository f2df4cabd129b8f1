"""merge-labels against numpy's where, on every pair of labels; select against sorted(): best, worst, shares, limits, groups; refusals."""
import csv, itertools, json, os, sys
import nibabel as nib
import numpy as np
from _checks import run, say

T = os.environ["T"]
os.chdir(T)


def write(root, subject, data, shift=0):
    affine = np.diag([-1.0, -2, 3, 1])
    affine[0, 3] = shift
    os.makedirs("%s/%s" % (root, subject), exist_ok=True)
    nib.save(nib.Nifti1Image(data.astype("u1"), affine), "%s/%s/seg.nii.gz" % (root, subject))


# --- merge-labels -------------------------------------------------------------------------------------------------------------
pairs = np.array(list(itertools.product((0, 1, 2, 4), repeat=3)), "u1").reshape(4, 4, 4, 3)
a, b, c = (pairs[..., k] for k in range(3))
for subject in ("s1", "s2"):
    for name, x in (("a", a), ("b", b), ("c", c)):
        write(name, subject, x if subject == "s1" else x[::-1])
run("merge-labels", "--a", "a", "--b", "b", "--out", "two-pass")
want = np.where(np.isin(a, [0, 2]) & np.isin(b, [0, 2]), b, a)
got = [nib.load("two-pass/%s/seg.nii.gz" % s) for s in ("s1", "s2")]
say(np.array_equal(np.asarray(got[0].dataobj), want) and np.array_equal(np.asarray(got[1].dataobj), want[::-1]), "the two-pass merge: B where both are background or edema, else A")
say(np.allclose(got[0].affine, nib.load("a/s1/seg.nii.gz").affine) and got[0].get_data_dtype() == np.uint8, "on the grid of a's map, as bytes")
rules = [{"a": [4], "take": 4}, {"a": [0], "b": [0], "c": [1, 2, 4], "take": "c"}, {"b": [1], "take": "b"}]
run("merge-labels", "--a", "a", "--b", "b", "--c", "c", "--rules", json.dumps(rules), "--otherwise", "c", "--out", "three")
want = np.select([a == 4, (a == 0) & (b == 0) & np.isin(c, [1, 2, 4]), b == 1], [np.uint8(4), c, b], c)
say(np.array_equal(np.asarray(nib.load("three/s1/seg.nii.gz").dataobj), want), "three maps and a table of rules: the first that holds decides")
for bad, what in (('[{"take": "b"}]', "names no map"), ('[{"a": [0]}]', "with \\\"take\\\""), ('[{"a": [300], "take": "b"}]', "0 to 255"), ('[{"a": [0], "take": "d"}]', "take must be"),
                  ('[{"x": [0], "take": "a"}]', "its keys"), ('[{"c": [0], "take": "a"}]', "--c is not given")):
    say(what in run("merge-labels", "--a", "a", "--b", "b", "--rules", bad, "--out", "bad", code=64), "refused: --rules %s" % bad)
write("b", "s2", b[::-1], shift=5)
write("a", "s3", a)
run("merge-labels", "--a", "a", "--b", "b", "--out", "some", code=65)
say(sorted(os.listdir("some")) == [".lineage", "quarantine", "s1"] and sorted(os.listdir("some/quarantine")) == ["s2.json", "s3.json"],
    "another grid, or no map in b: quarantine; the others go on", os.listdir("some"))
for name in ("qa", "qb"):
    write(name, "s1", a)
    os.makedirs(name + "/quarantine")
    for s in ("s7", "s8")[:1 + (name == "qa")]:
        json.dump({"subject": s, "stage": "predict", "code": 65, "reason": "t1.nii.gz is cut"}, open("%s/quarantine/%s.json" % (name, s), "w"))
write("qb", "s8", b)
run("merge-labels", "--a", "qa", "--b", "qb", "--out", "both", code=65)
why = {f: json.load(open("both/quarantine/" + f)) for f in sorted(os.listdir("both/quarantine"))}
say(sorted(why) == ["s7.json", "s8.json"] and all("--a" in w["reason"] and "predict: t1.nii.gz is cut" in w["reason"] for w in why.values()) and os.path.exists("both/s1/seg.nii.gz"),
    "who is in quarantine in an input, or in all, is so in the output, with the reason", why)
both = ["merge-labels", "--a", "qa", "--b", "qb", "--out", "both"]
say("reused" in run(*both, code=65), "the same command again: it is reused where it lies, and the refused subjects are said again")
say("reused" not in run(*both, "--store", "new-store", code=65), "with a store that does not have it: the store takes it")
say("reused" in run("merge-labels", "--a", "qa", "--b", "qb", "--out", "from-store", "--store", "new-store", code=65) and
    os.path.exists("from-store/s1/seg.nii.gz"), "and gives it out")
run(*both, "--otherwise", "b", code=73)
os.chmod("both/s1/seg.nii.gz", 0o644)
open("both/s1/seg.nii.gz", "ab").write(b"x")
run(*both, code=73)
say(open("both/s1/seg.nii.gz", "rb").read()[-1:] == b"x", "other params, or a file that was changed since: 73, and it stays as it is")
os.makedirs("empty")
run("merge-labels", "--a", "empty", "--b", "empty", "--out", "bad", code=66)
say(True, "no label maps at all are 66")

# --- select -------------------------------------------------------------------------------------------------------------------
rng = np.random.default_rng(3)
names = ["sub-%02d" % i for i in range(12)]
score = {n: [float(round(x, 3)) for x in rng.random(2)] for n in names}
score["sub-05"] = score["sub-04"]
for k in range(3):
    os.makedirs("scores/fold-%d" % k)
    with open("scores/fold-%d/subjects.csv" % k, "w") as f:
        w = csv.writer(f)
        w.writerow(["subject", "region", "dice", "hd95_mm"])
        for n in names[k::3]:
            for region, s in zip(("WT", "ET"), score[n]):
                w.writerow([n, region, s, 100 * (1 - s)])
for n in names + ["never-scored"]:
    os.makedirs("patches/" + n)
    open("patches/%s/subject.vtp" % n, "w").write(n)
os.makedirs("patches/quarantine", exist_ok=True)
open("patches/quarantine/x.json", "w").write("{}")
mean = {n: (score[n][0] + score[n][1]) / 2 for n in names}


def select(*more, code=0, source="patches"):
    select.k += 1
    out = "sel-%d" % select.k
    err = run("select", "--scores", "scores", *(["--from", source] if source else []), *more, "--out", out, code=code)
    if code:
        return err
    j = json.load(open(out + "/selection.json"))
    got = sorted(n for n in os.listdir(out) if n not in (".lineage", "selection.json"))
    return j, got


select.k = 0
j, got = select("--drop-worst", "3", "--unscored", "drop")
want = sorted(names, key=lambda n: (-mean[n], n))[:9]
say(got == sorted(want) and [k["name"] for k in j["kept"]] == sorted(want) and j["unscored"] == [{"name": "never-scored"}]
    and all(abs(k["score"] - mean[k["name"]]) < 1e-12 for k in j["kept"]), "drop-worst: the three lowest means over regions go, of all folds together", (got, want))
say(open("sel-1/%s/subject.vtp" % got[0]).read() == got[0], "what is kept is copied as it is")
j, got = select("--keep-best", "4", "--region", "ET")
want = sorted(names, key=lambda n: (-score[n][1], n))[:4]
say(got == sorted(want + ["never-scored"]), "keep-best of one region; what has no score stays", got)
j, got = select("--by", "hd95_mm", "--better", "low", "--limit", "50", "--unscored", "drop")
say(got == sorted(n for n in names if 100 * (1 - mean[n]) <= 50), "a limit on a score of which less is better", got)
j, got = select("--keep-share", "0.3", "--unscored", "drop")
say(got == sorted(sorted(names, key=lambda n: (-mean[n], n))[:4]), "keep-share is rounded up", got)
say("never-scored" in select("--unscored", "refuse", code=65), "an entry without a score is refused where that is asked for")
say("nothing is kept" in select("--limit", "2", "--unscored", "drop", code=65), "nothing left is an error, not an empty directory")
say("no column" in select("--by", "nonsense", code=65) and "dice, hd95_mm" in select("--by", "nonsense", code=65), "an unknown score names those there are")
say("not a number" in select("--limit", "x", code=64), "a limit that is no number is 64")
os.makedirs("patches/quarantine", exist_ok=True)
open("patches/quarantine/sub-77.json", "w").write("{}")
j, got = select("--keep-best", "4", "--region", "ET")
say("quarantine" not in got and "quarantine" not in [e["name"] for e in j["unscored"]], "the directory of the refused is nobody")
open("patches/quarantine/t1.nii", "w").write("x")
say("rename it" in select("--keep-best", "4", code=65), "a subject of that name is refused, not passed over")
os.remove("patches/quarantine/t1.nii")
j, got = select("--keep-best", "1", source=None)
say(len(j["kept"]) == 1 and got == [], "without --from only the list is written")

dice = {"fold-0_a": .8, "fold-0_b": .9, "fold-0_c": .7, "fold-1_a": .5, "fold-1_b": .4, "fold-1_c": .6}
for n, d in dice.items():
    os.makedirs("models/" + n)
    json.dump({"best": {"step": 3, "dice": d, "loss": 1 - d}}, open("models/%s/checkpoint.json" % n, "w"))
    os.makedirs("evaluated/" + n)
    json.dump({"mean": {"WT": {"dice": d}, "ET": {"dice": d / 2}}}, open("evaluated/%s/metrics.json" % n, "w"))
for root in ("models", "evaluated"):
    run("select", "--scores", root, "--from", "models", "--of", "models", "--keep-best", "2", "--group", "_", "--out", "top-" + root)
    got = sorted(n for n in os.listdir("top-" + root) if n[0] == "f")
    say(got == ["fold-0_a", "fold-0_b", "fold-1_a", "fold-1_c"], "the two best checkpoints of each fold, by %s" % root, got)
run("select", "--scores", "models", "--of", "models", "--by", "loss", "--better", "low", "--keep-best", "1", "--out", "one")
say(json.load(open("one/selection.json"))["kept"][0]["name"] == "fold-0_b", "by the lowest loss of checkpoints")

# --- records ------------------------------------------------------------------------------------------------------------------
sys.path.insert(0, os.environ["ROOT"] + "/tests/tools")
from patches import container
manifest = json.load(open(os.environ["ROOT"] + "/manifests/embedded.json"))
for i in range(3):
    container("p/sub-%d/subject.vtp" % i, "sub-%d" % i, i % 2, manifest, i)
for name in ("one", "two"):
    run("train", "--patches", "p", "--patch", "8", "--model", "meshnet", "--network", '{"channels": 4, "dilations": [1]}', "--steps", "1", "--validate-every", "1", "--warmup", "0", "--fold", "1",
        "--seed", str(len(name) + (name == "two")), "--out", "trained/" + name)
pick = ["select", "--of", "models", "--scores", "trained", "--from", "trained", "--keep-best", "1"]
run(*pick, "--out", "picked")
name, = [n for n in os.listdir("picked") if n in ("one", "two")]
records = lambda d: sorted(os.listdir(d + "/.lineage"))
say(records("picked/" + name) == records("trained/" + name), "a checkpoint that is kept keeps its record")
run("voxtrail", "audit", "picked/" + name, code=3)
say(True, "and can be audited where it lies")
open("consent.json", "w").write(json.dumps({"format": 1, "withdrawn": [{"subject": "sub-0", "reason": "a letter", "time": "2026-01-01T00:00:00Z"}]}))
os.environ["VOXTRAIL_CONSENT"] = T + "/consent.json"
say("was trained on subject sub-0, who has withdrawn" in run(*pick, "--out", "bad", code=65), "select refuses checkpoints of who withdrew, in a directory of them too")
