# train --devices N on the emulated cards: the same bytes each time and after kills, near one card; another number is another
# derivation; the record, the checkpoint and the plan name the cards; what is refused, with which status; rerun.
import glob, hashlib, json, os, subprocess, sys
import numpy as np

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
sys.path.insert(0, ROOT + "/tests/tools")
from patches import container
from _checks import say as check


env = {**os.environ, "VOXTRAIL_PLUGIN": os.environ.get("GPU_PLUGIN", B + "/tests/libvoxtrail-emulated.so"), "VOXTRAIL_EMULATED_CARDS": "3"}


def run(args, wait=None, **more):
    return subprocess.run(args, capture_output=True, text=True, env={**env, **more}, timeout=wait)


def train(name, *more, wait=None, **variables):
    return run([B + "/bin/train", "--patches", T + "/patches", "--out", f"{T}/{name}", "--model", "meshnet", "--network", '{"channels": 5}', "--patch", "8", "--steps", "12", "--validate-every", "12", "--save-every", "1", "--max-validation", "1",
                "--batch", "6", *more], wait, **variables)


def digest(name):
    return {os.path.basename(p): hashlib.sha256(open(p, "rb").read()).hexdigest() for p in glob.glob(f"{T}/{name}/*") if os.path.isfile(p)}


def weights(name):
    b = open(f"{T}/{name}/last.safetensors", "rb").read()
    n = int.from_bytes(b[:8], "little")
    return np.frombuffer(b[8 + n:], "<f4")


manifest = json.load(open(ROOT + "/manifests/embedded.json"))
for i in range(2):
    container(f"{T}/patches/s{i}/subject.vtp", f"s{i}", i, manifest, i)

on = ["--device", "cuda", "--devices", "3"]
r = train("a", *on)
check(r.returncode == 0, "train --devices 3", r.stderr)
train("b", *on)
check(digest("a") and digest("a") == digest("b"), "twice: the same bytes", (digest("a"), digest("b")))
killed = 0
while killed < 40:
    try:
        if train("c", *on, "--scratch", T + "/scratch", wait=0.4 + 0.1 * killed).returncode == 0:
            break
    except subprocess.TimeoutExpired:
        killed += 1
check(killed and digest("c") == digest("a"), f"killed {killed} times and resumed: the same bytes", killed)
train("one", *on[:2])
gap = np.linalg.norm(weights("a") - weights("one")) / np.linalg.norm(weights("one"))
check(digest("one") != digest("a") and gap < 0.05, f"near one card's weights, not the same ({gap:.1e})", gap)

# a state of three cards is not taken up by two
try:
    train("d", *on, "--scratch", T + "/other", wait=1.0)
except subprocess.TimeoutExpired:
    pass
train("two", *on[:2], "--devices", "2")
train("e", *on[:2], "--devices", "2", "--scratch", T + "/other")
check(digest("e") == digest("two"), "with another number of cards a run begins anew", (digest("e"), digest("two")))

# what is written
c, one = json.load(open(T + "/a/checkpoint.json")), json.load(open(T + "/one/checkpoint.json"))
check(len(c["device"]["cards"]) == 3 and c["device"]["link"]["name"] == "memcpy", "the checkpoint names the cards and their link", c["device"])
check("cards" not in one["device"] and c["plan"] != one["plan"], "one card's does not; the plan is that of a card's share", one["device"])
notes = [json.load(open(p)) for p in glob.glob(T + "/a/.lineage/**/*.json", recursive=True)]
check(any(len(x.get("notes", {}).get("device", {}).get("cards", [])) == 3 for x in notes if isinstance(x, dict)), "so does the record", notes)
check(any('"devices"' in json.dumps(x) for x in notes), "the number is a param of the record", notes)

# what is refused
for args, status, says in (
        (["--device", "cuda", "--devices", "4"], 64, "--devices=4: --batch=6 does not divide over them"),
        (["--devices", "2"], 64, "--devices=2: GPUs share a batch, the CPU does not"),
        (["--device", "cuda", "--devices", "17"], 64, "devices"),
        (["--device", "cuda", "--devices", "6"], 75, "6 GPUs were asked for and 3 can be seen")):
    r = train("refused", *args)
    check(r.returncode == status and says in r.stderr, f"{' '.join(args)}: status {status}", (r.returncode, r.stderr))
r = train("refused", "--device", "auto", "--devices", "2", VOXTRAIL_PLUGIN=T + "/none.so")
check(r.returncode == 64 and "the CPU does not" in r.stderr, "--device auto that comes to the CPU", (r.returncode, r.stderr))
r = train("refused", *on, VOXTRAIL_EMULATED_FAULT="-3")
check(r.returncode == 75 and "the link failed" in r.stderr, "a link that fails: status 75", (r.returncode, r.stderr))
r = train("refused", *on, VOXTRAIL_EMULATED_FAULT="6")
check(r.returncode == 75 and "differ from those of GPU 0" in r.stderr, "cards that differ are noticed when the state is saved", (r.returncode, r.stderr))

# done again from the record
store = ["--store", T + "/store"]
run([B + "/bin/voxtrail", "commit", "patches", T + "/patches", *store])
train("f", *on, *store)
r = run([B + "/bin/voxtrail", "rerun", T + "/f", "--json", *store])
found = json.loads(r.stdout) if r.returncode == 0 else []
check([f["verdict"] for f in found] == ["same"], "rerun: the same bytes", (r.returncode, r.stdout, r.stderr))
r = run([B + "/bin/voxtrail", "rerun", T + "/f", "--json", *store], VOXTRAIL_EMULATED_CARDS="2")
check(r.returncode != 0 and "3 GPUs were asked for and 2 can be seen" in r.stdout + r.stderr, "rerun where there are fewer cards says so", (r.returncode, r.stdout, r.stderr))
