"""Published MeshNet weights on a real T1 give the published labels: logits and labels on the crop, tiles equal to the whole bit for
bit, and, with VOXTRAIL_LONG=1 (minutes, 4 GB), the whole volume's labels."""
import json, os, subprocess, sys
import numpy as np
from _checks import say

B, T, SHARED = os.environ["B"], os.environ["T"], os.environ.get("SHARED", "")
if not os.path.isdir(SHARED + "/models/mindgrab"):
    print("skip - published MeshNets: the development data is not here")
    sys.exit(0)


def run(name, x, classes, *options):
    """Logits for x [d, h, w]."""
    json.dump({"name": "meshnet", "params": {"variant": name}, "in": 1, "out": classes, "patch": list(x.shape)}, open(T + "/r.json", "w"))
    np.ascontiguousarray(x, "f4").tofile(T + "/x")
    subprocess.run([B + "/tests/infer_probe", T + "/r.json", f"{SHARED}/models/{name}/model.safetensors", T + "/x", T + "/y", *options], check=True)
    return np.fromfile(T + "/y", "f4").reshape(classes, *x.shape)


def crop(name, classes):
    folder = f"{SHARED}/models/{name}/"
    x = np.fromfile(folder + "crop_input_64.f32", "f4").reshape(64, 64, 64)          # [x, y, z], as the kernels are
    want = np.fromfile(folder + "crop_logits_sub4.f32", "f4").reshape(classes, 16, 16, 16)
    labels = np.fromfile(folder + "crop_labels_64.u8", "u1").reshape(64, 64, 64)
    y = run(name, x, classes)
    worst = float(np.abs(y[:, ::4, ::4, ::4] - want).max())
    say(worst <= 1e-3, f"{name}: logits of the crop (largest difference {worst:.1e})")
    top = np.sort(y, 0)
    differ = (y.argmax(0) != labels) & (top[-1] - top[-2] >= 1e-3)
    say(not differ.any(), f"{name}: labels of the crop ({int((y.argmax(0) != labels).sum())} differ, {int(differ.sum())} of them outside near ties)")
    turned = run(name, x.transpose(2, 1, 0), classes, "xyz")
    worst = float(np.abs(turned.transpose(0, 3, 2, 1) - y).max())
    say(worst <= 1e-3, f"{name}: kernels turned to z, y, x give the same on the turned crop (largest difference {worst:.1e})")


crop("model5_gw_ae", 3)
crop("mindgrab", 2)
HALO = 46
x = np.fromfile(SHARED + "/models/model5_gw_ae/crop_input_64.f32", "f4").reshape(64, 64, 64)
x = np.concatenate([x, x[::-1]], 0)                                                  # 128 x 64 x 64
whole, part = run("model5_gw_ae", x, 3), run("model5_gw_ae", x[:104], 3)
say(np.array_equal(whole[:, :104 - HALO], part[:, :104 - HALO]), "model5_gw_ae: a tile equals the whole bit for bit, 46 voxels from the cut")
say(not np.array_equal(whole[:, :104 - HALO + 1], part[:, :104 - HALO + 1]), "model5_gw_ae: and not one voxel nearer")

volume = SHARED + "/data/heads/brainchop_t1_crop.nii.gz"
if not os.environ.get("VOXTRAIL_LONG") or not os.path.exists(volume):
    print("skip - whole volumes: VOXTRAIL_LONG is not set, or the volume is not here")
    sys.exit(0)
import nibabel
v = np.asarray(nibabel.load(volume).dataobj, "f4")
for name, classes, scaled in (("model5_gw_ae", 3, (v - v.min()) / (v.max() - v.min())),
                              ("mindgrab", 2, np.clip((v - np.quantile(v, .02)) / (np.quantile(v, .98) - np.quantile(v, .02)), 0, 1))):
    got = run(name, scaled, classes).argmax(0)
    want = np.asarray(nibabel.load(f"{SHARED}/models/{name}/ref_labels.nii.gz").dataobj)
    n = int((got != want).sum())
    say(n <= 200, f"{name}: labels of the whole volume ({n} of {want.size} differ)")
