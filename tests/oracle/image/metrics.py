"""Overlap and surface metrics against scipy and numpy in float64, isotropic and not; against figures that MONAI, DeepMind's
surface-distance and the BraTS 2023 scorer gave (golden/metrics.json, made by golden/_make_metrics.py); empty masks."""
import base64, json, os, subprocess, sys, zlib
import numpy as np
from scipy import ndimage as nd

B, T = os.environ["B"], os.environ["T"]
rng = np.random.default_rng(4)


def ours(p, r, spacing, *lesion):
    np.concatenate([p.ravel(), r.ravel()]).astype("u1").tofile(T + "/m")
    args = [*map(str, p.shape), *map(repr, map(float, spacing)), *map(str, lesion)]
    out = subprocess.run([B + "/tests/mask_metrics", T + "/m", *args], capture_output=True, text=True, check=True).stdout
    return {k: v if k == "empty" else float(v) for k, v in (line.split() for line in out.splitlines())}


def reference(p, r, spacing):
    def border(m):
        return m ^ nd.binary_erosion(m, nd.generate_binary_structure(3, 1), border_value=0)
    bp, br = border(p), border(r)
    a = nd.distance_transform_edt(~br, sampling=spacing)[bp]
    b = nd.distance_transform_edt(~bp, sampling=spacing)[br]
    tp, fp, fn, tn = (p & r).sum(), (p & ~r).sum(), (~p & r).sum(), (~p & ~r).sum()
    both = np.concatenate([a, b])
    return {"dice": 2 * tp / (2 * tp + fp + fn), "iou": tp / (tp + fp + fn), "sensitivity": tp / (tp + fn), "specificity": tn / (tn + fp),
            "precision": tp / (tp + fp), "hd": both.max(), "hd95": max(np.percentile(a, 95), np.percentile(b, 95)),
            "hd95_pooled": np.percentile(both, 95), "assd": (a.mean() + b.mean()) / 2, "nsd": (both <= 1.5).mean()}


def lesion_reference(p, r, spacing, dilations, cutoff, hd95):
    """The rule written with scipy; hd95(lesion, components) is the program's own surfel distance, checked by itself."""
    near, around = nd.generate_binary_structure(3, 2), np.ones((3, 3, 3))
    grown = nd.binary_dilation(r, near, iterations=dilations) if dilations else r
    lesions, n = nd.label(grown, around)
    parts, m = nd.label(p, around)
    used, dice, dist, found, missed, small = set(), [], [], 0, 0, 0
    for k in range(1, n + 1):
        lesion = r & (lesions == k)
        hits = set(np.unique(parts[lesions == k])) - {0}
        used |= hits
        if lesion.sum() * np.prod(spacing) <= cutoff:
            small += 1
            continue
        both = np.isin(parts, list(hits)) & (parts > 0)
        found, missed = found + bool(hits), missed + (not hits)
        dice.append(2 * (both & lesion).sum() / (both.sum() + lesion.sum()))
        dist.append(hd95(both, lesion) if hits else 374)
    false = m - len(used)
    count = len(dice) + false
    return {"lesion_dice": sum(dice) / count if count else 1, "lesion_hd95": (sum(dist) + 374 * false) / count if count else 0,
            "lesions_found": found, "lesions_missed": missed, "lesions_false": false, "lesions_small": small}


def gap(got, want):
    return max(abs(got[k] - v) / max(1, abs(v)) for k, v in want.items())


failed = 0


def say(good, what):
    global failed
    failed += not good
    print(("ok - " if good else "not ok - ") + what, flush=True)


worst = 0
for case in range(40):
    shape = tuple(rng.integers(5, 40, 3))
    spacing = [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (3.0, 0.9, 0.7), (1.0, 0.5, 4.0)][case % 4]
    blur = lambda: nd.gaussian_filter(rng.standard_normal(shape), 2)
    base = blur()
    p, r = base + 0.3 * blur() > np.quantile(base, 0.8), base + 0.3 * blur() > np.quantile(base, 0.8)
    if p.any() and r.any():
        worst = max(worst, gap(ours(p, r, spacing), reference(p, r, spacing)))
say(worst <= 1e-12, f"ten metrics equal scipy and numpy on 40 pairs (worst relative difference {worst:.1e})")

worst, seen = 0, 0
for case in range(24):
    shape = tuple(rng.integers(24, 44, 3))
    spacing = [(1.0, 1.0, 1.0), (3.0, 0.9, 0.7)][case % 2]
    lesion = [(3, 50), (1, 2), (0, 8)][case % 3]
    spots = lambda: nd.gaussian_filter(rng.standard_normal(shape), 1.6)
    base = spots()
    p, r = base + 0.5 * spots() > np.quantile(base, 0.975), base + 0.5 * spots() > np.quantile(base, 0.975)
    want = lesion_reference(p, r, spacing, *lesion, lambda a, b: ours(a, b, spacing)["hd95_surfel"])
    seen += want["lesions_found"] * want["lesions_missed"] * want["lesions_false"] * want["lesions_small"] > 0
    worst = max(worst, gap(ours(p, r, spacing, *lesion), want))
say(worst <= 1e-12 and seen >= 4, f"lesion-wise scores equal the rule in scipy on 24 pairs, {seen} of them with lesions of every kind ({worst:.1e})")

golden = json.load(open(os.path.join(os.path.dirname(__file__), "golden", "metrics.json")))
worst = {}
for case in golden["cases"]:
    n = int(np.prod(case["shape"]))
    m = np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(case["masks"])), "u1"))[:2 * n].astype(bool)
    got = ours(m[:n].reshape(case["shape"]), m[n:].reshape(case["shape"]), case["spacing"], *case["lesion"])
    for source, want in case["want"].items():
        worst[source] = max(worst.get(source, 0), gap(got, want))
for source, w in sorted(worst.items()):
    say(w <= 1e-6, f"{golden['sources'][source]}: equal on {len(golden['cases'])} pairs, anisotropic ones too (worst relative difference {w:.1e})")

empty, full = np.zeros((4, 5, 6), bool), np.zeros((4, 5, 6), bool)
full[1:3, 1:3, 1:3] = True
diagonal = float(np.sqrt(4 ** 2 + 5 ** 2 + 6 ** 2))
for p, r, name, dice, hd in ((empty, empty, "both_empty", 1, 0), (empty, full, "missed", 0, diagonal), (full, empty, "false_alarm", 0, diagonal)):
    got = ours(p, r, (1, 1, 1), 1, 2)
    undefined = {"both_empty": {"sensitivity", "precision"}, "missed": set(), "false_alarm": {"sensitivity"}}[name]
    numbers = [v for k, v in got.items() if k != "empty" and k not in undefined]
    good = got["empty"] == name and got["dice"] == dice and all(abs(got[k] - hd) < 1e-12 for k in ("hd", "hd95", "hd95_pooled", "hd95_surfel", "assd"))
    good = good and np.isfinite(numbers).all() and all(np.isnan(got[k]) for k in undefined) and got["lesion_dice"] == dice and got["lesion_hd95"] == (0 if dice else 374)
    say(good, f"{name}: Dice {dice}, distances {hd:.2f}, what is not defined is NaN and nothing else")
sys.exit(failed != 0)
