# BraTS 2020 from scans to merged label maps in one command: the shipped spec and recipes, with small networks and two folds.
set -u
SPEC=brats2020
. "$ROOT/tests/e2e/_spec.sh"
cd "$T" || exit 2
cohort cohort 1 5
cohort new 6 1
manifest manifest.json null 0 1 0 1 1 '"test"'
net='network/width=8 patch=16 steps=2 validate-every=2'
tiny 'a/*' $net hold=1 -- "*/attention.json" network/reduction=4 -- 'selected/*' $net hold=1 -- 'swa/*' $net period=1 swa-start=1 swa-interval=1 -- 'b/*' $net batch=1 \
	-- 'evaluate*' bootstrap=0 -- 'evaluate-fold*' overlap=0 -- predict.json overlap=0 -- select-cases.json 'keep-share=0.6'
rm recipe/folds/fold-[234].json
repos="--repo scans=cohort/scans --repo labels=cohort/labels --repo new-scans=new/scans --repo new-labels=new/labels --repo manifest=manifest.json"
once "average-a=6 crop-a=5 crop-b=5 evaluate=1 merge=1 normalize-a=5 normalize-b=5 predict-a=1 predict-b=1 score-a=6 score-cases=1 select-cases=1 table=4 top-a=1 train-a=4 train-b=2 train-selected=2" $repos
"$PYTHON" - <<'E' || echo "not ok - the outputs are as they must be"
import csv, json, os
import nibabel as nib
import numpy as np
def ok(good, what, why=""):
    print(("ok - " if good else "not ok - ") + what + ("" if good else ": %s" % (why,)))
sub = sorted(d for d in os.listdir("out/merge") if d[0] != ".")
maps = {k: [np.asarray(nib.load("out/%s/%s/seg.nii.gz" % (k, s)).dataobj) for s in sub] for k in ("merge", "predict-a", "predict-b")}
want = [np.where(np.isin(a, (0, 2)) & np.isin(b, (0, 2)), b, a) for a, b in zip(maps["predict-a"], maps["predict-b"])]
ok(len(sub) == 1 and all(map(np.array_equal, maps["merge"], want)), "the second pass: B where both are background or edema, else A")
cases = json.load(open("out/select-cases/selection.json"))
score = {}
for r in csv.DictReader(open("out/score-cases/subjects.csv")):
    score.setdefault(r["subject"], []).append(float(r["dice"]))
order = sorted(score, key=lambda n: (-np.mean(score[n]), n))
kept = {k["name"] for k in cases["kept"]}
ok(kept == set(order[:-(-6 * len(order) // 10)]) and len(kept) < len(order) and not set(order) - kept & set(os.listdir("out/select-cases")), "the cases of the highest loss are taken out", (kept, order))
trained = lambda repo, d: json.load(open("out/%s/%s/checkpoint.json" % (repo, d)))["subjects"]
ok(not set(trained("average-a", "fold-0_selected")["train"]) & (set(order) - kept) and set(trained("average-a", "fold-0_unet")["train"]) - kept == set(order) - kept - set(trained("average-a", "fold-0_unet")["validation"]),
   "one variant was trained without them, the others with")
dice = {d: np.mean([m["dice"] for m in json.load(open("out/score-a/%s/metrics.json" % d))["mean"].values()]) for d in os.listdir("out/score-a") if d[0] == "f"}
best = sorted(sum((sorted((d for d in dice if d.startswith(f)), key=lambda d: (-dice[d], d))[:2] for f in ("fold-0", "fold-1")), []))
ok(sorted(d for d in os.listdir("out/top-a") if d[0] == "f") == best, "the two best networks of each fold make the ensemble", (dice, best))
for v in ("unet", "attention", "selected", "b"):
    j = json.load(open("out/table/%s/metrics.json" % v))
    # the removed cases are scored as well: nobody of their fold was trained on them
    kept_out = [trained("train-b" if v == "b" else "average-a", "fold-%d_%s" % (f, "b" if v == "b" else "unet"))["validation"] for f in (0, 1)]
    rows = list(csv.DictReader(open("out/table/%s/subjects.csv" % v)))
    folds = [[np.mean([float(x["dice"]) for x in rows if x["subject"] in s and x["region"] == r]) for s in kept_out] for r in ("WT", "TC", "ET")]
    got = [(j["folds"]["over_folds"][r]["dice"]["mean"], j["folds"]["over_folds"][r]["dice"]["sd"]) for r in ("WT", "TC", "ET")]
    ok(np.allclose(got, [(np.mean(x), np.std(x, ddof=1)) for x in folds], atol=1e-12), "table of %s: numpy's mean and standard deviation over folds" % v, (got, folds))
swa = json.load(open("out/average-a/fold-0_unet/checkpoint.json"))
ok(swa["parent"] and swa["best"]["step"] == 2, "the averaged networks went on from the trained ones", swa["best"])
b = json.load(open("out/train-b/fold-0_b/checkpoint.json"))
a = json.load(open("out/train-a/fold-0_unet/checkpoint.json"))
ok("loss" in b["best"] and b["settings"] != a["settings"] and b["model"]["params"]["norm"] == "instance" and a["model"]["params"]["norm"] == "group", "A and B: preparation, norm and what is kept differ")
ok(json.load(open("out/train-a/fold-0_attention/checkpoint.json"))["model"]["name"] == "unet3d-cbam", "the attention variant has its gates")
E
voxtrail verify --store store >log 2>&1; ok $? "the store is whole"
