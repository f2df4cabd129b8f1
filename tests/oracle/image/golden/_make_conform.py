"""Makes conform.json: what FastSurfer's conform() says of heads built from the template of this repository.

    python3 _make_conform.py CONFORM.PY      (FastSurferCNN/data_loader/conform.py of Deep-MI/FastSurfer, commit 000a219)

Stored: the affine, the histogram of the values and every 9973rd voxel, which is some 1700 of them."""
import importlib.util, json, os, sys
import numpy as np
import nibabel as nib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from _conform import CASES, head

STEP = 9973

if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location("conform", sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = {}
    for name in CASES:
        x = module.conform(head(name))
        v = np.asarray(x.dataobj).astype("u1")
        out[name] = {"affine": x.affine.tolist(), "counts": np.bincount(v.ravel(), minlength=256).tolist(), "step": STEP,
                     "voxels": v.ravel(order="F")[::STEP].tolist()}
    json.dump(out, open(os.path.join(HERE, "conform.json"), "w"), separators=(",", ":"))
