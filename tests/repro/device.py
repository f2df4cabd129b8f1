# A training run on a device, by the emulated plugin (GPU_PLUGIN: another, for a real card): the same bytes each time and after a kill, close to the CPU's run; the record
# and the checkpoint name the device; predict and evaluate's session runs there as well.
import csv, glob, hashlib, json, os, re, subprocess, sys, time
import numpy as np

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
sys.path.insert(0, ROOT + "/tests/tools")
from patches import container, last_of_each
from _checks import say as check


def start(name, *more):
    args = [B + "/bin/train", "--patches", T + "/patches", "--out", f"{T}/{name}", "--network", '{"init_filters": 8}', "--patch", "8", "--steps", "12",
            "--validate-every", "12", "--save-every", "1", "--max-validation", "1", *more]
    plugin = os.environ.get("GPU_PLUGIN", B + "/tests/libvoxtrail-emulated.so")
    return subprocess.Popen(args[:1] + last_of_each(args[1:]), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "VOXTRAIL_PLUGIN": plugin})


def train(name, *more):
    p = start(name, *more)
    out, err = p.communicate()
    return subprocess.CompletedProcess(p.args, p.returncode, out, err)


def saved(scratch):
    """When the state was last saved, 0 if never."""
    try:
        return max([os.stat(p).st_mtime_ns for p in glob.glob(scratch + "/**/state.safetensors", recursive=True)], default=0)
    except FileNotFoundError:
        return 0


def killed(name, *more):
    """Runs to its end, killed thrice before that, each time when it has saved at least two states more; how often it was."""
    scratch, n = f"{T}/scratch-{name}", 0
    more = [*more, "--scratch", scratch]
    for _ in range(3):
        p, seen, last = start(name, *more), 0, saved(scratch)
        while p.poll() is None and seen < 2:
            time.sleep(0.01)
            seen, last = seen + (saved(scratch) != last), saved(scratch)
        if p.poll() is None:
            p.kill()
            n += 1
        p.communicate()
    train(name, *more)
    return n


def digest(name):
    return {os.path.basename(p): hashlib.sha256(open(p, "rb").read()).hexdigest() for p in glob.glob(f"{T}/{name}/*") if os.path.isfile(p)}


def weights(name):
    b = open(f"{T}/{name}/last.safetensors", "rb").read()
    n = int.from_bytes(b[:8], "little")
    return np.frombuffer(b[8 + n:], "<f4")


def losses(name):
    return [float(r["loss"]) for r in csv.DictReader(open(f"{T}/{name}/history.csv"))]


manifest = json.load(open(ROOT + "/manifests/embedded.json"))
for i in range(2):
    container(f"{T}/patches/s{i}/subject.vtp", f"s{i}", i, manifest, i)

on = ["--device", "cuda"]
r = train("a", *on)
check(r.returncode == 0, "train --device cuda runs on the plugin", r.stderr)
train("b", *on)
check(digest("a") and digest("a") == digest("b"), "twice: the same bytes", (digest("a"), digest("b")))
n = killed("c", *on)
check(n > 0 and digest("c") == digest("a"), f"killed {n} times and resumed: the same bytes", n)
train("f", *on, "--precision", "f32")
train("cpu")
train("hostdraw", *on, "--precision", "f32", "--drop-channel", "0.3")
train("cpudraw", "--drop-channel", "0.3")
gap = np.linalg.norm(weights("hostdraw") - weights("cpudraw")) / np.linalg.norm(weights("cpudraw"))
check(gap < 2e-3, "patches drawn on the device, channels dropped, are the CPU's", gap)
far = np.linalg.norm(weights("f") - weights("cpu")) / np.linalg.norm(weights("cpu"))
check(far < 2e-3, "f32 on the device stays near the CPU's weights", far)
check(abs(losses("a")[-1] - losses("cpu")[-1]) < 0.05, "bf16 on the device reaches the CPU's loss", (losses("a"), losses("cpu")))
c = json.load(open(T + "/a/checkpoint.json"))
check(c["precision"] == "bf16" and c["device"]["name"] == "cuda" and c["device"]["card"], "the checkpoint names device and precision", c.get("device"))
check(json.load(open(T + "/cpu/checkpoint.json"))["precision"] == "f32" and not os.path.exists(T + "/cpu/engines.json"), "the CPU's checkpoint is as before")
check(os.path.exists(T + "/a/engines.json"), "engines.json is written")
notes = [json.load(open(p)).get("notes", {}) for p in glob.glob(T + "/a/.lineage/**/*.json", recursive=True)]
check(any(x.get("device", {}).get("precision") == "bf16" for x in notes if isinstance(x, dict)), "the record names the device", notes)
r = train("p", "--precision", "tf32")
check(r.returncode == 64 and "the CPU computes in f32 or bf16" in r.stderr, "a precision that the CPU does not have is refused", r.stderr)
r = train("q", *on, "--precision", "fp16")
check(r.returncode == 0 and abs(losses("q")[-1] - losses("cpu")[-1]) < 0.05, "fp16 with its scaled gradients", r.stderr)

# one planner: what --plan says is what the device takes and what a limit is held against
def plan(*more):
    text = train("plan", "--plan", *more).stdout
    return float(re.search(r"total ([0-9.]+) MiB", text).group(1)), re.search(r"plan ([0-9a-f]{16})", text).group(1)


there, digest_there = plan(*on)
check(c["plan"] == digest_there, "the checkpoint names the device's plan", (c["plan"], digest_there))
large = ["--patch", "32"]
low, here, kept = plan(*on, *large)[0], plan(*large)[0], plan(*on, *large, "--recompute", "false")[0]
check(low < here and low < kept, "values of two bytes take less, recomputing less still", (low, here, kept))
r = train("limit", *on, "--memory-limit", "1")
check(r.returncode == 71 and f"needs {there:.1f} MiB" in r.stderr and "patch of about" in r.stderr or "use fewer filters" in r.stderr, "a limit on the device names the plan's size", r.stderr)
train("kept", *on, "--recompute", "false")
check(weights("kept").tobytes() == weights("a").tobytes(), "recomputing gives the same bits", "they differ")

# every option together: near the CPU's run, and from state that a kill left
options = ["--noise", "0.1", "--accumulate", "2", "--optimizer", "ranger", "--centralize-gradients", "true", "--lookahead-steps", "2", "--averaging", "ema", "--ema-decay",
           "0.8", "--clip-norm", "0.1", "--previous", T + "/cpu", "--reinitialize", "conv_final", "--pretrained-rate-factor", "0.3"]
train("all", *on, "--precision", "f32", *options)
train("allcpu", *options)
gap = np.linalg.norm(weights("all") - weights("allcpu")) / np.linalg.norm(weights("allcpu"))
check(gap < 2e-3, "every option together stays near the CPU's weights", gap)
n = killed("allkilled", *on, "--precision", "f32", *options)
check(n > 0 and digest("allkilled") == digest("all"), f"every option together, killed {n} times: the same bytes", n)

# levels that change: sessions of their own, weights and moments go with them
os.makedirs(T + "/levels", exist_ok=True)
changes = [(3, "f32", "bf16"), (6, "bf16", "fp16"), (9, "fp16", "f32")]
with open(T + "/levels/precision.jsonl", "w") as f:
    for step, old, new in changes:
        f.write(json.dumps({"from": old, "inputs": {}, "rule": "calm", "step": step, "to": new}) + "\n")
auto = [*on, "--precision", "auto", "--averaging", "ema", "--ema-decay", "0.8"]
r = train("auto", *auto, "--replay", T + "/levels")
lines = [json.loads(x) for x in open(T + "/auto/precision.jsonl")] if r.returncode == 0 else []
check([(x["step"], x["from"], x["to"]) for x in lines] == changes, "three levels on the device, changed where a replay says", r.stderr)
n = killed("autokilled", *auto, "--replay", T + "/levels")
check(n > 0 and digest("autokilled") == digest("auto"), f"changing levels, killed {n} times: the same bytes", n)
check(abs(losses("auto")[-1] - losses("cpu")[-1]) < 0.05, "changing levels reaches the CPU's loss", (losses("auto"), losses("cpu")))
r = train("calm", *on, "--precision", "auto")
check(r.returncode == 0 and np.array_equal(weights("calm"), weights("f")), "auto that has not changed yet is f32 to the bit", r.stderr)
