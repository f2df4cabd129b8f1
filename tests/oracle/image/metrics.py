"""Overlap and surface metrics against scipy and numpy in float64, isotropic and not, and the rules for empty masks."""
import os, subprocess
import numpy as np
from scipy import ndimage as nd

B, T = os.environ["B"], os.environ["T"]
rng = np.random.default_rng(4)


def ours(p, r, spacing):
    np.concatenate([p.ravel(), r.ravel()]).astype("u1").tofile(T + "/m")
    out = subprocess.run([B + "/tests/mask_metrics", T + "/m", *map(str, p.shape), *map(repr, spacing)], capture_output=True, text=True, check=True).stdout.split()
    return np.array(out[:10], float), (out[10] if len(out) > 10 else "")


def reference(p, r, spacing):
    def border(m):
        return m ^ nd.binary_erosion(m, nd.generate_binary_structure(3, 1), border_value=0)
    bp, br = border(p), border(r)
    a = nd.distance_transform_edt(~br, sampling=spacing)[bp]
    b = nd.distance_transform_edt(~bp, sampling=spacing)[br]
    tp, fp, fn, tn = (p & r).sum(), (p & ~r).sum(), (~p & r).sum(), (~p & ~r).sum()
    both = np.concatenate([a, b])
    return np.array([2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn), tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), both.max(),
                     max(np.percentile(a, 95), np.percentile(b, 95)), np.percentile(both, 95), (a.mean() + b.mean()) / 2, (both <= 1.5).mean()])


worst = 0
for case in range(40):
    shape = tuple(rng.integers(5, 40, 3))
    spacing = [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (3.0, 0.9, 0.7), (1.0, 0.5, 4.0)][case % 4]
    blur = lambda: nd.gaussian_filter(rng.standard_normal(shape), 2)
    base = blur()
    p, r = base + 0.3 * blur() > np.quantile(base, 0.8), base + 0.3 * blur() > np.quantile(base, 0.8)
    if not p.any() or not r.any():
        continue
    got, want = ours(p, r, spacing)[0], reference(p, r, spacing)
    worst = max(worst, float(np.max(np.abs(got - want) / np.maximum(1, np.abs(want)))))
print(f"{'ok' if worst <= 1e-12 else 'not ok'} - ten metrics equal scipy and numpy on 40 pairs (worst relative difference {worst:.1e})")
empty, full = np.zeros((4, 5, 6), bool), np.zeros((4, 5, 6), bool)
full[1:3, 1:3, 1:3] = True
diagonal = float(np.sqrt(4 ** 2 + 5 ** 2 + 6 ** 2))
for p, r, name, dice, hd in ((empty, empty, "both_empty", 1, 0), (empty, full, "missed", 0, diagonal), (full, empty, "false_alarm", 0, diagonal)):
    got, word = ours(p, r, (1.0, 1.0, 1.0))
    good = word == name and got[0] == dice and abs(got[6] - hd) < 1e-12 and np.isfinite(got).all()
    print(f"{'ok' if good else 'not ok'} - {name}: Dice {dice}, HD95 {hd:.2f}, nothing is NaN")
