# What train does with its params and with what goes wrong while it trains: exit statuses, messages, --plan, history, transfer.
import csv, glob, json, os, re, subprocess, sys

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
sys.path.insert(0, ROOT + "/tests/tools")
from patches import container
from _checks import say as check


def train(name, *more, **env):
    args = {"--patches": T + "/patches", "--patch": "16", "--network": '{"init_filters": 8}', "--steps": "6", "--validate-every": "6"}
    for k, v in zip(more[::2], more[1::2]):
        args[k] = v
    flat = [x for kv in args.items() for x in kv if x != ""]
    return subprocess.run([B + "/bin/train", "--out", f"{T}/{name}", *flat], capture_output=True, text=True, env={**os.environ, **env})


def losses(name):
    return [float(r["loss"]) for r in csv.DictReader(open(f"{T}/{name}/history.csv"))]


manifest = json.load(open(ROOT + "/manifests/embedded.json"))
for i in range(3):
    container(f"{T}/patches/s{i}/subject.vtp", f"s{i}", i % 2, manifest, i)

r = train("unused", "--plan", "")
check(r.returncode == 0 and not os.path.exists(T + "/unused") and re.search(r"\d+ parameters|parameters", r.stdout) and "MiB" in r.stdout,
      "--plan: prints and writes nothing", r.stdout + r.stderr)
check(r.stdout.index("total ") < r.stdout.index("layer "), "--plan: the sum comes first, then the table", r.stdout[:300])
big = train("unused", "--plan", "", "--batch", "4").stdout
check(r.stdout != big, "--plan depends on the batch")

check(train("whole").returncode == 0 and train("again", "--recompute", "false").returncode == 0
      and open(T + "/whole/last.safetensors", "rb").read() == open(T + "/again/last.safetensors", "rb").read(), "with and without --recompute: the same weights")
check(train("middle", "--center-sd", "0.05").returncode == 0 and open(T + "/middle/last.safetensors", "rb").read() != open(T + "/whole/last.safetensors", "rb").read(), "--center-sd: other patches")
plan = json.load(open(T + "/whole/checkpoint.json"))["plan"]
check(f"plan {plan}" in train("unused", "--plan", "").stdout, "the checkpoint names the plan that --plan shows", plan)
r = train("small", "--memory-limit", "1")
check(r.returncode == 71 and re.search(r"\d+", r.stderr) and not os.path.exists(T + "/small/best.safetensors"), "a plan beyond --memory-limit is refused with the number", (r.returncode, r.stderr))

def tensors(name):
    raw = open(f"{T}/{name}/last.safetensors", "rb").read()
    n = int.from_bytes(raw[:8], "little")
    return {k: raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]] for k, v in json.loads(raw[8:8 + n]).items() if k != "__metadata__"}


check(train("frozen", "--previous", T + "/whole", "--reinitialize", "conv_final", "--pretrained-rate-factor", "0", "--seed", "9").returncode == 0, "train from a checkpoint, its head left")
a, b = tensors("whole"), tensors("frozen")
moved = sorted(k for k in a if a[k] != b[k])
check(moved and all(k.startswith("conv_final") for k in moved), "transfer_rate 0: only what was left moves", moved)
check(train("slow", "--previous", T + "/whole", "--pretrained-rate-factor", "0.1").returncode == 0 and train("fast", "--previous", T + "/whole").returncode == 0
      and all(tensors("slow")[k] != tensors("fast")[k] for k in a if k.endswith("conv.weight")), "transfer_rate 0.1 is another run")
r = train("partial", "--previous", T + "/whole", "--network", '{"init_filters": 16}')
check(r.returncode == 65 and "last.safetensors" in r.stderr, "weights of another network are refused", r.stderr)
os.makedirs(T + "/two")
for n in "ab":
    open(f"{T}/two/{n}.pth", "wb").write(b"x")
r = train("two-files", "--previous", T + "/two")
check(r.returncode == 65 and "more than one" in r.stderr, "two files of weights: which one is not guessed", r.stderr)

for recipe in sorted(p for p in glob.glob(ROOT + "/pipelines/recipes/**/*.json", recursive=True) if '"model":' in open(p).read()):
    r = subprocess.run([B + "/bin/train", "--patches", T + "/patches", "--recipe", recipe, "--plan"], capture_output=True, text=True)
    check(r.returncode == 0 and "MiB" in r.stdout, f"{recipe[len(ROOT) + 19:]} names a network and params that exist", r.stderr)

r = train("wide", "--patch", "32")
check(r.returncode == 65 and "s" in r.stderr and "--pad true" in r.stderr and "32" in r.stderr, "a patch larger than a volume is 65 and says what to do", r.stderr)
r = train("padded", "--patch", "32", "--pad", "true", "--steps", "1")
check(r.returncode == 0, "--pad true surrounds it with zeros", r.stderr)

r = train("box", "--patch", "16,24,8", "--steps", "1")
check(r.returncode == 0 and json.load(open(T + "/box/checkpoint.json"))["patch"] == [16, 24, 8], "a patch with three edges", r.stderr)
for bad in ("16,16", "x", "4", "16,16,16,16", "16 16 16"):
    check(train("bad", "--patch", bad).returncode == 64, f"--patch '{bad}' is 64")

r = train("nan", "--learning-rate", "10", "--optimizer", "sgd", "--weight-decay", "0", "--steps", "200", "--warmup", "0", "--schedule", "constant", "--momentum", "0.99",
          "--cross-entropy", "100")
check(r.returncode == 70 and re.search(r"step \d+", r.stderr) and "finite" in r.stderr and "--learning-rate" in r.stderr, "a diverging run is 70 with step and advice", (r.returncode, r.stderr))
check(not os.path.exists(T + "/nan/best.safetensors"), "a diverging run leaves no checkpoint")

r = train("bad", "--network", '{"filters": 8}')
check(r.returncode == 64 and "filters" in r.stderr and "init_filters" in r.stderr, "an unknown param of the network is 64 and the known ones are listed", r.stderr)
r = train("bad", "--network", '{"init_filters": 8')
check(r.returncode == 64 and "--network" in r.stderr, "a param that is no JSON is 64", r.stderr)
r = train("bad", "--model", "resnet51")
check(r.returncode == 64 and "resnet51" in r.stderr and "segresnet" in r.stderr, "an unknown network is 64 and the known ones are listed", r.stderr)
r = train("bad", "--dice", "0")
check(r.returncode == 64 and "loss" in r.stderr, "no loss at all is 64", r.stderr)
r = train("bad", "--output-weights", "[1, 1, 1]")
check(r.returncode == 64 and "3" in r.stderr, "more weights than outputs is 64", r.stderr)

still = ("--flips", "false", "--scale", "0", "--shift", "0")
check(train("batch", "--batch", "2", *still).returncode == 0 and train("passes", "--accumulate", "2", *still).returncode == 0
      and abs(losses("batch")[0] - losses("passes")[0]) < 1e-6, "two passes of one patch are a batch of two")
check(train("swa", "--averaging", "swa", "--swa-start", "2", "--swa-interval", "2").returncode == 0
      and open(T + "/swa/best.safetensors", "rb").read() != open(T + "/swa/last.safetensors", "rb").read(), "swa: best is the mean, last the trained weights")
r = train("overlap", "--activation", "softmax", "--steps", "1")
check(r.returncode == 65 and "WT and TC" in r.stderr and "sigmoid" in r.stderr, "softmax on regions that overlap is 65, names two and says what to do", r.stderr)
r = train("nofold", "--fold", "7", "--steps", "1")
check(r.returncode == 65 and "0 to 4" in r.stderr and "-1" in r.stderr, "a fold that the manifest does not have is 65", r.stderr)
alone = dict(manifest, regions=[{"name": "edema", "values": [2]}, {"name": "core", "values": [1]}, {"name": "ET", "values": [4]}])
for i in range(3):
    container(f"{T}/exclusive/s{i}/subject.vtp", f"s{i}", i % 2, alone, i)
r = train("soft", "--patches", T + "/exclusive", "--activation", "softmax", "--generalized-dice", "1", "--focal", "0.5", "--steps", "30", "--validate-every", "30")
c = json.load(open(T + "/soft/checkpoint.json")) if r.returncode == 0 else {}
check(c.get("activation") == "softmax" and c["model"]["parameters"] > 0, "softmax is in the checkpoint", r.stderr)
container(f"{T}/whole_patches/a/subject.vtp", "a", 0, manifest, 1)
container(f"{T}/whole_patches/b/subject.vtp", "b", 1, manifest, 2)
PLAIN = ["--patches", T + "/whole_patches", "--patch", "24", "--flips", "false", "--shift", "0", "--scale", "0", "--steps", "1", "--validate-every", "1"]
once = []
for drop in (0, 0.5):
    for rounds in (1, 2):
        name = f"rounds{rounds}{drop}"
        r = train(name, *PLAIN, "--network", json.dumps({"init_filters": 8, "dropout": drop}), "--accumulate", str(rounds))
        once.append(losses(name)[0] if r.returncode == 0 else r.stderr)
check(len(set(once[:2])) == 1 and len(set(once[1:])) == 3, "two passes over one patch: the same loss without dropout, other masks with it", once)
