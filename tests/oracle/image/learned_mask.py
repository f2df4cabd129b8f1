"""Learned brain masks: a small network against scipy in float64 (kernel axes, dilation, norm, activation, normalization), the way there
and back on an oblique scan, what is refused; with the development data, published networks against their reference labels.
LONG=1 also runs mindgrab on a whole 256 cube (minutes) and on the clinical heads."""
import glob, json, os, subprocess, sys
sys.path.insert(0, os.path.dirname(__file__))
import numpy as np
import nibabel as nib
from scipy import ndimage as ndi
from scipy.special import erf
from _image import T, done, say, shared

tool = os.path.join(os.environ["B"], "tests", "learned_mask")
rng = np.random.default_rng(6)
side, mm, channels, dilations = 40, 5.0, 4, [3, 1]


plugin = {"VOXTRAIL_PLUGIN": os.environ.get("GPU_PLUGIN", os.environ["B"] + "/tests/libvoxtrail-emulated.so")}


def run(weights, what, source, env=None, precision=()):
    out = os.path.join(T, "out.nii")
    p = subprocess.run([tool, weights, what, source, out, *precision], capture_output=True, text=True, env={**os.environ, **plugin, **(env or {})})
    return p.returncode, p.stderr, np.asarray(nib.load(out).dataobj).copy() if p.returncode == 0 else None


def save(x, name, affine):
    path = os.path.join(T, name)
    nib.save(nib.Nifti1Image(x, affine), path)
    return path


def safetensors(path, tensors):
    header, at, body = {}, 0, b""
    for name, x in tensors.items():
        raw = x.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [at, at + len(raw)]}
        at, body = at + len(raw), body + raw
    text = json.dumps(header).encode()
    open(path, "wb").write(len(text).to_bytes(8, "little") + text + body)


def network(name, weights, change=None):
    layers = []
    for i, (w, b) in enumerate(weights):
        last = i + 1 == len(weights)
        d = 1 if last else dilations[i]
        layers.append({"out": w.shape[0], "in": w.shape[1], "kernel": w.shape[2], "dilation": d, "padding": 0 if last else d, "stride": 1, "bias": last,
                       "norm": "none" if last else "instance(eps=1e-5, no affine, biased variance)", "activation": "identity" if last else "gelu"})
    j = {"name": name, "input": {"spatial": [side] * 3, "voxel_mm": [mm] * 3}, "layers": layers,
         "normalize": {"kind": "quantile", "low": 0.02, "high": 0.98, "clip": True}}
    d = os.path.join(T, name)
    os.makedirs(d)
    tensors = {"layers.%d.weight" % i: w for i, (w, b) in enumerate(weights)}
    tensors["layers.%d.bias" % (len(weights) - 1)] = weights[-1][1]
    if change:
        change(j, tensors)
    json.dump(j, open(d + "/model.json", "w"))
    safetensors(d + "/model.safetensors", tensors)
    return d


def reference(weights, x):
    """x, y, z axes throughout, as the kernels are stored."""
    low, high = np.percentile(x, [2, 98])
    h = np.clip((x - low) / (high - low), 0, 1)[None]
    for i, (w, b) in enumerate(weights):
        if i + 1 == len(weights):
            return np.einsum("oi,ixyz->oxyz", w[:, :, 0, 0, 0], h) + b[:, None, None, None]
        d = dilations[i]
        wide = np.zeros(w.shape[:2] + (2 * d + 1,) * 3)
        wide[:, :, ::d, ::d, ::d] = w
        h = np.stack([sum(ndi.correlate(h[k], wide[o, k], mode="constant") for k in range(w.shape[1])) for o in range(w.shape[0])])
        m, v = h.mean((1, 2, 3), keepdims=True), h.var((1, 2, 3), keepdims=True)
        h = (h - m) / np.sqrt(v + 1e-5)
        h = 0.5 * h * (1 + erf(h / np.sqrt(2)))


weights = [(rng.normal(size=(channels, 1, 3, 3, 3)), None), (rng.normal(size=(channels, channels, 3, 3, 3)), None), (rng.normal(size=(3, channels, 1, 1, 1)), rng.normal(size=3))]
weights = [(w.astype("f4").astype("f8"), b if b is None else b.astype("f4").astype("f8")) for w, b in weights]
small = network("small", weights)
x = ndi.gaussian_filter(rng.normal(size=(side,) * 3), 1.5) * 900 + 300
x = x.astype("f4")
logits = np.sort(reference(weights, x.astype("f8")), axis=0)
want, sure = reference(weights, x.astype("f8")).argmax(0), logits[-1] - logits[-2] > 1e-3
rc, text, got = run(small, "labels", save(x, "x.nii", np.diag([-mm, -mm, mm, 1])))
say(rc == 0 and sure.mean() > 0.99 and np.array_equal(got[sure], want[sure]), "labels equal scipy's in float64 wherever its margin is over 1e-3", text)
rc, text, one = run(small, "labels", os.path.join(T, "x.nii"), {"VOXTRAIL_THREADS": "1"})
say(rc == 0 and np.array_equal(got, one), "one thread: the same labels", text)
for precision, allowed in (("f32", 1e-5), ("bf16", 0.03)):
    rc, text, there = run(small, "labels", os.path.join(T, "x.nii"), precision=[precision])
    share = (there != got).mean() if rc == 0 else 1
    say(share <= allowed, "on a device in %s: labels differ at %.6f of the voxels" % (precision, share), text)
rc, text, there = run(small, "labels", os.path.join(T, "x.nii"), {"EMULATED_ROOM": "1000"}, ["f32"])
say(rc == 0 and (there != got).mean() <= 1e-5, "no room for the volume there: labels are taken here", text)

# A network that says "brain" where the scan is bright: the scan's own grid must come back, however it lies.
w = np.zeros((2, 1, 3, 3, 3))
w[:, 0, 1, 1, 1] = 1, 2
bright = [(w, None), (np.stack([np.stack([np.eye(3)[1][:, None, None] * np.eye(3)[1][:, None] * np.eye(3)[1] * (o == i) for i in (0, 1)]) for o in (0, 1)]), None),
          (np.array([[0, 0], [1, 0]], "f8")[:, :, None, None, None], np.array([0.6, 0.0]))]
plain = network("bright", bright)
c, s = np.cos(0.3), np.sin(0.3)
affine = np.array([[c * 4, -s * 5, 0, -90], [s * 4, c * 5, 0, -80], [0, 0, -6.0, 70], [0, 0, 0, 1]])
g = np.indices((44, 36, 26))
at = np.einsum("ij,jxyz->ixyz", affine[:3, :3], g) + affine[:3, 3][:, None, None, None]
center = (np.array(g.shape[1:]) - 1) / 2 @ affine[:3, :3].T + affine[:3, 3]
r = np.sqrt((((at - center[:, None, None, None]) / np.array([55, 65, 50])[:, None, None, None]) ** 2).sum(0))
scan = np.where(r < 1, 700, 80) + rng.normal(size=r.shape) * 10
rc, text, got = run(plain, "mask", save(scan.astype("i2"), "s.nii", affine))
d = 2 * (got.astype(bool) & (r < 1)).sum() / (got.astype(bool).sum() + (r < 1).sum()) if rc == 0 else 0
say(d > 0.96, "an oblique scan of 4 x 5 x 6 mm gets its mask back in place: Dice %.4f" % d, text)

# The stage's order: stripped input passes, else the network if its weights are given, else the surface.
ball = np.where(r < 1, 700, np.where(r < 1.12, 60, np.where(r < 1.2, 200, 5))) + rng.normal(size=r.shape) * 2
os.makedirs(T + "/scans/head")
os.makedirs(T + "/scans/stripped")
save(ball.astype("i2"), "scans/head/flair.nii.gz", affine)
save(np.where(r < 1, scan, 0).astype("i2"), "scans/stripped/flair.nii.gz", affine)
json.dump({"format": 1, "name": "one", "channels": [{"role": "flair", "files": ["{subject}/flair.nii.gz"]}]}, open(T + "/one.json", "w"))


def methods(out, *args):
    p = subprocess.run([os.environ["B"] + "/bin/skullstrip-normalize", "--scans", T + "/scans", "--manifest", T + "/one.json", "--out", T + "/" + out, *args],
                       capture_output=True, text=True, env={**os.environ, **plugin})
    return [json.load(open("%s/%s/%s/geometry.json" % (T, out, n)))["mask"]["method"] for n in ("head", "stripped")] if p.returncode == 0 else p.stderr


got = [methods("a", "--weights", plain), methods("b"), methods("c", "--weights", plain, "--method", "surface")]
say(got == [["bright", "stripped"], ["surface", "stripped"], ["surface", "stripped"]], "stripped input passes, else the network, else the surface", got)
got = methods("d", "--weights", plain, "--device", "cuda", "--precision", "f32"), methods("e", "--weights", plain, "--device", "cuda", "--precision", "f32")
mask = [np.asarray(nib.load("%s/%s/head/mask.nii" % (T, n)).dataobj) for n in ("a", "d")]
say(got[0] == ["bright", "stripped"] and mask[0].shape == mask[1].shape and (mask[0] != mask[1]).mean() < 1e-4, "--device cuda: the same brain", got)
same = all(open("%s/d/%s" % (T, n), "rb").read() == open("%s/e/%s" % (T, n), "rb").read() for n in ("head/mask.nii", "head/flair.nii", "head/geometry.json"))
say(got[0] == got[1] and same, "--device cuda twice: the same bytes")


def noted(out):
    found = [json.load(open(p)) for p in glob.glob("%s/%s/.lineage/**/*.json" % (T, out), recursive=True)]
    return [x["notes"]["device"] for x in found if isinstance(x, dict) and "device" in x.get("notes", {})], found


on, record = noted("d")
say([(x["name"], x["precision"]) for x in on] == [("cuda", "f32")], "the record names the device", record)
say([x["name"] for x in noted("a")[0]] == ["cpu"] and not noted("c")[0], "and the CPU; where no network ran, none")
text = methods("f", "--weights", plain, "--precision", "bf16")
say("the CPU computes in f32" in text, "a precision that the CPU does not have is refused", text)

refusals = {
    "no weights": (lambda j, t: t.clear(), 65, "layers.0.weight"),
    "weights of another shape": (lambda j, t: t.update({"layers.1.weight": np.zeros((channels, 2, 3, 3, 3))}), 65, "layers.1.weight"),
    "layers that are no MeshNet": (lambda j, t: j["layers"][1].update(stride=2), 65, "/layers/1"),
    "an unknown normalization": (lambda j, t: j["normalize"].update(kind="median"), 65, "/normalize/kind"),
    "an uneven grid": (lambda j, t: j["input"].update(spatial=[40, 40, 32]), 65, "/input"),
}
for what, (change, code, word) in refusals.items():
    rc, text, _ = run(network("bad-" + what.replace(" ", "-"), weights, change), "labels", os.path.join(T, "x.nii"))
    say(rc == code and word in text, "refused: " + what, (rc, text))
rc, text, _ = run(os.path.join(T, "nowhere"), "labels", os.path.join(T, "x.nii"))
say(rc == 66 and "model.json" in text, "refused: no network there", (rc, text))

if not shared:
    print("skip - published networks: development data not present")
    done()
models, heads = os.path.join(shared, "models"), os.path.join(shared, "data/heads")
load = lambda path: np.asarray(nib.load(path).dataobj)


def against_labels(name, most):
    rc, text, got = run(os.path.join(models, name), "labels", os.path.join(heads, "brainchop_t1_crop.nii.gz"))
    wrong = int((got != load(os.path.join(models, name, "ref_labels.nii.gz"))).sum()) if rc == 0 else -1
    say(0 <= wrong <= most, "%s on a 256 cube: %d of 16.8 million labels differ from the reference" % (name, wrong), text)


against_labels("model5_gw_ae", 200)
if not os.environ.get("LONG"):
    print("skip - mindgrab on whole heads: takes minutes, LONG=1 runs it")
    done()
against_labels("mindgrab", 200)
dice = lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum())
learned, agree = [], []
for patient in ("01", "12"):
    for scan in ("t1w", "flair", "t2w"):
        name = os.path.join(heads, "ms_patient%s_study1_%s" % (patient, scan))
        b = run(os.path.join(models, "mindgrab"), "mask", name + ".nii.gz")[2] > 0
        surface = os.path.join(T, "a.nii")
        subprocess.run([os.path.join(os.environ["B"], "tests", "image_op"), "brain-mask", name + ".nii.gz", surface], check=True, capture_output=True)
        learned.append(dice(b, load(name + "_brainmask.nii.gz") > 0))
        agree.append(dice(b, load(surface) > 0))
        print("# %s %s: learned %.4f, agreement with the surface %.4f" % (patient, scan, learned[-1], agree[-1]), flush=True)
say(np.mean(learned) >= 0.95 and min(learned) >= 0.93 and min(agree) >= 0.95,
    "clinical heads, T1, FLAIR, T2: mean Dice %.4f, least %.4f, least agreement with the surface method %.4f" % (np.mean(learned), min(learned), min(agree)))
done()
