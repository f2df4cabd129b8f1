"""evaluate on a tiny checkpoint: means, counts and intervals in metrics.json follow from subjects.csv; the report shows them; equal
bytes with one thread."""
import csv, json, os, subprocess, sys
from html.parser import HTMLParser
from _checks import say

T, ROOT = os.environ["T"], os.environ["ROOT"]
os.chdir(T)


def run(*args, env=None):
    p = subprocess.run(args, capture_output=True, text=True, env=dict(os.environ, **(env or {})))
    if p.returncode:
        print("not ok - %s: exit %d: %s" % (" ".join(args), p.returncode, p.stderr[-600:]))
        sys.exit(1)


manifest = ROOT + "/manifests/embedded.json"
run("make-cohort", "--out", "c", "--subjects", "3", "--seed", "7", "--coarse")
run("skullstrip-normalize", "--scans", "c/scans", "--manifest", manifest, "--spacing", "4", "--out", "n")
run("crop-patch", "--normed", "n", "--labels", "c/labels", "--manifest", manifest, "--out", "p")
run("train", "--patches", "p", "--network", json.dumps({"init_filters": 8}), "--patch", "24", "--steps", "4", "--validate-every", "4", "--max-validation", "1", "--fold", "1", "--out", "t")
run("evaluate", "--model", "t", "--patches", "p", "--subjects", "all", "--overlap", "0", "--out", "e")
run("evaluate", "--model", "t", "--patches", "p", "--subjects", "all", "--overlap", "0", "--out", "one", env={"VOXTRAIL_THREADS": "1"})
names = ["metrics.json", "subjects.csv", "report.html"]
say(all(open("e/" + n, "rb").read() == open("one/" + n, "rb").read() for n in names), "one thread: the same bytes")

m = json.load(open("e/metrics.json"))
rows = list(csv.DictReader(open("e/subjects.csv")))
counts = ["tp", "fp", "fn", "tn", "surface_voxels", "lesions_found", "lesions_missed", "lesions_false", "lesions_small"]
three = ["hd95_mm", "hd95_pooled_mm", "hd95_surfel_mm"]
good = bool(m["mean"]) and len(rows) == 3 * len(m["mean"])
for region, mean in m["mean"].items():
    mine = [r for r in rows if r["region"] == region]
    for name, (low, high) in mean["ci95"].items():
        values = [float(r[name]) for r in mine]
        good = good and abs(mean[name] - sum(values) / len(values)) <= 1e-12 * max(1, abs(mean[name]))
        # Three subjects: 1 draw in 27 takes the lowest three times, so the interval ends there; likewise above.
        close = lambda a, b: abs(a - b) <= 1e-12 * max(1, abs(b))
        good = good and close(low, min(values)) and close(high, max(values))
    good = good and all(mean[c] == sum(int(r[c]) for r in mine) for c in counts) and all(k in mean for k in three)
    for r in mine:
        tp, fp, fn, tn = (int(r[k]) for k in ("tp", "fp", "fn", "tn"))
        good = good and (2 * tp + fp + fn == 0 or abs(float(r["dice"]) - 2 * tp / (2 * tp + fp + fn)) < 1e-15)
        good = good and abs(float(r["volume_difference_ml"]) - (float(r["volume_ml"]) - float(r["reference_ml"]))) < 1e-9
        word = {(True, True): "both_empty", (True, False): "missed", (False, True): "false_alarm"}.get((tp + fp == 0, tp + fn == 0), "")
        good = good and r["empty"] == word
    flagged = [sum(r["empty"] == w for r in mine) for w in ("both_empty", "missed", "false_alarm")]
    good = good and flagged == [mean["both_empty"], mean["missed"], mean["false_alarm"]] and mean["without_penalty"]["n"] == 3 - sum(flagged)
say(good, "metrics.json: means, sums of counts, intervals, names of empty masks follow from subjects.csv")


class Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.bad, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "line", "polyline", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("line", "polyline") and (not self.open or self.open.pop() != tag):
            self.bad.append(tag)

    def handle_data(self, data):
        self.text.append(data)


page = Balance()
page.feed(open("e/report.html").read())
words = " ".join(page.text)
want = three + ["Lesion by lesion", "Empty masks", "95 % interval", "percentile bootstrap"] + list(m["mean"])
say(not page.bad and not page.open and all(w in words for w in want), "report.html is balanced and shows the three distances, lesions and intervals",
    (page.bad, page.open, [w for w in want if w not in words]))
