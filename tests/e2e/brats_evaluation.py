"""evaluate --predictions beside brats-evaluation 0.0.10 (panoptica 2.1.7, its config "gli"): Dice, 95th percentile and volumes of two
label maps that formulas make; the numbers below are what evaluate_single_exam gave for the same two files."""
import json, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
from _phantoms import load, manifest, run, save

GOLD = {"WT": (0.7716207951070336, 2.449489742783178, 4149, 4026), "TC": (0.6511627906976745, 2.23606797749979, 946, 946),
        "ET": (0.41379310344827586, 2.449489742783178, 174, 174), "edema": (0.6003501512016552, 2.23606797749979, 3203, 3080),
        "core": (0.47150259067357514, 2.23606797749979, 772, 772)}
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
manifest("m.json", values={"0": "b", "1": "c", "2": "o", "3": "e"},
         regions=[{"name": n, "values": v} for n, v in (("WT", [1, 2, 3]), ("TC", [1, 3]), ("edema", [2]), ("core", [1]), ("ET", [3]))])
run("evaluate", "--predictions", "p", "--labels", "r", "--manifest", "m.json", "--out", "e", "--bootstrap", 0)
ours = load("e/metrics.json")["subjects"]["x"]
bad = [(n, g, [ours[n][k] for k in ("dice", "hd95_mm", "hd95_pooled_mm", "volume_ml", "reference_ml")]) for n, g in GOLD.items()
       if abs(ours[n]["dice"] - g[0]) > 1e-12 or abs(ours[n]["hd95_pooled_mm"] - g[1]) > 1e-9 or
       round(ours[n]["volume_ml"] * 1000) != g[2] or round(ours[n]["reference_ml"] * 1000) != g[3]]
print(("not ok" if bad else "ok") + " - Dice, pooled HD95 and volumes of five regions equal brats-evaluation's" + (": %s" % bad if bad else ""))
sys.exit(bool(bad))
