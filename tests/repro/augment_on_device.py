# --augment with --device cuda, by the emulated plugin (GPU_PLUGIN: another, for a real card): each kind alone gives the CPU's losses and weights up to rounding, and
# another run than no augmentation; all together are the same bytes twice, and after a kill. Patches are drawn on the CPU either way.
import csv, glob, hashlib, json, os, subprocess, sys, time
import numpy as np

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
sys.path.insert(0, ROOT + "/tests/tools")
from patches import container
from _checks import say as check

STEPS = 2
ONE = {"rotate": {"range": [-30, 30]}, "zoom": {"range": [0.7, 1.4]}, "translate": {"range": [-6, 6]}, "elastic": {"range": [0.5, 1], "grid": 8}, "flip": {}, "rotate90": {}, "swap": {},
       "scale": {"range": [0.5, 1.5]}, "shift": {"range": [-1, 1]}, "noise": {"range": [0.1, 0.5], "relative": True}, "gamma": {"range": [0.5, 2.5], "keep": True},
       "contrast": {"range": [0.5, 1.5]}, "blur": {"range": [0.5, 1]}, "lowres": {"range": [0.5, 0.8]}, "drop": {}}
known = open(ROOT + "/docs/training.md").read()
check(all("`%s`" % k in known for k in ONE), "every kind here has its line in docs/training.md")


def args(name, augment, *more):
    return [B + "/bin/train", "--patches", T + "/patches", "--out", f"{T}/{name}", "--network", '{"init_filters": 8}', "--patch", "8", "--steps", str(STEPS), "--validate-every", "1",
            "--save-every", "1", "--fold", "-1", "--precision", "f32", "--foreground", "1", "--augment", json.dumps(augment), *more]


ENV = {**os.environ, "VOXTRAIL_PLUGIN": os.environ.get("GPU_PLUGIN", B + "/tests/libvoxtrail-emulated.so")}


def train(*a):
    return subprocess.run(args(*a), capture_output=True, text=True, env=ENV)


def losses(name):
    return [float(r["loss"]) for r in csv.DictReader(open(f"{T}/{name}/history.csv"))]


def weights(name):
    b = open(f"{T}/{name}/last.safetensors", "rb").read()
    return np.frombuffer(b[8 + int.from_bytes(b[:8], "little"):], "<f4")


manifest = json.load(open(ROOT + "/manifests/embedded.json"))
for i in range(2):
    container(f"{T}/patches/s{i}/subject.vtp", f"s{i}", i, manifest, i)
on = ["--device", "cuda"]
train("none", [{"name": "scale", "p": 0, "range": [1, 1]}])
for kind, keys in ONE.items():
    r, q = train(kind, [{"name": kind, **keys}], *on), train(kind + "-cpu", [{"name": kind, **keys}])
    if r.returncode or q.returncode:
        check(False, f"{kind} on the device", r.stderr[-300:] + q.stderr[-300:])
        continue
    gap = np.linalg.norm(weights(kind) - weights(kind + "-cpu")) / np.linalg.norm(weights(kind + "-cpu"))
    first = np.abs(np.subtract(losses(kind), losses(kind + "-cpu"))).max()
    check(gap < 2e-3 and first < 1e-3 and losses(kind + "-cpu") != losses("none"), f"{kind}: on the device as on the CPU", (gap, losses(kind), losses(kind + "-cpu"), losses("none")))

everything = [{"p": 0.9, "of": [{"name": k, "p": 0.7, **v} for k, v in ONE.items()]}]
digest = lambda name: hashlib.sha256(open(f"{T}/{name}/last.safetensors", "rb").read()).hexdigest()
r = train("all", everything, *on)
train("all-cpu", everything)
gap = np.linalg.norm(weights("all") - weights("all-cpu")) / np.linalg.norm(weights("all-cpu"))
check(r.returncode == 0 and gap < 2e-3, "all kinds in one list: as on the CPU", (gap, r.stderr[-300:]))
STEPS = 40
train("long", everything, *on)
scratch = ["--scratch", T + "/scratch"]
p = subprocess.Popen(args("killed", everything, *on, *scratch), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENV)
while p.poll() is None and not glob.glob(T + "/scratch/**/state.safetensors", recursive=True):
    time.sleep(0.01)
running = p.poll() is None
p.kill()
p.wait()
r = train("killed", everything, *on, *scratch)
check(running and r.returncode == 0 and digest("killed") == digest("long"), "killed and resumed on the device: the same bytes", (running, r.stderr[-300:]))
