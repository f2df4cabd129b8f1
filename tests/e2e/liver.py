"""pipelines/two-stage-liver.json on a CT: phantoms in Hounsfield units (16 bits, air at -1000, -2048 outside the scanner's circle, bone above the window) in the layout of
the Decathlon's liver task, with spacings of their own; the shipped recipes, smaller.  A new scan of another size goes through both networks.  Then the variant that
begins from a pretrained encoder."""
import glob, hashlib, json, os
import nibabel as nib
import numpy as np
from _checks import run, say

T, ROOT = os.environ["T"], os.environ["ROOT"]
os.chdir(T)
BODY = np.array([320.0, 280.0, 240.0])


def phantom(path, spacing, seed, label=None):
    """A body with a liver and a tumor in it: int16 HU, axes x, y, z; returns the label map."""
    rng = np.random.default_rng(seed)
    n = np.round(BODY / spacing).astype(int)
    at = (np.indices(n).reshape(3, -1).T + 0.5) * spacing - BODY / 2
    inside = lambda center, radii: ((((at - center) / radii) ** 2).sum(1) < 1).reshape(n)
    shift = rng.uniform(-15, 15, 3)
    body, bone = inside(0, (150, 120, 140)), inside((0, 95, 0), (22, 22, 200))
    liver, tumor = inside(shift + (-45, -15, 10), (75, 60, 65)), inside(shift + (-60, -20, 15), (25, 22, 25))
    hu = np.where(body, 20.0, -1000.0) + rng.normal(0, 8, n)
    for where, value in ((bone, 800), (liver, 160), (tumor, 70)):
        hu[where & body] += value - 20
    hu[~inside(0, (175, 160, 1e4))] = -2048
    os.makedirs(os.path.dirname(path), exist_ok=True)
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    nib.save(nib.Nifti1Image(np.round(hu).astype("i2"), affine), path)
    truth = (liver & body).astype("u1") + (tumor & liver & body)
    if label:
        os.makedirs(os.path.dirname(label), exist_ok=True)
        nib.save(nib.Nifti1Image(truth, affine), label)
    return truth


SPACING = np.array([(8, 8, 10), (9, 8, 8), (7, 9, 9), (8, 9, 9)], float)
for k, s in enumerate(SPACING):
    phantom("ct/imagesTr/liver_%d.nii.gz" % k, s, k, "ct/labelsTr/liver_%d.nii.gz" % k)
NEW = np.array((6.0, 7.0, 12.0))
truth = phantom("new/liver_77.nii.gz", NEW, 77)
os.link("ct/imagesTr/liver_3.nii.gz", "new/liver_3.nii.gz")
m = json.load(open(ROOT + "/manifests/msd-task03.json"))
m["split"] = {"seed": 1, "folds": 2, "subjects": {"liver_0": 1, "liver_1": 1, "liver_2": 0, "liver_3": "test"}}
json.dump(m, open("manifest.json", "w"))
PYTHON = os.environ["PYTHON"]
sizes = lambda n: ["steps=%d" % n, "validate-every=%d" % n, "warmup=2"]
net = ["network/depth=\"10\"", "network/width=16", *sizes(60), "patch=\"40\""]
fine = ["network/depth=\"10\"", "network/width=16", "network/hidden=16", "network/growth=8", "network/dilations=[1,2]", "patch=\"24\"", *sizes(60)]
run(PYTHON, ROOT + "/tests/e2e/_tiny.py", ROOT + "/pipelines/recipes", "recipe", "normalize-coarse.json", "spacing=8", "--", "train-coarse*.json", *net, "--", "train-fine*.json",
    *fine, "--", "evaluate.json", "bootstrap=0", "--", "crop-fine.json", "margin=2", "--", "*-pretrained.json", *sizes(2), "--", "train-coarse-pretrained.json", *sizes(40), "learning-rate=0.003",
    "--", "train-fine-pretrained.json", "network/dilations=[3,6,12,18,24]")
common = ["--store", "store", "--repo", "scans=ct/imagesTr", "--repo", "labels=ct/labelsTr", "--repo", "new-scans=new", "--repo", "recipe=recipe", "--repo", "manifest=manifest.json", "--log", "json"]
log = run("voxtrail", "run", ROOT + "/pipelines/two-stage-liver.json", *common, "--checkout", "out")
say('"state":"failed"' not in log and not glob.glob("out/*/quarantine"), "a CT goes through all pipelines", log[-600:])
mean = SPACING.mean(0)
got = json.load(open("out/spacing/manifest.json"))["spacing_mm"]
say(np.allclose(got, mean, atol=1e-4), "the manifest has the mean spacing of the cohort", (got, mean))
normed = nib.load("out/skullstrip-normalize/liver_0/ct.nii")
x = np.asarray(normed.dataobj)
say(np.allclose(normed.header.get_zooms(), mean, atol=1e-4) and x.min() == 0 and x.max() == 1, "scans are at that spacing, the window of -200 to 250 is 0 to 1", (normed.header.get_zooms(), x.min(), x.max()))
run("skullstrip-normalize", "--scans", "new", "--manifest", "manifest.json", "--strip", "never", "--spacing", "-1", "--orient", "native", "--normalize", "window", "--window", "-200,250", "--out", "plain")
hu = np.asarray(nib.load("new/liver_77.nii.gz").dataobj).astype("f8")
say(np.abs(np.asarray(nib.load("plain/liver_77/ct.nii").dataobj) - np.clip((hu + 200) / 450, 0, 1)).max() < 1e-6 and hu.min() == -2048, "negative values of 16 bits: numpy's window")
coarse = json.load(open("out/coarse/checkpoint.json"))
say(coarse["model"]["params"]["head"] == "coarse" and coarse["best"]["dice"] > 0.1, "the first network learns where the liver is", coarse["best"])
sources = json.load(open("out/evaluate/metrics.json"))["sources"]
got = np.asarray(nib.load("out/predict/liver_3/seg.nii.gz").dataobj)
say(list(sources) == ["liver_3"] and hashlib.sha256(got.astype("u1").T.tobytes()).hexdigest() == sources["liver_3"]["prediction_voxels_sha256"], "a scan predicted as new has the voxels that evaluate scored")
new = nib.load("out/predict/liver_77/seg.nii.gz")
seg = np.asarray(new.dataobj)
say(seg.shape == truth.shape == tuple(np.round(BODY / NEW).astype(int)) and np.allclose(new.affine, nib.load("new/liver_77.nii.gz").affine), "a new scan of another size and spacing: a label map on its own grid", seg.shape)
dice = lambda a, b: 2.0 * (a & b).sum() / (a.sum() + b.sum())
say(dice(seg > 0, truth > 0) > 0.5, "and the liver is found in it (Dice %.2f)" % dice(seg > 0, truth > 0), np.unique(seg, return_counts=True))

# --- from a pretrained encoder
run("train", "--patches", "out/crop-coarse", "--model", "med3d-resnet", "--network", '{"depth": "10", "width": 16}', "--patch", "16", "--pad", "true", "--steps", "1", "--out", "encoder")
log = run("voxtrail", "run", ROOT + "/pipelines/two-stage-liver-pretrained.json", *common, "--repo", "pretrained=encoder", "--checkout", "again")
fits = [json.loads(l) for l in log.splitlines() if '"event":"start"' in l and "matched" in l]
c = [json.load(open("again/%s/checkpoint.json" % r)) for r in ("coarse", "train")]
say(all(x["parent"] for x in c) and [x["model"]["name"] for x in c] == ["med3d-resnet", "denseaspp"] and os.path.exists("again/predict/liver_77/seg.nii.gz"),
    "both networks begin from a pretrained encoder, and predict", [x.get("parent") for x in c])
