# predict prepares scans as the checkpoint's training data were, and subjects that were prepared differently do not train together.
import glob, json, os, shutil, subprocess, sys
from _checks import say as check

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
MANIFEST = ROOT + "/manifests/embedded.json"


def run(tool, *args, status=0):
    r = subprocess.run([f"{B}/bin/{tool}", *args], capture_output=True, text=True, cwd=T)
    if r.returncode != status:
        check(False, f"{tool} ends with {status}", (r.returncode, r.stderr))
        sys.exit(1)
    return r


def record(out):
    return json.load(open(glob.glob(f"{T}/{out}/.lineage/*/record.json")[0]))


def prepare(name, *more):
    run("skullstrip-normalize", "--scans", "cohort/scans", "--manifest", MANIFEST, "--out", name + "-prepared", *more)
    run("crop-patch", "--normed", name + "-prepared", "--labels", "cohort/labels", "--manifest", MANIFEST, "--out", name)


CHOSEN = dict(normalize="minmax", orient="native", interpolate="cubic", tolerance_mm="0.25", threshold="0.45")
run("make-cohort", "--out", "cohort", "--subjects", "3", "--seed", "3", "--coarse")
prepare("a", "--normalize", "minmax", "--orient", "native", "--interpolate", "cubic", "--tolerance", "0.25", "--threshold", "0.45")
run("train", "--patches", "a", "--out", "model", "--network", '{"init_filters": 8}', "--patch", "24", "--steps", "1", "--validate-every", "1", "--fold", "-1")
settings = json.load(open(T + "/model/checkpoint.json"))["settings"]
check(CHOSEN.items() <= settings.items(), "the checkpoint knows how its data were prepared", settings)
run("predict", "--model", "model", "--scans", "cohort/scans", "--manifest", MANIFEST, "--out", "seg", "--overlap", "0")
notes = record("seg")["notes"]["settings"]
check(CHOSEN.items() <= notes.items(), "predict prepares in that way", notes)
check(len(glob.glob(T + "/seg/*/seg.nii.gz")) == 3, "a label map of each subject")
prepare("b")
shutil.copytree(T + "/a", T + "/mixed", ignore=shutil.ignore_patterns(".lineage"))
one = sorted(glob.glob(T + "/b/*/subject.vtp"))[0]
shutil.copy(one, one.replace("/b/", "/mixed/"))
r = run("train", "--patches", "mixed", "--out", "never", "--patch", "24", "--steps", "1", status=65)
check("settings.normalize" in r.stderr and "--allow settings.normalize" in r.stderr, "subjects prepared differently are refused by name", r.stderr)
