"""select --names: 87 of 495, in small. Three forms of a list, raw scans as published and prepared entries; refusals; a pipeline behind it that
prepares only who is new on the list, and whose lineage names nobody else."""
import json, os, subprocess
import nibabel as nib
import numpy as np
from _checks import run, say

T, ROOT = os.environ["T"], os.environ["ROOT"]
os.chdir(T)
rng = np.random.default_rng(4)
G = np.indices((26, 30, 24)) - np.array([13, 15, 12])[:, None, None, None]
R = np.sqrt((G[0] / 11) ** 2 + (G[1] / 13.5) ** 2 + (G[2] / 10) ** 2)
ALL = ["UCSF-PDGM-%04d" % i for i in range(4, 10)]
MANIFEST = ROOT + "/manifests/ucsf-pdgm.json"
channels = [c["files"][0] for c in json.load(open(MANIFEST))["channels"]]
for s in ALL:
    for k, c in enumerate(channels + ["{subject}_nifti/{subject}_tumor_segmentation.nii.gz", "{subject}_nifti/{subject}_ASL.nii.gz"]):
        path = "scans/" + c.replace("{subject}", s)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        x = np.where(R < 1, 400 + 40 * k + 120 * np.sin(G[0] / 3) + rng.normal(0, 5, R.shape), 0) if k < len(channels) else (R < 0.3) * 2
        nib.save(nib.Nifti1Image(x.astype("i2"), np.diag([-6.0, -6, 6, 1])), path)
open("scans/UCSF-PDGM-metadata.csv", "w").write("ID,Sex\n")


def wrote(path, text):
    open(path, "w").write(text)
    return path


def kept(out):
    j = json.load(open(out + "/selection.json"))
    return [k["name"] for k in j["kept"]], [k["name"] for k in j["dropped"]]


def files(root):
    return sorted(os.path.relpath(os.path.join(d, f), root) for d, _, names in os.walk(root) for f in names if ".lineage" not in d and f != "selection.json")


two = [ALL[1], ALL[4]]
lists = {"txt": "\ufeff# the 2 of 6\n%s\r\n\n  %s  \n" % (two[1], two[0]), "csv": "age,subject\n40,%s\n50,%s\n" % tuple(two), "json": json.dumps(two)}
want = sorted(c.replace("{subject}", s) for s in two for c in channels + ["{subject}_nifti/{subject}_tumor_segmentation.nii.gz"])
for kind, text in lists.items():
    run("select", "--names", wrote("list." + kind, text), "--from", "scans", "--manifest", MANIFEST, "--out", "raw-" + kind)
    say(kept("raw-" + kind) == (two, sorted(set(ALL) - set(two))) and files("raw-" + kind) == want, "a list (%s) picks its subjects of scans as published: the manifest's files, their layout" % kind, files("raw-" + kind))
say(open("raw-txt/" + want[0], "rb").read() == open("scans/" + want[0], "rb").read(), "as they are")
record = json.load(open("raw-txt/.lineage/" + os.listdir("raw-txt/.lineage")[0] + "/record.json"))
say(record["notes"]["subjects"] == two and [i for i in record["inputs"] if i["port"] == "names" and i["files"][0]["sha256"]], "the record names the list and the subjects")

run("skullstrip-normalize", "--scans", "scans", "--manifest", MANIFEST, "--spacing", "-1", "--out", "normed")
os.makedirs("normed/quarantine")
wrote("normed/quarantine/UCSF-PDGM-0099.json", '{"subject": "UCSF-PDGM-0099", "reason": "cut"}')
run("select", "--names", wrote("with99", "\n".join(two + ["UCSF-PDGM-0099"])), "--from", "normed", "--out", "of-normed")
say(sorted(d for d in os.listdir("of-normed") if d[0] != ".") == two + ["quarantine", "selection.json"] and os.listdir("of-normed/quarantine") == ["UCSF-PDGM-0099.json"]
    and kept("of-normed")[0] == two, "of prepared subjects an entry each; who was refused before stays refused, by name")
for text, code, what in ((two[0] + "\nUCSF-PDGM-0777\n", 65, "1 of its 2 names are of nobody"), ("\n".join(two + two[:1]), 65, 'stands twice'), ("# none\n", 65, "names nobody"),
                         ("../x\n", 65, "cannot be a subject's name"), ('["a", 3]', 65, "/1: each name is a text"), ('["a",', 65, "text ends"), ("a\0b\n", 65, "zero byte")):
    err = run("select", "--names", wrote("bad", text), "--from", "scans", "--manifest", MANIFEST, "--out", "none", code=code)
    say(what in err and not files("none"), "refused: %r" % text, err)
# a subject one of whose files cannot be read leaves none of the others
m = json.load(open(MANIFEST))
m["channels"] = [{"role": "flair", "files": ["images/{subject}_0000.nii.gz"]}]
m["label"]["files"] = ["labels/{subject}.nii.gz"]
wrote("flat.json", json.dumps(m))
os.makedirs("flat/images"), os.makedirs("flat/labels/a.nii.gz")
for path in ("flat/images/a_0000.nii.gz", "flat/images/b_0000.nii.gz", "flat/labels/b.nii.gz"):
    os.link("scans/" + want[0], path)
err = run("select", "--names", wrote("ab.txt", "a\nb\n"), "--from", "flat", "--manifest", "flat.json", "--out", "ab", code=65)
say(kept("ab")[0] == ["b"] and files("ab") == ["images/b_0000.nii.gz", "labels/b.nii.gz", "quarantine/a.json"], "of a subject that is refused nothing is kept", (err, files("ab")))

for args, what in (([], "either --scores DIR or --names"), (["--names", "list.txt"], "--from DIR"), (["--names", "list.txt", "--scores", "scans"], "either"), (["--names", "list.txt", "--from", "scans", "--keep-best", "2"], "no param of scores"),
                   (["--names", "list.txt", "--from", "scans", "--region", "WT"], "no param of scores"), (["--names", "list.txt", "--from", "scans", "--unscored", "drop"], "no param of scores")):
    say(what in run("select", *args, "--out", "none", code=64), "select %s: 64" % " ".join(args))

# --- a pipeline: the list is a repo of its own -----------------------------------------------------------------------------------
image = "x@sha256:" + "0" * 64
pfs = lambda name, repo, glob: {"pfs": {"name": name, "repo": repo, "glob": glob}}
spec = [{"pipeline": {"name": "subset"}, "input": {"cross": [pfs("scans", "scans", "/"), pfs("manifest", "manifest", "/"), pfs("names", "names", "/")]},
         "transform": {"image": image, "cmd": ["select", "--from", "/pfs/scans", "--manifest", "/pfs/manifest/manifest.json", "--names", "/pfs/names/names.txt", "--out", "/pfs/out/chosen"]}},
        {"pipeline": {"name": "normed"}, "input": {"cross": [pfs("scans", "subset", "/chosen/UCSF*"), pfs("manifest", "manifest", "/")]},
         "transform": {"image": image, "cmd": ["skullstrip-normalize", "--scans", "/pfs/scans/chosen", "--manifest", "/pfs/manifest/manifest.json", "--spacing", "-1", "--out", "/pfs/out"]}}]
json.dump(spec, open("spec.json", "w"))
os.makedirs("names")


def go(names):
    wrote("names/names.txt", "\n".join(names) + "\n")
    p = subprocess.run(["voxtrail", "run", "spec.json", "--repo", "scans=scans", "--repo", "manifest=" + MANIFEST, "--repo", "names=names", "--store", "s", "--checkout", "out", "--log", "text"],
                       capture_output=True, text=True)
    log = [l for l in p.stderr.splitlines() if 'pipeline="normed"' in l]
    return p.returncode, sorted(d for d in os.listdir("out/normed") if d[0] == "U"), p.stderr


rc, got, err = go(two)
say(rc == 0 and got == two, "a pipeline prepares who is on the list", (rc, got, err))
three = sorted(two + [ALL[2]])
rc, got, err = go(three)
line = [l for l in err.splitlines() if 'pipeline="normed"' in l and "skipped=" in l]
say(rc == 0 and got == three and line and "skipped=2" in line[-1] and "success=1" in line[-1], "one name more: one subject more is prepared", err)
audit = json.loads(subprocess.run(["voxtrail", "audit", "out/normed", "--store", "s", "--json"], capture_output=True, text=True).stdout)
roots = [e["record"] for e in audit["executions"] if e["id"] in audit["roots"]]
read = {f["path"].split("/")[-1][:14] for r in roots for i in r["inputs"] if i["port"] == "scans" for f in i["files"]}
chosen = [e["record"]["notes"]["subjects"] for e in audit["executions"] if e["record"]["stage"] == "select"]
say(sorted(r["stage"] for r in roots) == ["skullstrip-normalize"] * 3 and sorted(read) == three and chosen and all(c in (two, three) for c in chosen),
    "an audit names the list's subjects, and that nobody else was prepared", (read, chosen))
rc, got, err = go(two)
say(rc == 0 and got == two, "a shorter list takes the subject out again", err)
