"""Label maps of any tool as they come: names with commas, quotes and markup, types, slopes, byte orders, axes, 4-D files of one volume,
flat and single-voxel grids, empty masks, what is cut, NaN or elsewhere; evaluate beside scipy in each, and select on its table."""
import csv, gzip, json, os, struct, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
import nibabel as nib
from scipy import ndimage as nd
from _phantoms import load, run, scores
from _checks import say

os.chdir(os.environ["T"])
rng = np.random.default_rng(7)
regions = [{"name": "A", "values": [1, 3]}, {"name": "B", "values": [2, 3]}, {"name": "=C", "values": [4]}, {"name": "all", "values": [1, 2, 3, 4]}]
json.dump({"format": 1, "name": "odd <b>&", "channels": [{"role": "flair", "files": ["{subject}/flair.nii.gz"]}],
           "label": {"files": ["{subject}/seg.nii.gz", "{subject}/seg.nii"], "values": {str(v): "v%d" % v for v in range(5)}},
           "regions": regions, "split": {"test": 0, "folds": 2, "seed": 1}}, open("m.json", "w"))
oblique = np.array([[1.2, 0.1, 0, -10], [-0.1, 1.1, 0.2, 5], [0, -0.2, 2.5, 7], [0, 0, 0, 1]])
SHAPE = (14, 17, 11)
truth = {}


def blob(shape=SHAPE):
    x = np.zeros(shape, "u1")
    for v in range(1, 5):
        x[nd.gaussian_filter(rng.normal(size=shape), 1.5) > 0.1] = v
    return x


def other(x):
    y = np.roll(x, 1, 0)
    m = rng.random(x.shape) < 0.02
    y[m] = rng.integers(0, 5, m.sum())
    return y


def image(x, affine=oblique):
    return nib.Nifti1Image(x, affine)


def put(name, reference, found, r=None, p=None, ends=".nii.gz"):
    """Two label maps that are to be scored; r and p: how they are stored, if not as they are."""
    for d, x, way in (("r", reference, r), ("p", found, p)):
        os.makedirs("%s/%s" % (d, name))
        path = "%s/%s/seg%s" % (d, name, ends)
        stored = way(x) if way else image(x)
        open(path, "wb").write(gzip.compress(stored)) if isinstance(stored, bytes) else nib.save(stored, path)
    truth[name] = (reference, found)


def refused(name, found, reference=None, affine=oblique):
    x = blob() if reference is None else reference
    os.makedirs("r/" + name)
    nib.save(image(x), "r/%s/seg.nii.gz" % name)
    if found is not None:
        os.makedirs("p/" + name)
        nib.save(image(found(x) if callable(found) else found, affine), "p/%s/seg.nii.gz" % name)
    truth[name] = None


def big_endian(x):
    h = nib.Nifti1Header(endianness=">")
    h.set_data_dtype(">i2")
    return nib.Nifti1Image(x.astype(">i2"), oblique, h).to_bytes()


def scaled(x):
    raw = bytearray(nib.Nifti1Image(x.astype("i2") * 2 + 6, oblique).to_bytes())
    struct.pack_into("<ff", raw, 112, 0.5, -3)
    return bytes(raw)


def no_forms(x):
    i = nib.Nifti1Image(x, None)
    i.header.set_zooms((1.2, 1.1, 2.5))
    i.set_sform(None, 0)
    i.set_qform(None, 0)
    return i


names = ["a,b", 'q"uote', "ap'os", "<b>x&amp;", "ü ñ", "100%s%d", "-dash", "=1+1", "'=1", "@x", "+", "sp ace ", "semi;colon"]
for name in names:
    x = blob()
    put(name, x, other(x))
ways = {"float": lambda x: image(x.astype("f4")), "double": lambda x: image(x.astype("f8")), "i4": lambda x: image(x.astype("i4")), "big": big_endian, "slope": scaled,
        "mirrored": lambda x: image(x).as_reoriented(np.array([[0, -1], [1, 1], [2, 1]])), "permuted": lambda x: image(x).as_reoriented(np.array([[2, 1], [0, -1], [1, 1]])),
        "4d": lambda x: image(x[..., None]), "near": lambda x: image(x, oblique + np.array([[0, 0, 0, 0.03]] + [[0] * 4] * 3))}
for name, way in ways.items():
    x = blob()
    put(name, x, other(x), p=way)
    if name not in ("mirrored", "permuted"):
        put(name + "-reference", x, other(x), r=way)
x = blob()
put("no forms", x, other(x), no_forms, no_forms)
put("plain", x, other(x), ends=".nii")
none = np.zeros(SHAPE, "u1")
put("empty reference", none, x)
put("empty prediction", x, none)
put("both empty", none, none)
put("full", np.full(SHAPE, 4, "u1"), np.full(SHAPE, 3, "u1"))
put("flat", blob((20, 21, 1)), blob((20, 21, 1)))
put("one voxel", np.ones((1, 1, 1), "u1"), np.ones((1, 1, 1), "u1"))
refused("not there", None)
refused("cut", lambda x: x[:-1])
refused("elsewhere", other, affine=oblique + np.array([[0, 0, 0, 0.08]] + [[0] * 4] * 3))
refused("unknown value", lambda x: np.where(x == 1, 9, x).astype("u1"))
refused("NaN", lambda x: np.where(x == 1, np.nan, x).astype("f4"))
refused("between", lambda x: x.astype("f4") * np.float32(0.99))
refused("two volumes", lambda x: np.stack([x, x], -1))
os.makedirs("p/extra")
nib.save(image(x), "p/extra/seg.nii.gz")

p = run("evaluate", "--predictions", "p", "--labels", "r", "--manifest", "m.json", "--out", "e", "--bootstrap", 0, status=65)
m = load("e/metrics.json")
say(set(m["subjects"]) == set(truth), "every subject with a reference is in the report", set(m["subjects"]) ^ set(truth))
bad = []
for name, maps in truth.items():
    own = m["subjects"].get(name, {})
    if maps is None:
        bad += [] if own and all(own[g["name"]]["empty"] == "absent" and own[g["name"]]["dice"] == 0 for g in regions) else [(name, "scored")]
        continue
    spacing = (1.2, 1.1, 2.5) if name == "no forms" else np.sqrt((oblique[:3, :3] ** 2).sum(0))
    for g in regions:
        for k, v in scores(np.isin(maps[1], g["values"]), np.isin(maps[0], g["values"]), np.asarray(spacing)).items():
            got = own[g["name"]][k] if own else "nothing"
            if (got is None) != (v is None) or (v is not None and (own == {} or abs(got - v) > 1e-6 * max(1, abs(v)))):
                bad.append((name, g["name"], k, got, v))
say(not bad, "%d pairs of label maps: every region and metric is scipy's; %d that cannot be scored are absent" % (sum(v is not None for v in truth.values()), sum(v is None for v in truth.values())), bad[:5])
say(m["without_reference"] == ["extra"], "and one without a reference is named", m.get("without_reference"))
say("label/tolerance" in p.stderr and "between/seg.nii.gz" in p.stderr, "labels beside whole numbers: the message names what allows them", p.stderr[-300:])
rows = list(csv.DictReader(open("e/subjects.csv", newline="", encoding="utf-8")))
say(len(rows) == len(truth) * len(regions) and all(None not in r and None not in r.values() for r in rows), "subjects.csv has a row a subject and region, and a value a column")
say(not [c for r in rows for c in (r["subject"], r["region"]) if c[0] in "=+-@"], "no name in it begins like a formula")
run("select", "--scores", "e", "--region", "=C", "--keep-best", 400, "--out", "every")
kept = {k["name"] for k in load("every/selection.json")["kept"]}
say(kept == set(truth), "select knows them all by their own names", kept ^ set(truth))

os.makedirs("nothing")
for what, args, status, words in (("predictions in which nobody is found", ("--predictions", "nothing", "--labels", "r"), 66, ("any of the %d subjects" % len(truth), "{subject}/seg.nii.gz", "--pattern")),
                                  ("a pattern that finds nobody", ("--predictions", "p", "--labels", "r", "--pattern", "{subject}_seg.nii.gz"), 66, ("{subject}_seg.nii.gz", "--pattern")),
                                  ("labels in which nobody is found", ("--predictions", "p", "--labels", "nothing"), 65, ("/label/files", "--check"))):
    r = run("evaluate", *args, "--manifest", "m.json", "--out", "never", status=None)
    say(r.returncode == status and all(w in r.stderr for w in words) and not os.path.exists("never/metrics.json"), "refused: " + what, (r.returncode, r.stderr[-400:]))
os.makedirs("nothing/quarantine")
run("evaluate", "--predictions", "nothing", "--labels", "r", "--manifest", "m.json", "--out", "zero", "--bootstrap", 0, status=None)
m = load("zero/metrics.json")
say(m["mean"]["all"]["absent"] == len(truth) and m["mean"]["all"]["dice"] == 0, "predictions that refused everybody: all count as 0")
