"""voxtrail scores: the table says what metrics.json holds, aligned, with units; no name steers the terminal; bad files are refused."""
import json, os, subprocess
from _checks import say
T = os.environ["T"]


def run(*args):
    return subprocess.run(["voxtrail", "scores", *args], capture_output=True, text=True)

score = {"dice": 0.78441, "sensitivity": 0.5, "specificity": 0.99899, "hd95_mm": 123.456, "nsd": 1, "volume_ml": 26.04, "reference_ml": 1072.46, "threshold_dice": 0.2}
other = dict(score, dice=0, hd95_mm=0)
del other["threshold_dice"]
metrics = {"format": 1, "mean": {"WT": score, "Ödem\x1b[2J": other}, "subjects": {"sub-001": {"WT": score, "Ödem\x1b[2J": other}, "s2": {"WT": other, "Ödem\x1b[2J": score}}}
json.dump(metrics, open(T + "/metrics.json", "w"))
r = run(T)
lines = r.stdout.splitlines()
say(r.returncode == 0 and len(lines) == 3 and len({len(l) for l in lines}) == 1, "three lines of one width %s" % [len(l) for l in lines])
say("HD95 (mm)" in lines[0] and "volume (ml)" in lines[0] and "reference (ml)" in lines[0], "units stand in the head")
say(lines[1].split() == ["WT", "0.784", "0.500", "0.9990", "123.46", "1.000", "26.0", "1072.5", "0.200"], "values are those of the file, rounded: " + lines[1])
say(lines[2].split() == ["Ödem?[2J", "0.000", "0.500", "0.9990", "0.00", "1.000", "26.0", "1072.5", "-"], "control characters are shown as ?, an absent value as -: " + lines[2])
say(run(T + "/metrics.json").stdout == r.stdout, "the file itself may be named")
each = run("--subjects", T).stdout.splitlines()
say(len(each) == 5 and len({len(l) for l in each}) == 1 and each[3].split()[:3] == ["s2", "WT", "0.000"], "a line a subject and region")
open(T + "/bad.json", "w").write('{"mean": 3, "subjects": {}}')
open(T + "/text.json", "w").write("{")
for what, path, status in (("no file", T + "/none", 66), ("a directory without it", T + "/..", 66), ("other JSON", T + "/bad.json", 65), ("no JSON", T + "/text.json", 65)):
    r = run(path)
    say(r.returncode == status and r.stdout == "" and "voxtrail scores: " in r.stderr, "%s: status %d: %s" % (what, r.returncode, r.stderr.strip()))
