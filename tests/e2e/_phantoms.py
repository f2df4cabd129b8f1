"""Small cohorts of stripped phantoms, a trained tiny network, and scores computed by scipy alone from files on disk."""
import json, os, subprocess
import nibabel as nib
import numpy as np
from scipy import ndimage as nd

B = os.environ["B"]


def run(name, *args, status=0, env=None):
    p = subprocess.run([B + "/bin/" + name, *map(str, args)], capture_output=True, text=True, env=dict(os.environ, **(env or {})))
    if status is not None and p.returncode != status:
        print("not ok - %s %s ends with %s: %d %s" % (name, " ".join(map(str, args))[:200], status, p.returncode, p.stderr[-900:]))
        raise SystemExit(1)
    return p


def save(path, a, affine=np.eye(4)):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    nib.save(nib.Nifti1Image(a, affine), path)


NESTED = [{"name": "WT", "values": [1, 2, 4]}, {"name": "TC", "values": [1, 4]}, {"name": "ET", "values": [4]}]
VALUES = {"0": "background", "1": "core", "2": "edema", "4": "enhancing"}


def manifest(path, roles=("flair", "t1ce"), regions=NESTED, values=VALUES, **more):
    m = {"format": 1, "name": "phantoms", "channels": [{"role": r, "files": ["{subject}/%s.nii.gz" % r]} for r in roles],
         "mask": {"files": ["{subject}/mask.nii.gz"], "required": False},
         "label": {"files": ["{subject}/seg.nii.gz"], "values": values}, "regions": regions, "split": {"seed": 1, "test": 0, "folds": 2}, **more}
    json.dump(m, open(path, "w"))
    return m


def subject(d, seed, shape=(24, 26, 28), affine=np.eye(4), roles=("flair", "t1ce"), mask=None, labels=(4, 1, 2)):
    """A lesion of three shells in noise, off the middle; labels: inner to outer."""
    r = np.random.default_rng(seed)
    spacing = np.sqrt((np.asarray(affine)[:3, :3] ** 2).sum(0))
    at = np.array(shape) / 2 + r.integers(-2, 3, 3)
    q = (((np.indices(shape) - at.reshape(3, 1, 1, 1)) * spacing.reshape(3, 1, 1, 1)) ** 2).sum(0)
    s = np.select([q < 8, q < 25, q < 60], labels).astype("u1")
    for i, c in enumerate(roles):
        save("%s/%s.nii.gz" % (d, c), (r.normal(100, 10, shape) + 25 * (i + 1) * (s > 0) + 30 * (s == labels[0])).astype("f4"), affine)
    save(d + "/mask.nii.gz", np.ones(shape, "u1") if mask is None else mask.astype("u1"), affine)
    save(d + "/seg.nii.gz", s, affine)


def border(m):
    return m ^ nd.binary_erosion(m, nd.generate_binary_structure(3, 1), border_value=0)


def scores(p, r, spacing, tolerance=2.0):
    """What evaluate's columns are, from two masks; None: not defined."""
    tp, fp, fn, tn = (int(x.sum()) for x in (p & r, p & ~r, ~p & r, ~p & ~r))
    ml = np.prod(spacing) / 1000
    out = {"tp": tp, "fp": fp, "fn": fn, "tn": tn, "volume_ml": (tp + fp) * ml, "reference_ml": (tp + fn) * ml,
           "sensitivity": tp / (tp + fn) if tp + fn else None, "specificity": tn / (tn + fp) if tn + fp else None,
           "precision": tp / (tp + fp) if tp + fp else (0 if fn else None),
           "dice": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1, "iou": tp / (tp + fp + fn) if tp + fp + fn else 1}
    distances = ("hd95_mm", "hd95_pooled_mm", "hd_mm", "assd_mm")
    if not p.any() or not r.any():
        far = 0 if not p.any() and not r.any() else float(np.sqrt(((np.array(p.shape) * spacing) ** 2).sum()))
        return {**out, **{k: far for k in distances}, "nsd": float(far == 0)}
    box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(p | r))  # nothing of either lies outside: the same distances, sooner
    bp, br = border(p[box]), border(r[box])
    a, b = nd.distance_transform_edt(~br, sampling=spacing)[bp], nd.distance_transform_edt(~bp, sampling=spacing)[br]
    both = np.concatenate([a, b])
    return {**out, "hd95_mm": max(np.percentile(a, 95), np.percentile(b, 95)), "hd95_pooled_mm": np.percentile(both, 95), "hd_mm": both.max(),
            "assd_mm": (a.mean() + b.mean()) / 2, "nsd": (both <= tolerance).mean()}


def from_files(prediction, reference, regions):
    """Scores by region of two files, in the reference's own grid; ignored: no."""
    p, r = nib.load(prediction), nib.load(reference)
    assert p.shape == r.shape and np.allclose(p.affine, r.affine, atol=1e-4), (p.shape, r.shape)
    spacing = np.sqrt((r.affine[:3, :3] ** 2).sum(0))
    p, r = np.asarray(p.dataobj), np.asarray(r.dataobj)
    return {g["name"]: scores(np.isin(p, g["values"]), np.isin(r, g["values"]), spacing) for g in regions}


def gaps(metrics, predictions, references, regions, where="{}/seg.nii.gz"):
    """Every number that differs: (subject, region, metric, ours, scipy's)."""
    bad = []
    for s, own in metrics["subjects"].items():
        want = from_files(predictions + "/" + where.format(s), references + "/" + where.format(s), regions)
        for region, columns in want.items():
            for k, v in columns.items():
                got = own[region][k]
                if (got is None) != (v is None) or (v is not None and abs(got - v) > 1e-9 * max(1, abs(v))):
                    bad.append((s, region, k, got, v))
    for region in metrics["mean"]:
        for k in ("dice", "hd95_mm", "sensitivity", "specificity", "precision", "volume_ml"):
            v = [own[region][k] for own in metrics["subjects"].values() if own[region][k] is not None]
            if v and abs(metrics["mean"][region][k] - np.mean(v)) > 1e-9 * max(1, abs(np.mean(v))):
                bad.append(("mean", region, k, metrics["mean"][region][k], np.mean(v)))
    return bad


def load(path):
    return json.load(open(path))


def prepare(name, scans, man, crop=(), norm=()):
    run("skullstrip-normalize", "--scans", scans, "--manifest", man, "--out", name + "-n", *norm)
    run("crop-patch", "--normed", name + "-n", "--labels", scans, "--manifest", man, "--out", name + "-p", *crop)
    return name + "-p"


def train(name, patches, *more, steps=30):
    run("train", "--patches", patches, "--out", name, "--network", '{"init_filters": 8}', "--patch", 16, "--steps", steps, "--validate-every", steps, "--learning-rate", "0.01", *more)
    return name
