# A stage without a store is stopped while it seals its output: killed, or refused by the disk.  Its output directory never
# passes for whole, and the same command ends with the bytes of an undisturbed one.
import hashlib, os, subprocess
from _checks import say as check

T = os.environ["T"]
MANIFEST = os.environ["ROOT"] + "/manifests/embedded.json"


def stage(out, fault=None):
    env = {k: v for k, v in os.environ.items() if k not in ("VOXTRAIL_FAULT", "VOXTRAIL_STORE")}
    if fault:
        env["VOXTRAIL_FAULT"] = fault
    return subprocess.run(["crop-patch", "--normed", T + "/p", "--labels", T + "/c/labels", "--manifest", MANIFEST,
                           "--out", out], env=env, capture_output=True, text=True)


def files(root):
    """Digests by path; of .lineage the record's alone, whose presence says that the output is whole."""
    found = {}
    for folder, _, names in os.walk(root):
        for n in names:
            path = os.path.join(folder, n)
            relative = os.path.relpath(path, root)
            if not relative.startswith(".lineage") or (n == "record.json" and "/failed-" not in relative):
                found[relative] = hashlib.sha256(open(path, "rb").read()).hexdigest()
    return found


def records(root):
    return [p for p in files(root) if p.startswith(".lineage")]


subprocess.run(["make-cohort", "--out", T + "/c", "--subjects", "2", "--seed", "4", "--coarse"], check=True, capture_output=True)
subprocess.run(["skullstrip-normalize", "--scans", T + "/c/scans", "--manifest", MANIFEST, "--out", T + "/p"], check=True,
               capture_output=True)
whole = stage(T + "/whole")
want = files(T + "/whole")
check(whole.returncode == 0 and len(records(T + "/whole")) == 1, "an undisturbed run leaves one record", whole.stderr)
for step in ("seal.sync", "seal.move", "seal.move:2", "seal.record"):
    name, _, nth = step.partition(":")
    for action, status in (("kill", -9), ("enospc", 74)):
        out = f"{T}/{step}.{action}".replace(":", "-")
        r = stage(out, f"{name}:{action}:{nth or 1}")
        check(r.returncode == status and not records(out), f"{step} {action}: no record says that the output is whole",
              (r.returncode, r.stderr, records(out)))
        if status == 74:
            left = [p for p in os.listdir(out) if p != ".lineage"]
            check(not left, f"{step} {action}: nothing is left beside the record of the failure", left)
        r = stage(out)
        check(r.returncode == 0 and files(out) == want, f"{step} {action}: the same command ends in the same bytes",
              (r.returncode, r.stderr))
