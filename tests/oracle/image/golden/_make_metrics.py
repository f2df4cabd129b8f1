"""Makes metrics.json: mask pairs and what public programs say of them.  Run by hand, never by the tests:
      python3 _make_metrics.py DIR_OF_BraTS-2023-Metrics
needs monai 1.3.2, surface-distance-based-measures 0.1, connected-components-3d and the folder of rachitsaluja/BraTS-2023-Metrics
(commit 0c603fc), whose get_lesion_wise_score is called; its last step (cut-off, penalty, division) is repeated here."""
import base64, json, os, sys, tempfile, warnings, zlib
import nibabel as nib
import numpy as np
import scipy.ndimage as nd
import torch
from monai.metrics import compute_hausdorff_distance
from monai.metrics.utils import get_mask_edges, get_surface_distance

warnings.simplefilter("ignore")
np.bool = bool              # surface-distance 0.1 asks for the old name
import surface_distance
sys.path.insert(0, sys.argv[1])
from brats_2023_metrics.surface_distance.brats_metrics import get_lesion_wise_score

rng = np.random.default_rng(11)
work = tempfile.mkdtemp()


def pair(shape, rough, level):
    spots = lambda: nd.gaussian_filter(rng.standard_normal(shape), rough)
    base = spots()
    return tuple(x > np.quantile(x, level) for x in (base + 0.35 * spots(), base + 0.35 * spots()))


def monai(p, r, spacing):
    """Its surfaces and distances; the percentile in float64, because its own, in float32, is off by up to 4e-6."""
    edges = get_mask_edges(p, r, spacing=None)
    d = [get_surface_distance(a, b, spacing=spacing).astype("f8") for a, b in (edges, edges[::-1])]
    own = compute_hausdorff_distance(torch.from_numpy(p[None, None]), torch.from_numpy(r[None, None]), include_background=True, percentile=95,
                                     spacing=spacing)
    hd95 = float(max(np.percentile(x, 95) for x in d))
    assert abs(hd95 - float(own)) < 1e-5 * max(1, hd95)
    return {"hd95": hd95, "hd": float(max(x.max() for x in d))}


def deepmind(p, r, spacing):
    s = surface_distance.compute_surface_distances(r, p, spacing)
    return {"hd95_surfel": float(surface_distance.compute_robust_hausdorff(s, 95)),
            "nsd_surfel": float(surface_distance.compute_surface_dice_at_tolerance(s, 1.5))}


def brats(p, r, spacing, dilations, cutoff):
    paths = [os.path.join(work, name) for name in ("p.nii", "r.nii")]
    for path, m in zip(paths, (p, r)):
        nib.save(nib.Nifti1Image(m.astype("u1"), np.diag([*spacing, 1.0])), path)
    s = get_lesion_wise_score(paths[0], paths[1], "WT", dilations)
    kept = [(d, 374 if np.isinf(h) else h) for c, k, v, d, h in s["metric_pairs"] if v > cutoff]
    small = len(s["metric_pairs"]) - len(kept)
    missed = sum(len(c) == 0 and v > cutoff for c, k, v, d, h in s["metric_pairs"])
    false, n = len(s["fp"]), len(kept) + len(s["fp"])
    return {"lesion_dice": float(sum(d for d, h in kept) / n) if n else 1.0, "lesion_hd95": float((sum(h for d, h in kept) + 374 * false) / n) if n else 0.0,
            "lesions_found": int(len(kept) - missed), "lesions_missed": int(missed), "lesions_false": false, "lesions_small": small}


cases = []
for i in range(12):
    shape = [int(n) for n in rng.integers(18, 34, 3)]
    # Spacings that float32 holds exactly: the scorer takes them from a NIfTI header, MONAI's distances are float32.
    spacing = [(1.0, 1.0, 1.0), (3.0, 0.875, 0.75), (1.0, 0.5, 4.0), (2.5, 2.5, 2.5)][i % 4]
    lesion = [(3, 50.0), (1, 2.0)][i // 4 % 2]
    p, r = pair(shape, [1.5, 2.5][i % 2], [0.96, 0.85][i % 2])
    want = {"monai": monai(p, r, spacing), "deepmind": deepmind(p, r, spacing), "brats": brats(p, r, spacing, *lesion)}
    masks = base64.b64encode(zlib.compress(np.packbits(np.concatenate([p.ravel(), r.ravel()])).tobytes(), 9)).decode()
    cases.append({"shape": shape, "spacing": spacing, "lesion": lesion, "want": want, "masks": masks})
sources = {"monai": "MONAI 1.3.2 (hd95, hd)", "deepmind": "DeepMind surface-distance 0.1 (hd95_surfel, nsd_surfel)",
           "brats": "BraTS-2023-Metrics 0c603fc (lesion-wise)"}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "metrics.json"), "w") as f:
    json.dump({"sources": sources, "cases": cases}, f, indent=0, default=float)
    f.write("\n")
