"""int8: quantize, then predict and evaluate with the scales; bf16 without any; the same bytes for any instructions and threads; refusals and scales that
were tampered with."""
import copy, glob, json, os, shutil
import nibabel as nib
import numpy as np
from _checks import say
from _phantoms import load, manifest, prepare, run, subject, train

os.chdir(os.environ["T"])
for i in range(6):
    subject("s/s%d" % i, 40 + i, (20, 22, 18))
manifest("m.json", split={"seed": 1, "test": 0, "folds": 2, "subjects": {"s%d" % i: "test" if i == 5 else i % 2 for i in range(6)}})
patches = prepare("c", "s", "m.json")
train("net", patches, "--fold", 1)
run("quantize", "--model", "net", "--patches", patches, "--out", "q")
plain, made = load("net/checkpoint.json"), load("q/checkpoint.json")
int8 = made["int8"]
say(int8["subjects"] == ["s1", "s3"], "scales are found on the validation subjects", int8["subjects"])
say({k: v for k, v in made.items() if k != "int8"} == plain, "the rest of checkpoint.json is as it was")
say(open("q/best.safetensors", "rb").read() == open("net/best.safetensors", "rb").read(), "the weights are as they were")
say(sorted(os.listdir("q")) == [".lineage", "best.safetensors", "checkpoint.json", "history.csv"], "what else lies there", os.listdir("q"))


def kernels(path):
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[:8], "little")
    return {k: np.frombuffer(raw[8 + n + v["data_offsets"][0]: 8 + n + v["data_offsets"][1]], "<f4").reshape(v["shape"])
            for k, v in json.loads(raw[8:8 + n]).items() if k != "__metadata__" and len(v["shape"]) == 5}


w = kernels("q/best.safetensors")
say(all(np.array_equal(np.float32(s["weights"]), np.abs(w[k]).reshape(len(w[k]), -1).max(1) / np.float32(127)) for k, s in int8["layers"].items()), "a weight's scale is the output's largest / 127")
say(len(int8["layers"]) == len(w) - 2, "all convolutions but the first and the head have scales", (len(int8["layers"]), len(w)))

# --- answers
run("evaluate", "--model", "net", "--patches", patches, "--subjects", "all", "--out", "e-f32", "--bootstrap", 0, "--overlap", 0.25)
run("evaluate", "--model", "q", "--patches", patches, "--subjects", "all", "--out", "e-same", "--bootstrap", 0, "--overlap", 0.25)
run("evaluate", "--model", "q", "--patches", patches, "--subjects", "all", "--out", "e-int8", "--bootstrap", 0, "--overlap", 0.25, "--precision", "int8")
dice = {n: [v["dice"] for v in load(n + "/metrics.json")["mean"].values()] for n in ("e-f32", "e-same", "e-int8")}
say(dice["e-f32"] == dice["e-same"], "in f32 the quantized checkpoint is what it was", dice)
say(max(abs(a - b) for a, b in zip(dice["e-f32"], dice["e-int8"])) < 0.02 and dice["e-f32"] != dice["e-int8"], "in int8 Dice is near it", dice)
files = {}
for out, env in (("p1", {"VOXTRAIL_THREADS": "1"}), ("p2", {"VOXTRAIL_THREADS": "2"}), ("p3", {"VOXTRAIL_THREADS": "3", "VOXTRAIL_ISA": "portable"})):
    run("predict", "--model", "q", "--scans", "s", "--manifest", "m.json", "--out", out, "--probabilities", "true", "--overlap", 0.25, "--precision", "int8", env=env)
    files[out] = [open("%s/s%d/%s.nii.gz" % (out, i, f), "rb").read() for i in range(6) for f in ("seg", "probability-WT")]
say(files["p1"] == files["p2"] == files["p3"], "the same bytes with 1, 2 and 3 threads and with portable C")
run("predict", "--model", "q", "--scans", "s", "--manifest", "m.json", "--out", "pf", "--probabilities", "true", "--overlap", 0.25)
far = [np.abs(np.asarray(nib.load("%s/s%d/probability-WT.nii.gz" % (o, i)).dataobj) - np.asarray(nib.load("pf/s%d/probability-WT.nii.gz" % i).dataobj)).max() for o in ("p1",) for i in range(6)]
say(0 < max(far) < 0.2, "probabilities are near those of f32, and others", far)
for env in ({"VOXTRAIL_THREADS": "1"}, {"VOXTRAIL_THREADS": "3"}):
    out = "q" + env["VOXTRAIL_THREADS"]
    run("quantize", "--model", "net", "--patches", patches, "--out", out, env=env)
    say(open(out + "/checkpoint.json", "rb").read() == open("q/checkpoint.json", "rb").read(), "scales do not depend on threads: " + out)
notes = [load(f)["notes"] for f in glob.glob("p1/.lineage/*/record.json")]
say(["int8"] == [n["device"]["precision"] for n in notes if "device" in n], "the record says in which precision", notes)
run("quantize", "--model", "net", "--patches", patches, "--out", "qm", "--range", "max", "--most", 1)
wide = load("qm/checkpoint.json")["int8"]
say(wide["subjects"] == ["s1"] and wide["range"] == "max", "range and number of subjects are as asked", wide["subjects"])


for model, out in (("net", "x-f32"), ("q", "x-int8")):
    run("export", "--model", model, "--out", out)
onnx = {o: open(o + "/model.onnx", "rb").read() for o in ("x-f32", "x-int8")}
count = len(int8["layers"])
say(onnx["x-int8"].count(b"\x0eQuantizeLinear") == count and onnx["x-int8"].count(b"\x10DequantizeLinear") == 2 * count and b"QuantizeLinear" not in onnx["x-f32"],
    "export writes each convolution with scales between QuantizeLinear and DequantizeLinear")
say(len(onnx["x-int8"]) < 0.4 * len(onnx["x-f32"]), "and its kernels as bytes", {k: len(v) for k, v in onnx.items()})


# --- refusals
def refused(args, status, *words, what):
    p = run(*args, status=None)
    say(p.returncode == status and all(x in p.stderr for x in words), what, (p.returncode, p.stderr[-600:]))


answer = ("evaluate", "--patches", patches, "--bootstrap", 0, "--precision", "int8")
refused(answer + ("--model", "net", "--out", "x"), 65, "holds no scales", "quantize", what="a checkpoint without scales, and what to do")
refused(answer + ("--model", "q", "--out", "x", "--weights", "last"), 66, "last.safetensors", what="weights that it does not hold")
refused(answer + ("--model", "q", "--out", "x", "--device", "cuda"), 64, "on the CPU", what="int8 on a device")
refused(("skullstrip-normalize", "--scans", "s", "--manifest", "m.json", "--out", "x", "--precision", "int8"), 64, "precision", what="a stage that has no such precision")
manifest("other.json", roles=("flair", "t1ce"), split={"seed": 1, "test": 0, "folds": 2, "subjects": {"s%d" % i: "test" for i in range(6)}})
tests_only = prepare("c2", "s", "other.json")
shutil.copytree("net", "alone", ignore=shutil.ignore_patterns(".lineage"))
j = load("alone/checkpoint.json")
j["subjects"] = {"train": [], "validation": [], "test": []}
json.dump(j, open("alone/checkpoint.json", "w"))
refused(("quantize", "--model", "alone", "--patches", patches, "--out", "x"), 65, "validation subject", "--subjects any", what="nobody to look at, and what to do")
refused(("quantize", "--model", "alone", "--patches", tests_only, "--out", "x", "--subjects", "any"), 65, "validation subject", what="test subjects are never looked at")
manifest("unsplit.json", split={"seed": 1, "test": 0, "folds": 2, "subjects": {"s%d" % i: i % 2 for i in range(6)}})
run("quantize", "--model", "net", "--patches", prepare("c3", "s", "unsplit.json"), "--out", "q-net", "--subjects", "any")
say("s5" not in load("q-net/checkpoint.json")["int8"]["subjects"], "nor a test subject of the checkpoint whom the containers do not call one")
run("quantize", "--model", "alone", "--patches", patches, "--out", "q-any", "--subjects", "any")
say(load("q-any/checkpoint.json")["int8"]["subjects"] == ["s0", "s1", "s2", "s3", "s4"], "any subject but those kept for testing")


run("train", "--patches", patches, "--out", "narrow", "--fold", 1, "--model", "meshnet", "--network", '{"channels": 5}', "--patch", 16, "--steps", 1, "--validate-every", 1)
refused(("quantize", "--model", "narrow", "--patches", patches, "--out", "x"), 65, "eight channels", what="a network that is too narrow")


# --- bf16 on the CPU
for out, env in (("b1", {"VOXTRAIL_THREADS": "1"}), ("b3", {"VOXTRAIL_THREADS": "3", "VOXTRAIL_ISA": "portable"})):
    run("predict", "--model", "net", "--scans", "s", "--manifest", "m.json", "--out", out, "--probabilities", "true", "--overlap", 0.25, "--precision", "bf16", env=env)
say(all(open("b1/s%d/%s.nii.gz" % (i, f), "rb").read() == open("b3/s%d/%s.nii.gz" % (i, f), "rb").read() for i in range(6) for f in ("seg", "probability-WT")),
    "bf16 has the same bytes with 1 and 3 threads and with portable C")
far = [np.abs(np.asarray(nib.load("b1/s%d/probability-WT.nii.gz" % i).dataobj) - np.asarray(nib.load("pf/s%d/probability-WT.nii.gz" % i).dataobj)).max() for i in range(6)]
say(0 < max(far) < 0.1, "its probabilities are near those of f32, and others", far)
say(["bf16"] == [n["device"]["precision"] for n in (load(f)["notes"] for f in glob.glob("b1/.lineage/*/record.json")) if "device" in n], "the record says bf16")
run("evaluate", "--model", "net", "--patches", patches, "--subjects", "all", "--out", "e-bf16", "--bootstrap", 0, "--overlap", 0.25, "--precision", "bf16")
near = [v["dice"] for v in load("e-bf16/metrics.json")["mean"].values()]
say(max(abs(a - b) for a, b in zip(dice["e-f32"], near)) < 0.02, "evaluate in bf16 is near f32", near)
refused(answer[:-1] + ("fp16", "--model", "net", "--out", "x"), 64, "f32, bf16 or int8", what="a precision that the CPU has not")


def tampered(change, *words, what):
    shutil.rmtree("t", ignore_errors=True)
    shutil.copytree("q", "t", ignore=shutil.ignore_patterns(".lineage"))
    j = copy.deepcopy(made)
    change(j["int8"], j["int8"]["layers"], next(iter(j["int8"]["layers"])))
    json.dump(j, open("t/checkpoint.json", "w"))
    refused(answer + ("--model", "t", "--out", "x"), 65, *words, what="tampered: " + what)


def put(layer, key, value):
    layer[key] = value


tampered(lambda i, l, k: put(l[k], "scale", -1), "scale must be", what="a negative scale")
tampered(lambda i, l, k: put(l[k], "scale", "1"), "scale must be", what="a scale that is no number")
tampered(lambda i, l, k: put(l[k], "zero", 300), "0 to 255", what="a zero beyond eight bits")
tampered(lambda i, l, k: l[k]["weights"].pop(), "outputs", what="a weight's scale too few")
tampered(lambda i, l, k: put(l[k]["weights"], 0, 1e300), "each of weights", what="a weight's scale without bounds")
tampered(lambda i, l, k: put(l[k]["weights"], 0, 2 * l[k]["weights"][0]), "not of these weights", what="a weight's scale of other weights")
tampered(lambda i, l, k: l.pop(k), "none of", what="a convolution without scales")
tampered(lambda i, l, k: put(l, "more", l[k]), "convolutions", what="scales of no convolution")
tampered(lambda i, l, k: put(i, "layers", []), "/int8/layers", what="scales that are a list")
tampered(lambda i, l, k: put(i, "weights", "last"), "not of", what="scales of other weights")
say(os.listdir("x") == [".lineage"], "nothing was written where something was refused")
