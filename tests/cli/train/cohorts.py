"""Several cohorts in one training: each step is of one cohort, a head learns from its own alone, the encoder from all; the encoder then
goes on under the decoder of three transposed groups; what cannot be is refused."""
import json, os, subprocess
from _checks import run, say

T, ROOT = os.environ["T"], os.environ["ROOT"]
os.chdir(T)


def tensors(path):
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[:8], "little")
    return {k: raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]] for k, v in json.loads(raw[8:8 + n]).items() if k != "__metadata__"}


def refused(*args):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True)


embedded = json.load(open(ROOT + "/manifests/embedded.json"))
for name, role, regions, spacing in (("a", "t1", [{"name": "WT", "values": [1, 2, 4]}], 4),
                                     ("b", "flair", [{"name": "core", "values": [1, 4]}, {"name": "edema", "values": [2]}], 5)):
    m = dict(embedded, name=name, channels=[c for c in embedded["channels"] if c["role"] == role], regions=regions, spacing_mm=[spacing] * 3)
    json.dump(m, open(name + ".json", "w"))
    run("make-cohort", "--out", "c" + name, "--subjects", 3, "--seed", 4 if name == "a" else 9, "--coarse")
    run("skullstrip-normalize", "--scans", "c%s/scans" % name, "--manifest", name + ".json", "--normalize", "clip-zscore", "--out", "n" + name)
    run("crop-patch", "--normed", "n" + name, "--labels", "c%s/labels" % name, "--manifest", name + ".json", "--out", "p" + name)

common = ["--model", "med3d-resnet", "--network", '{"depth":"10","width":16}', "--activation", "softmax", "--patch", 16, "--fold", -1, "--warmup", 0, "--foreground", 1,
          "--pad", "true", "--learning-rate", 0.01]
two = ["train", "--patches", "pa", "--patches", "pb", *common, "--steps", 3, "--validate-every", 3]
for last in (1, 2, 3):
    run(*two, "--last-step", last, "--out", "t%d" % last)
w = [tensors("t%d/last.safetensors" % k) for k in (1, 2, 3)]
same = [{k for k in w[0] if x[k] == y[k]} for x, y in zip(w, w[1:])]
heads = [{k for k in w[0] if k.startswith("branch.%d." % b)} for b in (0, 1)]
say(heads[0] and heads[1] and heads[0] <= same[0] and not heads[1] & same[0], "a step of the second cohort moves its head and leaves the first one's bits")
say(heads[1] <= same[1] and not heads[0] & same[1], "a step of the first cohort moves its own and leaves the second one's")
say("conv1.weight" not in same[0] | same[1] and "layer4.0.conv2.weight" not in same[0] | same[1], "both move the encoder")
c = json.load(open("t3/checkpoint.json"))
say(c["model"]["params"]["branch_outputs"] == [2, 3] and [x["regions"] for x in c["cohorts"]] == [["WT"], ["core", "edema"]]
    and len(c["subjects"]["train"]) == sum(len(x["train"]) for x in c["cohorts"]), "the checkpoint names cohorts, their regions and subjects", c["model"])
one = sorted(os.listdir("ca/scans"))[0]
os.makedirs("one")
os.rename("ca/scans/" + one, "one/" + one)
run("predict", "--model", "t3", "--scans", "one", "--manifest", "a.json", "--overlap", 0, "--probabilities", "true", "--out", "maps")
say(sorted(n for n in os.listdir("maps/" + one) if n.endswith(".nii.gz")) == ["probability-WT.nii.gz", "seg.nii.gz"], "predict answers with the first cohort's head", os.listdir("maps"))
run("train", "--patches", "pa", "--patches-2", "pb", *common, "--steps", 3, "--validate-every", 3, "--out", "again")
say(open("again/last.safetensors", "rb").read() == open("t3/last.safetensors", "rb").read(), "--patches twice is --patches-2; the same bytes again")
run("train", "--patches", "pa", "--patches", "pb", *common, "--steps", 6, "--validate-every", 6, "--sampling", "proportional", "--out", "share")
log = run("train", "--patches", "pb", *common[:3], '{"depth":"10","width":16,"head":"decoder"}', *common[4:], "--steps", 1, "--previous", "t3", "--reinitialize", "branch,decoder",
          "--pretrained-rate-factor", 0.1, "--allow", "channels,regions,settings,spacing_mm,crop", "--out", "lung")
say('"matched":' in log.replace(" ", "") or "matched=" in log, "the encoder goes on under the decoder of transposed convolutions", log[-400:])
p = json.load(open("lung/checkpoint.json"))["model"]
say(p["params"]["head"] == "decoder" and p["parameters"] == 902416 + 1937091, "with its parameters", p)
q = subprocess.run([str(1 if a == -1 else a) for a in two] + ["--out", "no"], capture_output=True, text=True)
say(q.returncode == 64 and "without validation" in q.stderr, "refused: a fold for validation", q.stderr[-300:])
q = subprocess.run([str(a) for a in two[:5]] + ["--patch", "16", "--fold", "-1", "--steps", "1", "--activation", "softmax", "--out", "no2"], capture_output=True, text=True)
say(q.returncode == 64 and "med3d-resnet" in q.stderr, "refused: a network without heads for several", q.stderr[-300:])
q = refused("train", "--patches", "pa", *common[:2], "--network", '{"depth":"10","branches":3}', *common[4:], "--steps", 1, "--out", "n3")
say(q.returncode == 64 and "3 cohorts, and 1 is given" in q.stderr and "untrained" in q.stderr, "refused: heads for cohorts that are not given", q.stderr[-300:])
q = refused(*two[:5], *common[:2], "--network", '{"depth":"10","branches":2}', *common[4:], "--steps", 1, "--out", "n4")
say(q.returncode == 64 and "leave it out" in q.stderr, "refused: a number of heads beside several cohorts", q.stderr[-300:])
