"""evaluate --predictions beside brats-evaluation 0.0.10 (panoptica 2.1.7, its config "gli"): Dice, 95th percentile and volumes of two
label maps that formulas make.  Where brats-evaluation can be imported it is run; what evaluate_single_exam gave for the same two
files (`brats_evaluation.py --keep` makes it anew, in a venv with brats-evaluation alone) lies in brats_golden.json and is compared
on every machine."""
import json, os, sys, tempfile
HERE = os.path.dirname(os.path.abspath(__file__))
KEEP = sys.argv[1:] == ["--keep"]
os.environ.update({"T": tempfile.mkdtemp(), "B": ""} if KEEP else {})
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != HERE]  # this file has the name of the package
try:
    from brats_evaluation import config_path, evaluate_single_exam
except ImportError as e:
    if KEEP:
        raise SystemExit("--keep: %s" % e)
    evaluate_single_exam = None
sys.path.insert(0, HERE)
import numpy as np
from _phantoms import load, manifest, run, save

GOLDEN = HERE + "/brats_golden.json"
NAMES = {"WT": "wt", "TC": "tc", "edema": "snfh", "core": "netc", "ET": "et"}
os.chdir(os.environ["T"])
z, y, x = np.indices((40, 44, 36)).astype(float)


def ball(c, r):
    return (z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2 < r * r


def lesion(shift):
    a = np.zeros((40, 44, 36), "u1")
    for c, r in (((14, 15, 13), 9.3), ((29, 31, 24), 5.2)):
        c = np.array(c) + np.array(shift)
        a[ball(c, r)] = 2
        a[ball(c, r * .62)] = 1
        a[ball(c + np.array((1, 0, 0)), r * .35)] = 3
    return a


found = lesion((1, -1, 2))
found[ball((8, 36, 30), 3.1)] = 2
save("r/x/seg.nii.gz", lesion((0, 0, 0)))
save("p/x.nii.gz", found)


def theirs():
    from panoptica import Panoptica_Evaluator
    all_of_it = evaluate_single_exam("p/x.nii.gz", "r/x/seg.nii.gz", "x", Panoptica_Evaluator.load_from_config(str(config_path("gli"))))
    r = {n: all_of_it[t] for n, t in NAMES.items()}
    return {n: {"dice": float(v["global_bin_dsc"]), "hd95": float(v["global_bin_hd95"]), "predicted": int(v["global_bin_volume_pred"]),
                "reference": int(v["global_bin_volume_ref"])} for n, v in r.items()}


if KEEP:
    with open(GOLDEN, "w") as f:
        f.write("{\n" + ",\n".join("%s: %s" % (json.dumps(n), json.dumps(v)) for n, v in theirs().items()) + "\n}\n")
    sys.exit()
gold = load(GOLDEN)
if evaluate_single_exam:
    print(("ok" if theirs() == gold else "not ok") + " - the kept numbers are what brats-evaluation gives")
manifest("m.json", values={"0": "b", "1": "c", "2": "o", "3": "e"},
         regions=[{"name": n, "values": v} for n, v in (("WT", [1, 2, 3]), ("TC", [1, 3]), ("edema", [2]), ("core", [1]), ("ET", [3]))])
run("evaluate", "--predictions", "p", "--labels", "r", "--manifest", "m.json", "--out", "e", "--bootstrap", 0)
ours = load("e/metrics.json")["subjects"]["x"]
bad = [(n, g, [ours[n][k] for k in ("dice", "hd95_mm", "hd95_pooled_mm", "volume_ml", "reference_ml")]) for n, g in gold.items()
       if abs(ours[n]["dice"] - g["dice"]) > 1e-12 or abs(ours[n]["hd95_pooled_mm"] - g["hd95"]) > 1e-9 or
       round(ours[n]["volume_ml"] * 1000) != g["predicted"] or round(ours[n]["reference_ml"] * 1000) != g["reference"]]
print(("not ok" if bad else "ok") + " - Dice, pooled HD95 and volumes of five regions equal brats-evaluation's" + (": %s" % bad if bad else ""))
sys.exit(bool(bad))
