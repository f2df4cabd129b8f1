"""Stages on the plugin's own host code over the checked stand-in of a card: the emulated device's files to the byte,
engine plans that are repeated or refused, a stop in the middle, and calls of the runtime that fail: the right status, a
message, and nothing half written."""
import glob, hashlib, json, os, signal, subprocess, sys, time

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
sys.path.insert(0, ROOT + "/tests/tools")
from patches import container

mock, emulated = B + "/tests/libvoxtrail-mock.so", B + "/tests/libvoxtrail-emulated.so"
if not os.path.exists(mock):
    print("skip - stages on a stand-in of the CUDA runtime: it was not built (no nvcc, or CUDA=0)")
    sys.exit(0)
failed = 0


def check(ok, what, why=""):
    global failed
    failed += not ok
    print(("ok - " if ok else "not ok - ") + what + ("" if ok else ": " + str(why)[-700:]))


def args(name, *more):
    return [B + "/bin/train", "--log", "text", "--patches", T + "/patches", "--out", f"{T}/{name}", "--network",
            '{"init_filters": 8}', "--patch", "8", "--steps", "4", "--validate-every", "4", "--save-every", "1", "--max-validation", "1",
            "--device", "cuda", *more]


def env(plugin, **more):
    return {**os.environ, "LD_LIBRARY_PATH": B + "/tests/mock", "VOXTRAIL_PLUGIN": plugin, **{k: str(v) for k, v in more.items()}}


def train(name, *more, plugin=mock, **said):
    return subprocess.run(args(name, *more), capture_output=True, text=True, env=env(plugin, **said), timeout=300)


def files(name, *only):
    found = {os.path.relpath(p, f"{T}/{name}"): hashlib.sha256(open(p, "rb").read()).hexdigest()
             for p in glob.glob(f"{T}/{name}/*") if os.path.isfile(p)}
    return {k: v for k, v in found.items() if not only or k in only}


learned = ("last.safetensors", "best.safetensors", "history.csv")
manifest = json.load(open(ROOT + "/manifests/embedded.json"))
for i in range(2):
    container(f"{T}/patches/s{i}/subject.vtp", f"s{i}", i, manifest, i)

r = train("emulated", plugin=emulated)
check(r.returncode == 0, "train on the emulated device", r.stderr)
r = train("a", VOXTRAIL_MOCK_TRACE=T + "/calls")
check(r.returncode == 0 and "stand-in:" not in r.stderr, "train on the stand-in", r.stderr)
check(files("a", *learned) and files("a", *learned) == files("emulated", *learned), "its weights and losses are the emulated device's bytes")
train("eager", VOXTRAIL_MOCK_ORDER=11)
check(files("eager") == files("a"), "the same bytes when queued work runs at other times", (files("eager"), files("a")))

# --- engine plans ---------------------------------------------------------------------------------------------------------
plan = json.load(open(T + "/a/engines.json"))
check(plan["convolutions"] and all(c["engine"] == 11 and c["knobs"] == [[2, 1], [5, 3]] and c["workspace"] == 100003
                                   for c in plan["convolutions"].values()),
      "the plan names the first engine that keeps its order, with its knobs", plan)
r = train("again", "--engines", T + "/a")
check(r.returncode == 0 and files("again", *learned, "engines.json") == files("a", *learned, "engines.json"), "a plan is repeated", r.stderr)
os.makedirs(T + "/other")
for what, change in (("another card", {"card": "another"}), ("another cuDNN", {"cudnn": 91800})):
    json.dump({**plan, **change}, open(T + "/other/engines.json", "w"))
    r = train("refused", "--engines", T + "/other")
    check(r.returncode == 75 and "the engine plan is for" in r.stderr, "a plan of " + what + " is refused", r.stderr)
key = sorted(plan["convolutions"])[0]
for what, choice in (("an engine that does not build", {"engine": 7, "knobs": []}), ("an engine that does not exist", {"engine": 99, "knobs": []}),
                     ("other knobs", {"engine": 11, "knobs": [[2, 1]]})):
    json.dump({**plan, "convolutions": {**plan["convolutions"], key: {**choice, "workspace": 0}}}, open(T + "/other/engines.json", "w"))
    r = train("refused", "--engines", T + "/other")
    check(r.returncode == 75 and "the engine plan's engine" in r.stderr and key in r.stderr, "a plan with " + what + " is an error", r.stderr)

# --- stops ----------------------------------------------------------------------------------------------------------------
p = subprocess.Popen(args("stopped", "--scratch", T + "/scratch"), env=env(mock), stderr=subprocess.PIPE, text=True)
for _ in range(400):
    if glob.glob(T + "/scratch/**/*", recursive=True) or p.poll() is not None:
        break
    time.sleep(0.01)
p.send_signal(signal.SIGTERM)
said = p.communicate(timeout=120)[1]
check("stand-in:" not in said and p.returncode in (0, 143), "stopped by SIGTERM it gives back what it had", (p.returncode, said))
r = train("stopped", "--scratch", T + "/scratch")
check(r.returncode == 0 and files("stopped") == files("a"), "and goes on to the same bytes", r.stderr)

# --- calls that fail ------------------------------------------------------------------------------------------------------
calls = [line.split()[1] for line in open(T + "/calls")]
where = {}
for k, name in enumerate(calls, 1):
    where.setdefault(name, []).append(k)
chosen = [(where[n][len(where[n]) // 2], v) for n, v in
          (("cudaMalloc", 0), ("cudaLaunchKernel", 1), ("cudaMemcpyAsync", 0), ("cudnnBackendExecute", 0), ("cudaGraphLaunch", 2),
           ("cudaStreamEndCapture", 0), ("cudaGraphInstantiate", 0), ("cudnnBackendFinalize", 2))]
for k, v in chosen:
    name = f"f{k}"
    r = train(name, VOXTRAIL_MOCK_FAIL=f"{k}:{v}")
    whole = files(name) == files("a")
    fine = whole if r.returncode == 0 else r.returncode in (71, 75) and not files(name) and f"code={r.returncode}" in r.stderr
    check(fine and "stand-in:" not in r.stderr, f"{calls[k - 1]} fails in the middle: status {r.returncode}" + (", the same bytes" if r.returncode == 0 else ""),
          (r.returncode, files(name), r.stderr))
    if r.returncode == 0:
        continue
    r = train(name)
    check(r.returncode == 0 and files(name) == files("a"), "and again without a fault: the same bytes", r.stderr)
r = train("small", VOXTRAIL_MOCK_MEMORY=2)
check(r.returncode == 71 and "MiB free" in r.stderr and not files("small"), "a card that is too small: status 71 and the numbers", r.stderr)
r = train("none", VOXTRAIL_MOCK_CARDS=0)
check(r.returncode == 75 and "no GPU" in r.stderr and not files("none"), "no card: status 75", r.stderr)
sys.exit(failed != 0)
