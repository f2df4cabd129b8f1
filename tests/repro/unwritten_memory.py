"""No output depends on memory that nobody wrote: every stage, with every network, gives the same bytes whatever malloc hands out
(MALLOC_PERTURB_ of glibc fills new memory with a byte and freed memory with its complement)."""
import json, os, subprocess
import numpy as np
import nibabel as nib
from _checks import say

T, B = os.environ["T"], os.environ["B"]
rng = np.random.default_rng(3)
nets = (("segresnet", '{"init_filters": 8, "vae": 1, "vae_size": 8}', 16), ("meshnet", '{"channels": 4, "dilations": [1, 2]}', 8), ("unet3d", '{"width": 8, "deep_supervision": 1}', 8),
        ("unet3d-cbam", '{"width": 8}', 8), ("vnet", '{"width": 8}', 8), ("med3d-resnet", '{"depth": "10", "width": 16}', 8), ("denseaspp", '{"depth": "10", "width": 16, "hidden": 32, "growth": 16}', 8),
        ("attention-unet", '{"channels": [8, 8, 8, 8, 8]}', 16), ("nnunet-plain", '{"features": [8, 8, 8, 8, 8, 8]}', 32),
        ("residual-unet", '{"channels": [8, 8, 8, 8, 8]}', 16), ("catalyst-unet", '{"width": 8}', 8))


n = 20
q = ((np.indices((n,) * 3) - n // 2) ** 2).sum(0)
labels = np.select([q < 6, q < 16, q < 36], [4, 1, 2]).astype("u1")
for s in "abc":
    os.makedirs("%s/c/%s" % (T, s))
    nib.save(nib.Nifti1Image((rng.normal(100, 10, labels.shape) + 40 * (labels > 0)).astype("f4"), np.eye(4)), "%s/c/%s/flair.nii.gz" % (T, s))
    nib.save(nib.Nifti1Image(labels, np.eye(4)), "%s/c/%s/seg.nii.gz" % (T, s))
json.dump({"format": 1, "name": "m", "channels": [{"role": "flair", "files": ["{subject}/flair.nii.gz"]}],
           "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "b", "1": "n", "2": "o", "4": "e"}},
           "regions": [{"name": "WT", "values": [1, 2, 4]}], "split": {"folds": 2, "subjects": {"a": 0, "b": 1, "c": "test"}}},
          open(T + "/m.json", "w"))
m = ("--manifest", T + "/m.json")


def stage(fill, name, out, *args):
    p = subprocess.run([B + "/bin/" + name, "--out", "%s/%s/%s" % (T, fill, out), *args], capture_output=True, text=True,
                       env={**os.environ, "MALLOC_PERTURB_": fill})
    return "" if p.returncode == 0 else "%s: %d %s" % (name, p.returncode, p.stderr[-300:])


def all_of(root):
    return {os.path.relpath(os.path.join(d, f), root): open(os.path.join(d, f), "rb").read()
            for d, _, names in os.walk(root) for f in names if not f.startswith("observed-")}


faults = []
for fill in ("85", "170"):
    at = T + "/" + fill
    faults.append(stage(fill, "skullstrip-normalize", "n", "--scans", T + "/c", "--strip", "never", *m))
    faults.append(stage(fill, "crop-patch", "p", "--normed", at + "/n", "--labels", T + "/c", *m))
    for net, params, patch in nets:
        faults.append(stage(fill, "train", "t-" + net, "--patches", at + "/p", "--model", net, "--network", params, "--patch", str(patch), "--pad", "true",
                            "--steps", "1", "--validate-every", "1"))
        faults.append(stage(fill, "evaluate", "e-" + net, "--model", at + "/t-" + net, "--patches", at + "/p", "--overlap", "0"))
        faults.append(stage(fill, "predict", "q-" + net, "--model", at + "/t-" + net, "--scans", T + "/c", "--overlap", "0", *m))
        faults.append(stage(fill, "export", "x-" + net, "--model", at + "/t-" + net))
faults = [f for f in faults if f]
say(not faults, "every stage runs", faults[:2])
for out in ["n", "p"] + [k + "-" + net for net, *_ in nets for k in "teqx"]:
    a, b = all_of("%s/85/%s" % (T, out)), all_of("%s/170/%s" % (T, out))
    say(a and a == b, "the same bytes: " + out, sorted(k for k in set(a) | set(b) if a.get(k) != b.get(k))[:3])
