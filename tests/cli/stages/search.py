"""sample against the distributions it names (scipy's tests on hundreds of draws), train's first-step and last-step (two parts of a run
are the run, bit for bit), trials' table and page."""
import csv, json, os, sys
from html.parser import HTMLParser
import numpy as np
from scipy import stats

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
sys.path.insert(0, ROOT + "/tests/tools")
from patches import container
from _checks import run, say
os.chdir(T)


# --- sample -------------------------------------------------------------------------------------------------------------------
space = {"learning-rate": {"log-uniform": [1e-4, 1e-1]}, "momentum": {"uniform": [0.5, 0.9]}, "batch": {"integer": [1, 4]},
         "network/init_filters": {"choice": [8, 16, 32]}, "schedule": {"choice": ["cosine", "poly"]}}
base = {"params": {"patch": 64, "network": {"depth": 3}, "batch": 99}}
json.dump(space, open("space.json", "w"))
json.dump(base, open("base.json", "w"))


def trials(out, *more):
    run("sample", "--space", "space.json", "--base", "base.json", "--out", out, *more)
    return {t: [json.load(open("%s/%s/%s" % (out, t, f)))["params"] for f in sorted(os.listdir("%s/%s" % (out, t)))] for t in sorted(os.listdir(out)) if t[0] == "t"}


got = trials("many", "--trials", "400", "--rungs", "3", "--budget", "50", "--growth", "3")
first = [v[0] for v in got.values()]
say(list(got)[0] == "trial-001" and len(got) == 400 and all([(p["first-step"], p["last-step"], p["steps"]) for p in v] == [(0, 50, 450), (50, 150, 450), (150, 450, 450)]
    for v in got.values()), "a recipe a rung: each goes on where the one before ended, all on the schedule of the last")
say(all({k: x for k, x in p.items() if not k.endswith("step")} == {k: x for k, x in v[0].items() if not k.endswith("step")} for v in got.values() for p in v)
    and all(p["patch"] == 64 and p["network"]["depth"] == 3 for p in first), "rungs of a trial have its params, and what all have in common")
rate, momentum = np.array([p["learning-rate"] for p in first]), np.array([p["momentum"] for p in first])
p1 = stats.kstest((np.log10(rate) + 4) / 3, "uniform").pvalue
p2 = stats.kstest((momentum - 0.5) / 0.4, "uniform").pvalue
p3 = stats.chisquare(np.bincount([p["batch"] for p in first], minlength=5)[1:]).pvalue
p4 = stats.chisquare([sum(p["network"]["init_filters"] == k for p in first) for k in (8, 16, 32)]).pvalue
say(min(p1, p2, p3, p4) > 1e-3 and abs(np.corrcoef(np.log(rate), momentum)[0, 1]) < 0.2, "draws: log-uniform, uniform, integer, choice", (p1, p2, p3, p4))
few = trials("few", "--trials", "400", "--rungs", "1", "--budget", "9", "--seed", "2")
say([v[0]["learning-rate"] for v in few.values()] != list(rate), "another seed: other trials")
space["warmup"] = {"integer": [0, 100]}
json.dump(dict(reversed(space.items())), open("space.json", "w"))
more = trials("more", "--trials", "500", "--rungs", "3", "--budget", "50", "--growth", "3")
same = all({k: x for k, x in more["trial-%03d" % (i + 1)][0].items() if k != "warmup"} == p for i, p in enumerate(first))
say(same, "more trials, one more param, another order: the draws that were there stay")
for bad, what in (({"x": {"uniform": [2, 1]}}, "must be one of"), ({"x": {"log-uniform": [0, 1]}}, "must be one of"), ({"x": {"choice": []}}, "list of values"), ({}, "object of params"),
                  ({"patch/z": {"choice": [1]}}, "no object")):
    json.dump(bad, open("bad.json", "w"))
    say(what in run("sample", "--space", "bad.json", "--base", "base.json", "--out", "bad", code=65), "refused: a space of %s" % json.dumps(bad))

say("where it begins" in run("sample", "--space", "space.json", "--budget", "1", "--growth", "1.2", "--out", "bad", code=64), "refused: a rung without a step")

# --- parts of a run -----------------------------------------------------------------------------------------------------------
manifest = json.load(open(ROOT + "/manifests/embedded.json"))
for i in range(3):
    container("p/s%d/subject.vtp" % i, "s%d" % i, i % 2, manifest, i)


def train(out, *more, code=0):
    return run("train", "--patches", "p", "--patch", "16", "--network", '{"init_filters": 8}', "--steps", "6", "--validate-every", "3", "--warmup", "2", "--fold", "1", "--optimizer", "sgd",
               "--momentum", "0", "--out", out, *more, code=code)


train("whole")
train("one", "--last-step", "3")
train("two", "--first-step", "3", "--previous", "one")
raw = lambda d: open(d + "/last.safetensors", "rb").read()
say(raw("whole") == raw("two") and raw("whole") != raw("one"), "two parts of a run are the run: draws, schedule and weights, bit for bit")
history = [list(csv.DictReader(open(d + "/history.csv"))) for d in ("whole", "one", "two")]
say(history[0] == history[1] + history[2], "so are their histories")
for more in (["--last-step", "7"], ["--first-step", "6"], ["--first-step", "4", "--last-step", "4"]):
    say("must be a part of" in train("bad", *more, code=64), "refused: %s of 6" % " ".join(more))

# --- trials -------------------------------------------------------------------------------------------------------------------
dice = {"trial-001": [.5, .6, .7], "trial-002": [.4], "trial-003": [.55, .65, .69], "trial-004": [.52, .58]}
space = {"learning-rate": {"log-uniform": [1e-4, 1e-1]}}
json.dump(space, open("space.json", "w"))
configs = trials("configs", "--trials", "4", "--rungs", "3", "--budget", "10", "--growth", "2")
os.rename("configs", "configs-wide")
os.makedirs("configs")
for t in dice:
    os.rename("configs-wide/trial-" + t[-1], "configs/" + t)
    for k, d in enumerate(dice[t]):
        os.makedirs("rung-%d/%s" % (k + 1, t))
        json.dump({"best": {"step": 1, "dice": d, "loss": 1 - d}}, open("rung-%d/%s/checkpoint.json" % (k + 1, t), "w"))
run("trials", "--configs", "configs", *(w for k in (1, 2, 3) for w in ("--rung-%d" % k, "rung-%d" % k)), "--out", "report")
rows = list(csv.DictReader(open("report/trials.csv")))
say([r["trial"] for r in rows] == ["trial-001", "trial-003", "trial-004", "trial-002"] and list(rows[0]) == ["rank", "trial", "rungs", "learning-rate", "dice_1", "dice_2", "dice_3"],
    "trials are ranked by rung and score; columns are the params that differ", rows)
say(all([float(r["dice_%d" % (k + 1)]) for k in range(int(r["rungs"]))] == dice[r["trial"]] for r in rows) and rows[3]["dice_2"] == "", "with the score of each rung")
j = json.load(open("report/trials.json"))
say(j["winner"] == "trial-001" and j["trials"][0]["params"]["last-step"] == 40, "trials.json names the winner and its params")
run("trials", "--configs", "configs", "--rung-1", "rung-1", "--rung-2", "rung-2", "--rung-3", "rung-3", "--by", "loss", "--out", "by-loss")
say(json.load(open("by-loss/trials.json"))["winner"] == "trial-001", "by loss: less is better")


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


page = Page()
text = open("report/trials.html").read()
page.feed(text)
say(page.tags.count("polyline") == 4 and page.tags.count("circle") == 9 and page.tags.count("tr") == 5 and "http" not in text, "trials.html: a line a trial, a point a rung, nothing from outside",
    page.tags)
