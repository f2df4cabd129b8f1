"""Dice of label maps against the cohort's own, by numpy and nibabel alone: nothing of this project computes it.

    score.py LABELS PREDICTIONS [PREDICTIONS ...]        one JSON line a directory

LABELS/<subject>/seg.nii.gz and PREDICTIONS/<subject>/seg.nii.gz or <subject>.nii.gz, label values as in BraTS: WT {1, 2, 4}, TC {1, 4}, ET {4}.
A region that neither has scores 1; a subject without a prediction scores 0 and is named."""
import json, os, sys
import nibabel
import numpy as np

REGIONS = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
LABEL = "seg.nii.gz"


def read(path):
    return np.asarray(nibabel.load(path).dataobj).astype("i2")


def dice(a, b):
    n = int(a.sum()) + int(b.sum())
    return 1.0 if n == 0 else 2.0 * int((a & b).sum()) / n


def score(labels, predictions):
    subjects = {}
    for s in sorted(os.listdir(labels)):
        if not os.path.isfile(f"{labels}/{s}/{LABEL}"):
            continue
        path = next((p for p in (f"{predictions}/{s}/seg.nii.gz", f"{predictions}/{s}.nii.gz") if os.path.isfile(p)), None)
        truth = read(f"{labels}/{s}/{LABEL}")
        made = read(path) if path else None
        if made is not None and made.shape != truth.shape:
            raise SystemExit(f"{path}: {made.shape} voxels, the label map {truth.shape}")
        subjects[s] = {r: dice(np.isin(truth, v), np.isin(made, v)) if path else 0.0 for r, v in REGIONS.items()}
    if not subjects:
        raise SystemExit(f"{labels}: no <subject>/seg.nii.gz")
    mean = {r: float(np.mean([v[r] for v in subjects.values()])) for r in REGIONS}
    return {"predictions": predictions, "n": len(subjects), "mean": mean, "all": float(np.mean(list(mean.values()))),
            "missing": [s for s in subjects if not any(os.path.isfile(p) for p in (f"{predictions}/{s}/seg.nii.gz", f"{predictions}/{s}.nii.gz"))], "subjects": subjects}


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    for p in sys.argv[2:]:
        print(json.dumps(score(sys.argv[1], p)), flush=True)
