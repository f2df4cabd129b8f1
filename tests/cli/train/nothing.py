"""Nothing trains silently into nothing: what cannot be learned is refused with a reason, what will probably not be is a warning that
names it.  The embedded cohort on a grid of 4 mm, through the stages."""
import glob, json, os, shutil, subprocess
import nibabel as nib
from _checks import run, say

T, ROOT = os.environ["T"], os.environ["ROOT"]
os.chdir(T)
run("make-cohort", "--out", "c", "--subjects", "3", "--seed", "7", "--coarse")
base = json.load(open(ROOT + "/manifests/embedded.json"))
base.update(spacing_mm=[4, 4, 4], split={"seed": 1, "folds": 3, "subjects": {"sub-001": 0, "sub-002": 1, "sub-003": "test"}})
ghost = {"name": "ghost", "values": [9]}
label = dict(base["label"], values=dict(base["label"]["values"], **{"9": "ghost"}))


def patches(name, labels="c/labels", **change):
    json.dump(dict(base, **change), open(name + ".json", "w"))
    run("crop-patch", "--normed", "n", "--labels", labels, "--manifest", name + ".json", "--out", name)


json.dump(base, open("base.json", "w"))
run("skullstrip-normalize", "--scans", "c/scans", "--manifest", "base.json", "--out", "n")
patches("plain")
patches("some", regions=base["regions"][:1] + [ghost], label=label)
patches("none", regions=[ghost], label=label)
patches("all-test", split={"seed": 1, "folds": 2, "subjects": dict.fromkeys(("sub-001", "sub-002", "sub-003"), "test")})
shutil.copytree("c/labels", "healthy")
for path in glob.glob("healthy/sub-002/*"):
    img = nib.load(path)
    nib.save(nib.Nifti1Image(img.get_fdata().astype("u1") * 0, img.affine), path)
patches("healthy-validation", "healthy")
SMALL = {"--model": "meshnet", "--network": '{"channels": 4, "dilations": [1, 2], "norm": "none"}', "--patch": "8", "--steps": "2", "--validate-every": "2", "--fold": "1"}


def train(what, want, said, *more, event=None, silent=(), **also):
    args = dict(SMALL, **dict(zip(more[::2], more[1::2])))
    args.setdefault("--patches", "plain")
    args.setdefault("--out", "out-%d" % len(os.listdir(".")))
    p = subprocess.run(["train"] + [w for pair in args.items() for w in pair], capture_output=True, text=True)
    lines = [json.loads(l) for l in p.stderr.splitlines() if l.startswith("{")]
    warned = [l for l in lines if l["level"] == "warn"]
    good = p.returncode == want and (said in p.stderr if event is None else [said in json.dumps(l) for l in warned if l["event"] == event] == [True])
    say(good and not [l for l in warned if l["event"] in silent], what, (p.returncode, p.stderr[-700:]))
    return args["--out"]


ALL = ("absent-region", "region-in-no-patch", "nothing-learned", "empty-validation")
train("regions that overlap under softmax: 65", 65, "WT and TC of manifest embedded share a label value", "--activation", "softmax")
train("a label value that no label map has, as the only region: 65", 65, "none of the 1 subjects to train on has a voxel of a region (ghost)", "--patches", "none")
train("a label value that no label map has, beside another region: a warning names it", 0, '"regions": "ghost"', "--patches", "some", event="absent-region", silent=("region-in-no-patch",))
train("regions that no patch held: a warning names them", 0, "ET", "--foreground", "0", event="region-in-no-patch", silent=("absent-region",))
first = train("a training that has everything is not warned of regions", 0, '"event":"sealed"', "--foreground", "1", "--patch", "32", silent=ALL[:2])
train("a rate too high: 70, with the step and the weight", 70, "the loss is not finite; the last good state", "--network", '{"channels": 8, "dilations": [1, 1, 1, 2, 4], "norm": "none", "act": "elu"}', "--learning-rate", "10", "--optimizer", "sgd", "--momentum", "0.99", "--warmup", "0", "--dice", "0", "--cross-entropy", "100", "--steps", "60")
train("weights that answer with a constant: a warning", 0, "no better than no answer", "--dice", "0", "--tversky", "1", "--tversky-alpha", "10", "--tversky-beta", "0", "--warmup", "0",
      "--learning-rate", "0.1", "--steps", "60", "--validate-every", "60", event="nothing-learned")
train("nobody validated has a region: that is the warning, not that nothing was learned", 0, "no voxel of a region", "--patches", "healthy-validation", event="empty-validation", silent=ALL[2:3])
train("without validation no Dice is logged", 0, '"event":"validate","step":2,"loss":', "--fold", "-1", silent=ALL[2:])
train("every weight frozen: 64", 64, "freezes every weight", "--previous", first, "--pretrained-rate-factor", "0")
train("a part of them frozen is a training", 0, '"event":"sealed"', "--previous", first, "--pretrained-rate-factor", "0", "--reinitialize", "model.2")
train("a prediction without a loss: 64", 64, "output 0 is the prediction", "--output-weights", "[0]")
train("a fold with nobody in it: a warning, and the last weights are kept", 0, "nobody is in this fold", "--fold", "2", event="no-validation", silent=ALL[2:])
train("a fold that the manifest does not have: 65", 65, "has folds 0 to 2", "--fold", "3")
train("nobody left to train on: 65", 65, "no labeled subject is left to train on", "--patches", "all-test", "--fold", "0")
