"""import-model and predict beside the published label maps (development data) and, anywhere, beside a network in numpy whose kernels are x, y, z."""
import json, os, shutil, subprocess, sys
import numpy as np
import nibabel as nib
sys.path.insert(0, os.path.join(os.environ["ROOT"], "tests/oracle/image"))
from _conform import head

T, ROOT, SHARED = os.environ["T"], os.environ["ROOT"], os.environ.get("SHARED", "")
DILATIONS = (1, 2, 4, 8, 16, 8, 4, 2, 1)
MANIFEST = ROOT + "/manifests/t1.json"
failed = 0


def say(good, what, why=""):
    global failed
    failed += not good
    print(("ok - " if good else "not ok - ") + what + ("" if good else ": " + str(why)), flush=True)


def run(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True)


def safetensors(path, tensors):
    header, data = {}, b""
    for name, x in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [len(data), len(data) + 4 * x.size]}
        data += np.ascontiguousarray(x, "<f4").tobytes()
    text = json.dumps(header).encode()
    open(path, "wb").write(len(text).to_bytes(8, "little") + text + data)


def network(x, tensors):
    """Logits of the middle of x, which has nibabel's axes: only voxels that see no border are left."""
    x = x[None].astype("f4")
    for i, d in enumerate(DILATIONS):
        w, b = tensors["layers.%d.weight" % i], tensors["layers.%d.bias" % i]
        n = [s - 2 * d for s in x.shape[1:]]
        y = np.zeros((w.shape[0], *n), "f4") + b[:, None, None, None]
        for kx in range(3):
            for ky in range(3):
                for kz in range(3):
                    part = x[:, kx * d:kx * d + n[0], ky * d:ky * d + n[1], kz * d:kz * d + n[2]]
                    y += np.tensordot(w[:, :, kx, ky, kz], part, 1)
        x = np.maximum(y, 0)
    return np.tensordot(tensors["layers.9.weight"][:, :, 0, 0, 0], x, 1) + tensors["layers.9.bias"][:, None, None, None]


rng = np.random.default_rng(5)
tensors = {}
for i in range(9):
    n = 1 if i == 0 else 5
    tensors["layers.%d.weight" % i] = rng.normal(scale=(2 / (27 * n)) ** 0.5, size=(5, n, 3, 3, 3)).astype("f4")
    tensors["layers.%d.bias" % i] = rng.normal(scale=0.02, size=5).astype("f4")
tensors["layers.9.weight"] = rng.normal(size=(3, 5, 1, 1, 1)).astype("f4")
tensors["layers.9.bias"] = np.zeros(3, "f4")
for folder in ("weights", "short", "scans/s"):
    os.makedirs(os.path.join(T, folder))

# A head that is conformed already: what predict answers lies voxel for voxel on it.
nib.save(head("straight"), T + "/raw.nii.gz")
os.makedirs(T + "/raw/s")
os.rename(T + "/raw.nii.gz", T + "/raw/s/t1.nii.gz")
run("skullstrip-normalize", "--scans", T + "/raw", "--manifest", MANIFEST, "--strip", "never", "--grid", "conform", "--normalize", "none", "--out",
    T + "/conformed").check_returncode()
img = nib.load(T + "/conformed/s/t1.nii")
x = np.asarray(img.dataobj).astype("u1")
nib.save(nib.Nifti1Image(x, img.affine), T + "/scans/s/t1.nii.gz")
scaled = x.astype("f8") / 255
AT, SIDE = 76, 108
piece = scaled[AT:AT + SIDE, AT:AT + SIDE, AT + 10:AT + 10 + SIDE].astype("f4")
logits = network(piece, tensors)
middle = logits.mean((1, 2, 3))
tensors["layers.9.bias"] = -middle.astype("f4")     # so that all three classes occur
logits -= middle[:, None, None, None].astype("f4")
safetensors(T + "/weights/model.safetensors", tensors)
want = logits.argmax(0)
top = np.sort(logits, 0)
clear = top[-1] - top[-2] > 1e-3 * np.abs(logits).max()

p = run("import-model", "--weights", T + "/weights", "--known", "brainchop/model5_gw_ae", "--out", T + "/model")
say(p.returncode == 0, "import-model takes the weights", p.stderr)
c = json.load(open(T + "/model/checkpoint.json"))
record = [json.load(open(os.path.join(d, f))) for d, _, fs in os.walk(T + "/model/.lineage") for f in fs if f.endswith(".json")]
say(c["settings"]["conform"] == "uchar" and c["settings"]["normalize"] == "minmax" and c["crop"]["whole"] is True and c["regions"] == ["white-matter", "gray-matter"]
    and c["model"]["parameters"] == 5598 and any("\"matched\": 20" in json.dumps(r) for r in record),
    "the checkpoint holds the preparation; the record counts 20 tensors", c["settings"])
p = run("predict", "--model", T + "/model", "--scans", T + "/scans", "--manifest", MANIFEST, "--out", T + "/out")
say(p.returncode == 0, "predict takes the checkpoint", p.stderr)
got = np.asarray(nib.load(T + "/out/s/seg.nii.gz").dataobj)
edge = sum(DILATIONS)
n = SIDE - 2 * edge
box = got[AT + edge:AT + edge + n, AT + edge:AT + edge + n, AT + 10 + edge:AT + 10 + edge + n]
say(got.shape == (256,) * 3 and len(np.unique(want)) == 3 and clear.mean() > 0.95 and np.array_equal(box[clear], want[clear]),
    "labels are numpy's at all %d voxels that see no border" % clear.sum(), (np.bincount(want.ravel()), (box != want)[clear].sum()))
p = run("import-model", "--weights", T + "/weights", "--known", "brainchop/model5_gw_ae", "--kernels", "zyx", "--out", T + "/turned")
same = open(T + "/turned/best.safetensors", "rb").read() == open(T + "/model/best.safetensors", "rb").read()
say(p.returncode == 0 and not same, "kernels of another order are other weights")

short = dict(tensors)
del short["layers.4.bias"]
safetensors(T + "/short/model.safetensors", short)
p = run("import-model", "--weights", T + "/short", "--known", "brainchop/model5_gw_ae", "--out", T + "/no1")
say(p.returncode == 65 and "model.4" in p.stderr and not os.path.exists(T + "/no1/checkpoint.json"), "a missing tensor is refused by name", p.stderr)
p = run("import-model", "--weights", T + "/weights", "--known", "brainchop/mindgrab", "--out", T + "/no2")
say(p.returncode == 65, "weights of another network are refused", p.stderr)
p = run("import-model", "--weights", T + "/weights", "--known", "brainchop/nothing", "--out", T + "/no3")
say(p.returncode == 64 and "mindgrab" in p.stderr, "an unknown network is answered with the known ones", p.stderr)
p = run("import-model", "--weights", T + "/weights", "--out", T + "/no4")
say(p.returncode == 66 and "model.json" in p.stderr, "without a description or --known there is no network", p.stderr)

if not os.path.isdir(SHARED + "/models/mindgrab"):
    print("skip - published label maps: the development data is not here")
else:
    os.makedirs(T + "/t1/s")
    shutil.copyfile(SHARED + "/data/heads/brainchop_t1_crop.nii.gz", T + "/t1/s/t1.nii.gz")
    for name in ("model5_gw_ae", "mindgrab")[:2 if os.environ.get("VOXTRAIL_LONG") else 1]:
        run("import-model", "--weights", SHARED + "/models/" + name, "--out", T + "/" + name).check_returncode()
        run("predict", "--model", T + "/" + name, "--scans", T + "/t1", "--manifest", MANIFEST, "--out", T + "/labels-" + name).check_returncode()
        got = np.asarray(nib.load(T + "/labels-%s/s/seg.nii.gz" % name).dataobj)
        want = np.asarray(nib.load("%s/models/%s/ref_labels.nii.gz" % (SHARED, name)).dataobj)
        far = int((got != want).sum())
        say(far <= 200, "%s: the published labels of a real head (%d of %d differ)" % (name, far, want.size), far)
sys.exit(failed != 0)
