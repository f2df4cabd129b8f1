"""predict, evaluate and train's validation with --device cuda on the emulated plugin (GPU_PLUGIN: another, for a real card): the CPU's label maps and
scores within what a precision's rounding moves, the same bytes twice and where the device has no room for a volume, the same subjects in quarantine."""
import csv, glob, json, os, subprocess, sys
import nibabel as nib
import numpy as np
from _checks import say

T, B = os.environ["T"], os.environ["B"]
os.chdir(T)
real = "GPU_PLUGIN" in os.environ
rng = np.random.default_rng(4)


def run(name, *args, env=None, status=0):
    p = subprocess.run([B + "/bin/" + name, *args], capture_output=True, text=True,
                       env={**os.environ, "VOXTRAIL_PLUGIN": os.environ.get("GPU_PLUGIN", B + "/tests/libvoxtrail-emulated.so"), **(env or {})})
    if p.returncode != status:
        say(False, "%s %s" % (name, " ".join(args)), "status %d: %s" % (p.returncode, p.stderr[-600:]))
        sys.exit(1)
    return p.stderr


def scan(where, shape, labeled=True):
    """A stripped brain with a bright blob inside a less bright one, in two channels."""
    at = (np.indices(shape) - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2) * 5
    r = np.sqrt(((at / np.array([66, 76, 60]).reshape(3, 1, 1, 1)) ** 2).sum(0))
    d = np.sqrt(((at - rng.uniform(-20, 20, 3).reshape(3, 1, 1, 1)) ** 2).sum(0))
    for role, high in (("flair", 500), ("t1", -200)):
        x = np.where(r < 1, 600 + high * (d < 26) + 300 * (d < 14) + rng.normal(size=shape) * 40, 0)
        os.makedirs(where, exist_ok=True)
        nib.save(nib.Nifti1Image(x.astype("i2"), np.diag([5.0, 5, 5, 1])), "%s/%s.nii.gz" % (where, role))
    if labeled:
        nib.save(nib.Nifti1Image(((d < 26) * 1 + (d < 14) * 1).astype("u1"), np.diag([5.0, 5, 5, 1])), where + "/seg.nii.gz")


json.dump({"format": 1, "name": "own", "channels": [{"role": r, "files": ["{subject}/%s.nii.gz" % r]} for r in ("flair", "t1")],
           "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "background", "1": "edema", "2": "core"}},
           "regions": [{"name": "WT", "values": [1, 2]}, {"name": "TC", "values": [2]}], "split": {"seed": 1, "test": 0, "folds": 2}}, open("m.json", "w"))
for i, shape in enumerate([(30, 34, 26), (29, 33, 27), (28, 34, 26), (30, 32, 25)]):
    scan("cohort/s%d" % i, shape)
run("skullstrip-normalize", "--scans", "cohort", "--manifest", "m.json", "--out", "n")
run("crop-patch", "--normed", "n", "--labels", "cohort", "--manifest", "m.json", "--out", "p")
net = ["--patches", "p", "--model", "meshnet", "--network", json.dumps({"channels": 5, "dilations": [1, 2], "norm": "instance", "act": "relu"}), "--patch", "16",
       "--learning-rate", "0.02", "--fold", "0"]
run("train", *net, "--steps", "60", "--validate-every", "60", "--seed", "1", "--out", "models/a")
run("train", *net, "--steps", "50", "--validate-every", "50", "--seed", "2", "--out", "models/b")
run("train", *net, "--steps", "2", "--validate-every", "1", "--seed", "1", "--out", "v-cpu")
run("train", *net, "--steps", "2", "--validate-every", "1", "--seed", "1", "--device", "cuda", "--precision", "f32", "--out", "v-there")
history = [[[float(v) for v in r[1:]] for r in list(csv.reader(open(n + "/history.csv")))[1:]] for n in ("v-cpu", "v-there")]
say(np.abs(np.array(history[0]) - np.array(history[1])).max() < 2e-3, "train's validation on the device: the CPU's scores", history)

# A subject that is damaged between two that are whole; one smaller than a window; one a voxel thick at its edge.
for i, shape in enumerate([(30, 34, 26), (30, 34, 26), (27, 31, 9), (31, 33, 24)]):
    scan("new/u%d" % i, shape, False)
raw = open("new/u1/t1.nii.gz", "rb").read()
open("new/u1/t1.nii.gz", "wb").write(raw[:len(raw) // 2])
whole = ["u0", "u2", "u3"]


def predict(out, *more, env=None):
    text = run("predict", "--model", "models/a", "--scans", "new", "--manifest", "m.json", "--out", out, *more, env=env, status=65)
    return {u: np.asarray(nib.load("%s/%s/seg.nii.gz" % (out, u)).dataobj) for u in whole}, text


def same(a, b):
    return all(open("%s/%s/seg.nii.gz" % (a, u), "rb").read() == open("%s/%s/seg.nii.gz" % (b, u), "rb").read() for u in whole) and \
        open(a + "/quarantine/u1.json").read() == open(b + "/quarantine/u1.json").read() and sorted(os.listdir(a)) == sorted(os.listdir(b))


def device_of(out):
    found = [json.load(open(p)) for p in glob.glob(out + "/.lineage/**/*.json", recursive=True)]
    return [x["notes"]["device"] for x in found if isinstance(x, dict) and "device" in x.get("notes", {})][0]


def differ(a, b):
    return max((a[u] != b[u]).mean() for u in whole)


cpu, _ = predict("cpu")
say(all(set(np.unique(cpu[u])) == {0, 1, 2} for u in whole), "the network finds both regions", {u: np.unique(cpu[u], return_counts=True) for u in whole})
on = ["--device", "cuda"]
for precision, allowed in (("f32", 1e-4), ("bf16", 1e-2), ("fp16", 2e-3)):
    there, _ = predict(precision, *on, "--precision", precision)
    say(differ(there, cpu) <= allowed, "%s: at most %g of the voxels are labeled otherwise, here %.1e" % (precision, allowed, differ(there, cpu)))
predict("again", *on, "--precision", "bf16")
say(same("bf16", "again"), "twice: the same bytes, the damaged subject in quarantine")
here, text = predict("no-room", *on, "--precision", "bf16", env={"EMULATED_ROOM": "5000"})
about = device_of("no-room"), device_of("bf16")
if not real:
    say(same("bf16", "no-room"), "no room for a volume on the device: the same bytes")
    say(about[0].get("joined_on_host") == whole and "joined_on_host" not in about[1] and text.count("no room for the volume") == 3, "and the record and the log say so",
        (about, text[-300:]))
say(about[1]["name"] == "cuda" and about[1]["precision"] == "bf16" and about[1]["windows_at_a_time"] == 4, "the record names device, precision and windows at a time", about)
mirrored = [predict("flips-cpu", "--tta", "flips", "--overlap", "0.25")[0], predict("flips", *on, "--precision", "f32", "--tta", "flips", "--overlap", "0.25")[0]]
say(differ(*mirrored) <= 1e-4 and differ(mirrored[0], cpu) > 0, "mirrored: as on the CPU", differ(*mirrored))
predict("one", *on, "--precision", "bf16", env={"VOXTRAIL_THREADS": "1"})
say(same("bf16", "one"), "one thread: the same bytes")


def evaluate(out, model, *more, env=None):
    text = run("evaluate", "--model", model, "--patches", "p", "--subjects", "all", "--trained", "true", "--bootstrap", "100", "--out", out, *more, env=env)
    return json.load(open(out + "/metrics.json"))["mean"], text


for model in ("models/a", "models"):
    n = "e-" + os.path.basename(model)
    (a, _), (b, _) = evaluate(n + "-cpu", model), evaluate(n, model, *on, "--precision", "f32")
    gap = max(abs(a[r][k] - b[r][k]) for r in a for k in ("dice", "hd95_mm", "sensitivity"))
    say(gap < 2e-3 and a["WT"]["dice"] > 0.3, "evaluate %s: scores as on the CPU, within %.1e" % (model, gap), (a, b))
    if not real:
        _, text = evaluate(n + "-no-room", model, *on, "--precision", "f32", env={"EMULATED_ROOM": "5000"})
        files = ("metrics.json", "subjects.csv", "report.html")
        say(all(open("%s/%s" % (n, f)).read() == open("%s-no-room/%s" % (n, f)).read() for f in files) and len(device_of(n + "-no-room")["joined_on_host"]) == 4,
            "evaluate %s: no room on the device, the same bytes, recorded" % model)
