# train --configure: what it chooses is printed, recorded in checkpoint and record, stays where a param was given, and is the same
# run as with those params given by hand.
import glob, json, os, subprocess, sys

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
sys.path.insert(0, ROOT + "/tests/tools")
from patches import container
from _checks import say as check


def train(name, *more, patches="patches"):
    return subprocess.run([B + "/bin/train", "--patches", f"{T}/{patches}", "--out", f"{T}/{name}", *more], capture_output=True, text=True)


manifest = json.load(open(ROOT + "/manifests/embedded.json"))
for i in range(3):
    container(f"{T}/patches/s{i}/subject.vtp", f"s{i}", i % 2, manifest, i)

r = train("plan", "--configure", "true", "--time-budget", "5", "--plan")
shown = json.loads(r.stdout[r.stdout.index("{"):r.stdout.rindex("}") + 1])
p = shown["params"]
# volumes of 24^3 at 2 mm, one in training: the whole volume; 917 steps of 32 filters are too few
check(r.returncode == 0 and p["patch"] == "24,24,24" and p["network"] == {"init_filters": 16} and p["pad"] is False, "the whole of small volumes, as many filters as there is time for", shown)
gmac = shown["forward_gmac"]
steps = min(40000, int(0.9 * 5 * 40e9 * 60 / (3 * gmac * 1e9)) // 10 * 10)
check(p["steps"] == steps and p["validate-every"] == steps // 10 and p["warmup"] == steps // 40, f"{steps} steps of {gmac:.3f} GMAC in 5 nominal minutes", p)
check(shown["seen"] == {"training_subjects": 1, "validation_subjects": 2, "spacing_mm": [2.0] * 3, "median_size": [24] * 3, "smallest_size": [24] * 3}, "what was seen of the cohort", shown["seen"])
check("init_filters" in r.stdout and f"steps={steps}" in r.stderr or '"steps":%d' % steps in r.stderr, "the choice is logged", r.stderr)

r = train("narrow", "--configure", "true", "--time-budget", "5", "--memory-limit", "40", "--plan")
check(r.returncode == 0 and '"init_filters": 8' in r.stdout, "less memory, fewer filters", r.stdout[:600] + r.stderr)
r = train("none", "--configure", "true", "--memory-limit", "8")
check(r.returncode == 71 and "--memory-limit" in r.stderr and not os.path.exists(T + "/none/best.safetensors"), "too little memory is refused with what is needed", r.stderr)
r = train("none", "--configure", "true", "--time-budget", "0.02", "--network", '{"init_filters": 32}')
check(r.returncode == 64 and "--time-budget=0.02" in r.stderr and "minutes or more" in r.stderr, "too little time is refused with what is needed", r.stderr)

given = ["--configure", "true", "--memory-limit", "40", "--steps", "12", "--validate-every", "6", "--warmup", "3", "--seed", "5"]
r = train("auto", *given)
made = json.load(open(T + "/auto/checkpoint.json"))
check(r.returncode == 0 and made["steps"] == 12 and made["patch"] == [24, 24, 24] and made["model"]["params"] == {"init_filters": 8}, "what is given stays, the rest is chosen",
      (r.stderr, made["model"]))
record = json.load(open(glob.glob(T + "/auto/.lineage/*/record.json")[0]))
taken = record.get("notes", {}).get("configured", {})
check(made["configured"]["params"]["patch"] == "24,24,24" and taken.get("patch") == "24,24,24" and "steps" not in taken,
      "checkpoint and record say what was chosen", (taken, list(record)))
hand = [x for k, v in taken.items() for x in ("--" + k, v)]
r = train("hand", "--memory-limit", "40", "--steps", "12", "--validate-every", "6", "--warmup", "3", "--seed", "5", *hand)
same = all(open(f"{T}/auto/{n}", "rb").read() == open(f"{T}/hand/{n}", "rb").read() for n in ("best.safetensors", "last.safetensors", "history.csv")) if r.returncode == 0 else False
check(same, "the same params by hand give the same bytes", r.stderr)
