# Limit: 3000 s
"""Every stage with every network under valgrind's memcheck, on the smallest scans and networks: no read of memory that nobody wrote, no
access outside what was allocated.  The portable kernels run, since valgrind 3.19 knows no AVX-512; the others have their bits
(tests/unit).  PARTS=name,name: only these."""
import json, os, re, shutil, subprocess, sys, time
import numpy as np
import nibabel as nib
sys.path.insert(0, os.environ["ROOT"] + "/tests/e2e")
from _checks import say
from _phantoms import manifest, save, subject

T, B, ROOT = os.environ["T"], os.environ["B"], os.environ["ROOT"]
NETWORKS = {"segresnet": ({"init_filters": 8, "vae": 1, "vae_size": 8}, 16), "meshnet": ({"channels": 4, "dilations": [1, 2]}, 8), "unet3d": ({"width": 8, "deep_supervision": 1}, 8),
            "unet3d-cbam": ({"width": 8}, 8), "vnet": ({"width": 8}, 8), "med3d-resnet": ({"depth": "10", "width": 16}, 8), "denseaspp": ({"depth": "10", "width": 16, "hidden": 32, "growth": 16}, 8),
            "attention-unet": ({"channels": [8, 8, 8, 8, 8]}, 16), "nnunet-plain": ({"features": [8, 8, 8, 8, 8, 8]}, 32),
            "residual-unet": ({"channels": [8, 8, 8, 8, 8]}, 16), "catalyst-unet": ({"width": 8}, 8)}
if not shutil.which("valgrind"):
    print("skip - stages under memcheck: needs valgrind")
    sys.exit()
os.chdir(T)
wanted = os.environ.get("PARTS", "preparation,tools,lists," + ",".join(NETWORKS)).split(",")
ENV = {**os.environ, "VOXTRAIL_ISA": "portable", "VOXTRAIL_THREADS": "1"}


def checked(name, *args, status=0):
    """One stage under memcheck."""
    begun = time.time()
    command = ["valgrind", "--error-exitcode=99", "--log-file=vg.log", "--num-callers=20", B + "/bin/" + name, *map(str, args)]
    p = subprocess.run(command, capture_output=True, text=True, env=ENV)
    log = open("vg.log").read()
    errors = re.findall(r"ERROR SUMMARY: (\d+) errors", log)
    say(p.returncode == status and errors and set(errors) == {"0"}, "%s %s: %s errors, %.0f s" % (name, " ".join(map(str, args[-4:]))[-60:], "/".join(errors), time.time() - begun),
        (p.returncode, p.stderr[-500:], log[-1500:]))


def plain(name, *args):
    p = subprocess.run([B + "/bin/" + name, *map(str, args)], capture_output=True, text=True, env=ENV)
    if p.returncode:
        print("not ok - %s: %s" % (name, p.stderr[-500:]))
        sys.exit(1)


for i in range(2):
    subject("c/s%d" % i, i, shape=(12, 12, 12))
manifest("m.json")
M = ("--manifest", "m.json")
prepare = checked if "preparation" in wanted else plain
prepare("skullstrip-normalize", "--scans", "c", *M, "--out", "n")
prepare("crop-patch", "--normed", "n", "--labels", "c", *M, "--out", "p")

# --- ways through the preparation
if "preparation" in wanted:
    rng = np.random.default_rng(2)
    shape, mm = (36, 40, 34), np.diag([5.0, 5, 6, 1])
    r = np.sqrt((((np.indices(shape).T - (np.array(shape) - 1) / 2) * (5, 5, 6) / (65, 80, 70)) ** 2).sum(-1)).T
    head = np.where(r < 1, 600, np.where(r < 1.1, 40, np.where(r < 1.2, 300, 5))) + rng.normal(0, 8, shape)
    turned = nib.as_closest_canonical(nib.Nifti1Image(head.astype("i2"), mm)).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    for name, img in (("head", nib.Nifti1Image(head.astype("i2"), mm)), ("bare", nib.Nifti1Image(np.where(r < 1, head, 0).astype("i2"), mm)), ("turned", turned)):
        os.makedirs("w/" + name)
        for c in ("flair", "t1ce"):
            nib.save(img, "w/%s/%s.nii.gz" % (name, c))
        nib.save(nib.Nifti1Image((np.asarray(nib.as_closest_canonical(img).dataobj) > 550).astype("f4"), nib.as_closest_canonical(img).affine), "w/%s/seg.nii.gz" % name)
    checked("skullstrip-normalize", "--scans", "w", *M, "--out", "w1", "--spacing", 7, "--bias", "n4", "--normalize", "clip-quantile")
    checked("crop-patch", "--normed", "w1", "--labels", "w", *M, "--out", "w1p", "--dtype", "f16", "--min-size", 16)
    checked("skullstrip-normalize", "--scans", "c", *M, "--out", "c2", "--grid", "median", "--interpolate", "cubic", "--orient", "native")
    img = nib.load("w/bare/t1ce.nii.gz")
    moved = img.affine.copy()
    moved[:3, 3] += (2, -3, 1)
    os.makedirs("far/a")
    shutil.copy("w/bare/flair.nii.gz", "far/a/flair.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(img.dataobj), moved), "far/a/t1ce.nii.gz")
    checked("skullstrip-normalize", "--scans", "far", *M, "--out", "far-n", "--align", "rigid", "--normalize", "quantile")
    for what, data in (("cut", open("c/s0/flair.nii.gz", "rb").read()[:-40]), ("none", b"not a volume" * 40)):
        os.makedirs("bad/" + what)
        open("bad/%s/flair.nii.gz" % what, "wb").write(data)
        shutil.copy("c/s0/t1ce.nii.gz", "bad/%s/t1ce.nii.gz" % what)
    checked("skullstrip-normalize", "--scans", "bad", *M, "--out", "bad-n", status=65)

# --- every network through training, scores, label maps and export
for name, (params, patch) in NETWORKS.items():
    if name not in wanted:
        continue
    how = ("--patch", patch, "--pad", "true", "--fold", 0, "--steps", 1, "--validate-every", 1)
    checked("train", "--patches", "p", "--out", "t/" + name, *how, "--model", name, "--network", json.dumps(params))
    checked("evaluate", "--patches", "p", "--out", "e-" + name, "--subjects", "all", "--bootstrap", 10, "--overlap", 0, "--model", "t/" + name)
    checked("predict", "--scans", "c", *M, "--out", "s-" + name, "--probabilities", "true", "--overlap", 0, "--model", "t/" + name)
    checked("export", "--metrics", "e-" + name, "--out", "x-" + name, "--model", "t/" + name)

# --- the other stages, and the other ways of a training
if "tools" in wanted:
    net = ("--model", "meshnet", "--network", '{"channels": 4, "dilations": [1, 2]}', "--patch", 8, "--fold", -1)
    ranges = {"rotate": [-20, 20], "zoom": [0.9, 1.1], "elastic": [0, 2], "flip": None, "rotate90": None, "swap": None, "scale": [-0.1, 0.1], "shift": [-0.1, 0.1], "noise": [0, 0.1],
              "gamma": [0.7, 1.5], "contrast": [0.8, 1.2], "blur": [0.5, 1], "lowres": [0.5, 1], "drop": None}
    augment = [{"name": k, **({"range": v} if v else {})} for k, v in ranges.items()]
    plain("train", "--patches", "p", "--out", "two/a", *net, "--steps", 1)
    checked("train", "--patches", "p", "--out", "two/b", *net, "--steps", 3, "--batch", 2, "--accumulate", 2, "--previous", "two/a", "--allow", "subjects", "--augment", json.dumps(augment),
            "--precision", "auto", "--averaging", "swa", "--swa-start", 1, "--swa-interval", 1, "--optimizer", "ranger", "--cross-entropy", 1, "--focal", 1, "--tversky", 1, "--generalized-dice", 1)
    checked("predict", "--model", "two", "--scans", "c", *M, "--out", "pa", "--tta", "flips", "--overlap", 0, "--min-component", '{"WT": 5}')
    checked("evaluate", "--predictions", "pa", "--labels", "c", *M, "--out", "pe", "--bootstrap", 10)
    checked("merge-labels", "--a", "pa", "--b", "pa", "--out", "merged")
    checked("measure", "--masks", "c", "--scans", "c", *M, "--out", "measured")
    checked("select", "--scores", "pe", "--drop-worst", 50, "--out", "selected")
    plain("evaluate", "--model", "two/a", "--patches", "p", "--subjects", "all", "--trained", "true", "--bootstrap", 0, "--out", "scores/a")
    plain("evaluate", "--model", "two/b", "--patches", "p", "--subjects", "all", "--trained", "true", "--bootstrap", 0, "--out", "scores/b")
    checked("compare", "--models", "two", "--scores", "scores", "--passes", 1, "--out", "compared")
    json.dump({"learning-rate": {"log-uniform": [1e-4, 1e-1]}, "batch": {"integer": [1, 4]}}, open("space.json", "w"))
    checked("sample", "--space", "space.json", "--trials", 3, "--rungs", 1, "--out", "drawn")
    plain("train", "--patches", "p", "--out", "scored", *net[:-1], 0, "--steps", 1)
    for trial in (t for t in os.listdir("drawn") if t.startswith("trial")):
        shutil.copytree("scored", "rung/" + trial)
    checked("trials", "--configs", "drawn", "--rung-1", "rung", "--out", "searched")
    rng = np.random.default_rng(5)
    tensors = {"layers.%d.%s" % (i, k): np.zeros((3 if i == 9 else 5, 1 if i == 0 else 5, *(1 if i == 9 else 3,) * 3) if k == "weight" else 3 if i == 9 else 5, "<f4") for i in range(10) for k in ("weight", "bias")}
    header, at = {}, 0
    for key, x in tensors.items():
        header[key] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(header).encode()
    os.makedirs("published")
    open("published/model.safetensors", "wb").write(len(text).to_bytes(8, "little") + text + b"".join(x.tobytes() for x in tensors.values()))
    checked("import-model", "--weights", "published", "--known", "brainchop/model5_gw_ae", "--out", "imported")

# --- lists of subjects, spacing, tuning, and classes of whole scans
if "lists" in wanted:
    open("names.txt", "w").write("s1\n")
    checked("select", "--names", "names.txt", "--from", "c", *M, "--out", "chosen")
    checked("cohort-spacing", "--scans", "c", *M, "--out", "spaced")
    checked("skullstrip-normalize", "--scans", "c", *M, "--spacing", 1.5, "--out", "cn")
    checked("crop-patch", "--normed", "cn", "--labels", "c", *M, "--out", "cp")
    plain("train", "--patches", "cp", "--out", "tn", "--model", "meshnet", "--network", '{"channels": 4, "dilations": [1, 2]}', "--patch", 8, "--pad", "true", "--fold", 0, "--steps", 1, "--validate-every", 1)
    checked("tune", "--model", "tn", "--patches", "cp", "--thresholds", "[0.4]", "--sizes", "[5]", "--overlap", 0, "--out", "tuned")
    m = json.load(open("m.json"))
    m["classes"] = {"names": ["a", "b"], "subjects": {"s0": "a", "s1": "b"}}
    json.dump(m, open("classes.json", "w"))
    plain("crop-patch", "--normed", "n", "--manifest", "classes.json", "--out", "pc")
    checked("train", "--patches", "pc", "--out", "tc", "--model", "med3d-resnet", "--network", '{"depth": "10", "head": "classify"}', "--patch", 8, "--pad", "true", "--fold", -1, "--steps", 1)
    checked("classify", "--model", "tc", "--patches", "pc", "--subjects", "all", "--trained", "true", "--out", "answers")
