"""Every stage that meets a checkpoint compares what it means with what it is given and refuses a difference by name; who is absent,
trained on or in a fold is scored as such; nothing reads memory that nobody wrote."""
import csv, glob, json, os, shutil, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
from _phantoms import NESTED, load, manifest, prepare, run, save, subject, train
import nibabel as nib
from _checks import say

os.chdir(os.environ["T"])


def refuses(what, name, *args, words=(), status=65):
    r = run(name, *args, "--out", "never", status=None)
    say(r.returncode == status and all(w in r.stderr for w in words) and not os.path.exists("never/metrics.json"), what, (r.returncode, r.stderr[-400:]))
    shutil.rmtree("never", ignore_errors=True)


for i, name in enumerate(["a,b", 'c"d', "e", "f", "g", "h"]):
    subject("s/" + name, i)
SPLIT = {"seed": 3, "test": 0.4, "folds": 2}
manifest("m.json", split=SPLIT)
p = prepare("m", "s", "m.json")
heads = {h["subject"]: h for h in (json.loads(open(f, "rb").read()[16:16 + int.from_bytes(open(f, "rb").read()[8:16], "little")]) for f in glob.glob("m-p/*/subject.vtp"))}
tests = sorted(k for k, h in heads.items() if h["test"])
for k in (0, 1):
    train("folds/f%d" % k, p, "--fold", k, "--seed", k + 1, steps=4)
E = ("--bootstrap", 50)

# --- what a checkpoint says, and who asks it
c = load("folds/f0/checkpoint.json")
say(c["crop"] == {"margin": 2, "multiple": 8, "min_size": 0, "dtype": "f32", "region": False} and c["axis_order"] == "z, y, x" and c["orientation"] == "ras"
    and c["label_map"] == [{"region": "WT", "value": 2}, {"region": "TC", "value": 1}, {"region": "ET", "value": 4}] and c["version"].startswith("train "),
    "checkpoint.json holds crop, axes, orientation, label map, version", c)
manifest("swapped.json", roles=("t1ce", "flair"), split=SPLIT)
manifest("turned.json", regions=NESTED[::-1], split=SPLIT)
others = {"channels": (prepare("swapped", "s", "swapped.json"), "flair", "t1ce"), "regions": (prepare("turned", "s", "turned.json"), "WT", "ET"),
          "settings.normalize": (prepare("minmax", "s", "m.json", norm=("--normalize", "minmax")), "minmax", "zscore"),
          "crop.margin": (prepare("wide", "s", "m.json", crop=("--margin", 6)), "6", "2")}
for key, (patches, given, trained) in others.items():
    refuses("evaluate refuses other %s" % key, "evaluate", "--model", "folds/f0", "--patches", patches, "--subjects", "all", words=(key, given, trained, "--allow " + key))
    refuses("train --previous refuses other %s" % key, "train", "--patches", patches, "--previous", "folds/f0", "--network", '{"init_filters": 8}', "--patch", 16, "--steps", 1,
            words=(key, given, trained, "--allow " + key))
run("evaluate", "--model", "folds/f0", "--patches", "wide-p", "--subjects", "all", "--allow", "crop.margin", "--out", "wide-e", *E)
say(os.path.exists("wide-e/metrics.json"), "--allow crop.margin accepts it")
for man, key in (("swapped.json", "channels"), ("turned.json", "regions")):
    refuses("predict refuses a manifest with other %s" % key, "predict", "--model", "folds/f0", "--scans", "s", "--manifest", man, words=(key,))
refuses("a word that can not differ is 64", "evaluate", "--model", "folds/f0", "--patches", p, "--allow", "colors", words=("colors",), status=64)
refuses("a subject that the parent learned from is not kept out", "train", "--patches", p, "--previous", "folds/f0", "--network", '{"init_filters": 8}', "--patch", 16, "--steps", 1,
        "--fold", 1, words=("--allow subjects",))
subject("mixed/x", 1, shape=(20, 20, 20), affine=np.diag([2.0, 2, 2, 1]))
subject("mixed/y", 2)
manifest("mixed.json")
refuses("subjects of several voxel sizes are not mixed unasked", "train", "--patches", prepare("mixed", "mixed", "mixed.json"), "--patch", 16, "--steps", 1, "--fold", -1,
        words=("--mixed-spacing true", "2", "1"))
subject("hot/x", 1)
save("hot/x/flair.nii.gz", np.asarray(nib.load("hot/x/flair.nii.gz").dataobj) * np.float32(1e4))
run("skullstrip-normalize", "--scans", "hot", "--manifest", "mixed.json", "--normalize", "none", "--out", "hot-n")
r = run("crop-patch", "--normed", "hot-n", "--labels", "hot", "--manifest", "mixed.json", "--dtype", "f16", "--out", "hot-p", status=65)
say("65504" in r.stderr and "--dtype f32" in r.stderr, "values beyond f16 are refused", r.stderr[-300:])
for net, word in (('{"depth": "10", "full_size": 0}', "full size"), ('{"depth": "10", "head": "classify"}', 'give the network another head')):
    refuses("a head below the patch's size: %s" % net, "train", "--patches", p, "--model", "med3d-resnet", "--network", net, "--patch", 16, "--steps", 1, words=(word,))
refuses("a flag given twice is 64", "predict", "--model", "folds/f0", "--model", "folds/f1", "--scans", "s", "--manifest", "m.json", words=("--model", "twice"), status=64)

# --- who is scored
refuses("an ensemble is not scored on who a member was trained on", "evaluate", "--model", "folds", "--patches", p, "--subjects", "all", words=("trained on", "--trained true"))
run("evaluate", "--model", "folds", "--patches", p, "--out", "e", *E)
m = load("e/metrics.json")
say(sorted(m["subjects"]) == tests and all(s["role"] == "test" for s in m["sources"].values()), "by default the test subjects: %s" % tests, sorted(m["subjects"]))
run("evaluate", "--model", "folds", "--patches", p, "--subjects", "folds", "--out", "cv", *E)
cv = load("cv/metrics.json")
kept = {s: "f%d" % h["fold"] for s, h in heads.items() if not h["test"]}
say({s: v["predicted_by"] for s, v in cv["sources"].items()} == kept, "--subjects folds: each subject by the network that kept it out", cv["sources"])
say({v["role"] for v in cv["sources"].values()} == {"validation"}, "to which it was validation, whatever it was to the others", cv["sources"])
alone = []
for k in (0, 1):
    run("evaluate", "--model", "folds/f%d" % k, "--patches", p, "--subjects", "validation", "--out", "v%d" % k, *E)
    one = load("v%d/metrics.json" % k)
    alone.append(one["mean"]["WT"])
    say(one["subjects"] == {s: v for s, v in cv["subjects"].items() if kept[s] == "f%d" % k}, "fold %d alone: the same numbers, the threshold's too" % k)
over = cv["folds"]["over_folds"]["WT"]["dice"]
say(all(abs(cv["folds"]["f%d" % k]["WT"]["dice"]["mean"] - alone[k]["dice"]) < 1e-12 for k in (0, 1)) and abs(over["mean"] - np.mean([a["dice"] for a in alone])) < 1e-12
    and abs(over["sd"] - np.std([a["dice"] for a in alone], ddof=1)) < 1e-12 and "Cross-validation" in open("cv/report.html").read(), "mean and standard deviation over the folds", over)
rows = list(csv.DictReader(open("cv/subjects.csv", newline="")))
say({r["subject"] for r in rows} == set(kept) and all(None not in r and None not in r.values() for r in rows), "subjects.csv is CSV whatever a subject is called")

# --- who is absent
shutil.copytree(p, "less", ignore=shutil.ignore_patterns(".lineage", tests[0]))
run("evaluate", "--model", "folds", "--patches", "less", "--out", "less-e", *E)
less = load("less-e/metrics.json")
a = less["subjects"][tests[0]]["WT"]
say(a["empty"] == "absent" and a["dice"] == 0 and a["hd95_mm"] > 0 and less["mean"]["WT"]["n"] == len(tests) and less["mean"]["WT"]["absent"] == 1
    and abs(less["mean"]["WT"]["dice"] * len(tests) - sum(m["subjects"][s]["WT"]["dice"] for s in tests[1:])) < 1e-12 and "Absent" in open("less-e/report.html").read(),
    "a test subject without a container counts with Dice 0 and is named", a)
open("list.txt", "w").write("e # comment\nnobody\n")
run("predict", "--model", "folds", "--scans", "s", "--manifest", "m.json", "--out", "pr")
shutil.rmtree("pr/h")
shutil.rmtree("pr/.lineage")
save("pr/g/seg.nii.gz", np.zeros((3, 3, 3), "u1"))
r = run("evaluate", "--predictions", "pr", "--labels", "s", "--manifest", "m.json", "--expected", "list.txt", "--out", "maps", *E, status=65)
maps = load("maps/metrics.json")
gone = {s for s, own in maps["subjects"].items() if own["WT"].get("empty") == "absent"}
say(gone == {"g", "h", "nobody"} and maps["mean"]["WT"]["n"] == 7 and maps["subjects"]["h"]["WT"]["fn"] > 0, "label maps: missing, on another grid, expected and unknown: absent", gone)

# --- what is not defined
for s, seg in (("q1", 0), ("q2", 0), ("q3", 4)):
    save("q/%s/seg.nii.gz" % s, np.full((6, 6, 6), seg, "u1") * (np.indices((6, 6, 6))[0] < 3).astype("u1"))
    save("qp/%s.nii.gz" % s, (np.indices((6, 6, 6))[0] < (0 if s == "q1" else 2)).astype("u1") * 4)
run("evaluate", "--predictions", "qp", "--labels", "q", "--manifest", "m.json", "--out", "qe", *E)
q = load("qe/metrics.json")
wt = q["mean"]["WT"]
say(q["subjects"]["q2"]["WT"]["sensitivity"] is None and wt["sensitivity"] == 2 / 3 and wt["defined"]["sensitivity"] == 1 and wt["defined"]["precision"] == 2 and wt["precision"] == 0.5,
    "sensitivity of an empty reference is no 1 in a mean", (wt["sensitivity"], wt["defined"]))

# --- a label that is to be ignored
for i in range(2):
    subject("ign/z%d" % i, 30 + i)
manifest("ign.json", label={"files": ["{subject}/seg.nii.gz"], "values": {"0": "b", "1": "core", "2": "edema", "4": "enh"}, "ignore": 9})
plain = prepare("plain", "ign", "ign.json")
train("ti", plain, "--fold", -1, "--cross-entropy", 1, steps=3)
for i in range(2):
    f = "ign/z%d/seg.nii.gz" % i
    a = np.asarray(nib.load(f).dataobj).copy()
    a[:4] = 9
    save(f, a)
marked = prepare("marked", "ign", "ign.json")
train("tm", marked, "--fold", -1, "--cross-entropy", 1, steps=3)
run("evaluate", "--model", "tm", "--patches", marked, "--subjects", "all", "--out", "ie", *E)
run("predict", "--model", "tm", "--scans", "ign", "--manifest", "ign.json", "--out", "ip")
i0 = load("ie/metrics.json")["subjects"]["z0"]["WT"]
seg, got = (np.asarray(nib.load(f).dataobj) for f in ("ign/z0/seg.nii.gz", "ip/z0/seg.nii.gz"))
use = seg != 9
say(i0["fp"] == int(((got > 0) & (seg == 0)).sum()) and i0["tn"] == int(((got == 0) & (seg == 0)).sum()) and i0["tp"] + i0["fp"] + i0["fn"] + i0["tn"] == int(use.sum()),
    "voxels to be ignored count for nothing in the scores", i0)
say(open("ti/last.safetensors", "rb").read() != open("tm/last.safetensors", "rb").read(), "and not in the loss")

# --- ONNX and the card
run("export", "--model", "folds/f0", "--out", "x")
raw = open("x/model.onnx", "rb").read()
say(all(w in raw for w in (b"voxtrail.channels", b'["flair","t1ce"]', b"voxtrail.label_map", b"voxtrail.crop", b"sigmoid", b"z, y, x")), "model.onnx carries the contract")
card = open("x/model-card.md").read()
say("WT, TC, ET in flair, t1ce" in card and "brain tumor" not in card and "| ET | 4 (enhancing) | 4 |" in card, "the card is made from the manifest", card[:400])
run("evaluate", "--model", "folds/f1", "--patches", p, "--out", "e1", *E)
refuses("scores of another checkpoint are not quoted", "export", "--model", "folds/f0", "--metrics", "e1", words=("scores of checkpoint", "--allow metrics"))

# --- memory that nobody wrote
def everything(name, perturb):
    env = {"MALLOC_PERTURB_": perturb}
    run("skullstrip-normalize", "--scans", "ign", "--manifest", "ign.json", "--out", name + "-n", env=env)
    run("crop-patch", "--normed", name + "-n", "--labels", "ign", "--manifest", "ign.json", "--out", name + "-p", env=env)
    for net, params in (("segresnet", '{"init_filters": 8}'), ("meshnet", '{"channels": 4}'), ("unet3d", '{"width": 8}'), ("med3d-resnet", '{"depth": "10", "width": 16}')):
        run("train", "--patches", name + "-p", "--model", net, "--network", params, "--patch", 16, "--steps", 2, "--validate-every", 2, "--fold", -1, "--out", name + "-t/" + net, env=env)
    run("evaluate", "--model", name + "-t", "--patches", name + "-p", "--subjects", "all", "--trained", "true", "--tta", "flips", "--out", name + "-e", "--overlap", 0, *E, env=env)
    run("predict", "--model", name + "-t", "--scans", "ign", "--manifest", "ign.json", "--probabilities", "true", "--overlap", 0, "--out", name + "-s", env=env)
    run("export", "--model", name + "-t/meshnet", "--out", name + "-x", env=env)
    return {f[len(name):]: open(f, "rb").read() for f in glob.glob(name + "-*/**", recursive=True) if os.path.isfile(f)}


one, two = everything("p85", "85"), everything("p170", "170")
say(one.keys() == two.keys() and not [k for k in one if one[k] != two[k]], "MALLOC_PERTURB_ 85 and 170: the same bytes from every stage, %d files" % len(one), [k for k in one if one[k] != two.get(k)][:5])
