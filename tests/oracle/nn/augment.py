"""Each augmentation against scipy and numpy, on what was drawn (augment_probe prints it): resampling against map_coordinates, blur
against gaussian_filter, gamma and contrast against batchgenerators' formulas, the exact ones against numpy.  Then how often each happens,
that nothing depends on threads, what is refused, and a training with a list."""
import json, os, subprocess, sys
import numpy as np
from scipy import ndimage as nd

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
sys.path.insert(0, ROOT + "/tests/tools")
from patches import container
from _checks import say as check
N = 24


manifest = json.load(open(ROOT + "/manifests/embedded.json"))
container(T + "/p/s/subject.vtp", "s", 0, manifest, 5, N)
raw = open(T + "/p/s/subject.vtp", "rb").read()
header = json.loads(raw[16:16 + int.from_bytes(raw[8:16], "little")])
volume = np.frombuffer(raw, "<f4", 4 * N ** 3, header["offsets"]["image"]).reshape(4, N, N, N).astype("f8")
regions = np.frombuffer(raw, "u1", N ** 3, header["offsets"]["regions"]).reshape(N, N, N)


def draw(steps, patch=(16, 16, 16), step=0, slot=0, seed=1, threads=None):
    json.dump(steps, open(T + "/list.json", "w"))
    env = dict(os.environ, **({"VOXTRAIL_THREADS": threads} if threads else {}))
    p = subprocess.run([B + "/tests/augment_probe", T + "/p/s/subject.vtp", T + "/list.json", ",".join(map(str, patch)), str(step), str(slot), str(seed),
                        T + "/drawn"], capture_output=True, text=True, env=env)
    if p.returncode:
        return p.returncode, p.stderr
    raw = open(T + "/drawn", "rb").read()
    n = int(np.prod(patch))
    return (np.frombuffer(raw, "<f4", 4 * n).reshape(4, *patch).astype("f8"), np.frombuffer(raw, "u1", n, 16 * n).reshape(patch), json.loads(p.stdout))


def crop(trace, patch):
    """The patch as it lies in the volume, and its regions."""
    at = [int(round(c - (n - 1) / 2)) for c, n in zip(trace[0]["center"], patch)]
    s = tuple(slice(a, a + n) for a, n in zip(at, patch))
    return volume[(slice(None),) + s], regions[s]


# --- space ------------------------------------------------------------------------------------------------------------------
def coordinates(trace, patch, spacing):
    m, control, shift = np.eye(3), None, np.zeros(3)
    for t in trace[1:]:
        if t["name"] == "rotate":
            for a, degrees in enumerate(t["degrees"]):
                u, v = [(1, 2), (0, 2), (0, 1)][a]
                turn = np.eye(3)
                turn[u, u] = turn[v, v] = np.cos(np.radians(degrees))
                turn[u, v], turn[v, u] = -np.sin(np.radians(degrees)), np.sin(np.radians(degrees))
                m = m @ np.diag(1 / np.array(spacing)) @ turn @ np.diag(spacing)
        elif t["name"] == "zoom":
            m = m / t["factor"][0]
        elif t["name"] == "translate":
            shift += np.array(t["mm"]) / np.array(spacing)
        elif t["name"] == "elastic":
            control = np.array(t["control"])
    o = np.indices(patch).reshape(3, -1).astype("f8")
    source = (np.array(trace[0]["center"]) + shift)[:, None] + m @ (o - (np.array(patch)[:, None] - 1) / 2)
    if control is not None:
        grid = 8.0
        shape = [int((n - 1) / grid) + 4 for n in patch]
        control = control.reshape(*shape, 3)
        for a in range(3):
            source[a] += nd.map_coordinates(control[..., a], o / grid + 1, order=3, prefilter=False, mode="nearest")
    return source


bends = {"rotate": [{"name": "rotate", "range": [-40, 40]}], "axial": [{"name": "rotate", "range": [20, 30], "axes": "z"}],
         "zoom": [{"name": "zoom", "range": [0.6, 0.8]}], "elastic": [{"name": "elastic", "range": [1, 2], "grid": 8}],
         "translate": [{"name": "translate", "range": [-7.3, 7.3]}], "a box that grows, turns and moves": [
             {"name": "rotate", "range": [-10, 10]}, {"name": "zoom", "range": [0.7, 1]}, {"name": "translate", "range": [-5, 5], "axes": "yx"}],
         "all three": [{"name": "rotate", "range": [-30, 30]}, {"name": "zoom", "range": [0.7, 1.4]}, {"name": "elastic", "range": [0.5, 1.5], "grid": 8}]}
for name, steps in bends.items():
    worst, wrong, voxels = 0, 0, 0
    for step in range(4):
        patch = (16, 14, 18) if step % 2 else (16, 16, 16)
        image, target, trace = draw(steps, patch, step)
        at = coordinates(trace, patch, header["spacing_mm"])
        for c in range(4):
            want = nd.map_coordinates(volume[c], at, order=1, mode="grid-constant").reshape(patch)
            worst = max(worst, np.abs(image[c] - want).max())
        share = nd.map_coordinates((regions & 1).astype("f8"), at, order=1, mode="grid-constant").reshape(patch)
        clear = np.abs(share - 0.5) > 1e-4
        wrong += ((target & 1) != (share >= 0.5))[clear].sum()
        voxels += target.any() + 0
    check(worst < 2e-4 and wrong == 0 and voxels, "%s: scipy's map_coordinates of the same positions, regions by half their weight" % name, (worst, wrong))

exact = {"flip": lambda x, t: x[tuple(slice(None, None, -1 if w else 1) for w in t["what"])],
         "rotate90": lambda x, t: np.rot90(x, int(t["what"][0]), (1, 2)), "swap": lambda x, t: np.swapaxes(x, int(t["what"][0]), int(t["what"][1]))}
for name in exact:
    seen, good = set(), True
    for step in range(24):
        image, target, trace = draw([{"name": name}], step=step)
        x, r = crop(trace, (16, 16, 16))
        seen.add(tuple(trace[1]["what"]))
        good = good and all(np.array_equal(image[c], exact[name](x[c], trace[1]).astype("f4")) for c in range(4)) and np.array_equal(target, exact[name](r, trace[1]))
    check(good and len(seen) >= 3, "%s: numpy's, bit for bit, image and regions (%d forms)" % (name, len(seen)))
good = True
for step in range(30):
    image, target, trace = draw([{"name": n} for n in ("rotate90", "swap", "flip", "rotate90", "swap")], step=step)
    x, r = crop(trace, (16, 16, 16))
    for t in trace[1:]:
        x, r = np.stack([exact[t["name"]](k, t) for k in x]), exact[t["name"]](r, t)
    good = good and np.array_equal(image, x) and np.array_equal(target, r)
check(good, "five exact ones behind each other: numpy's, bit for bit")

# --- intensities ------------------------------------------------------------------------------------------------------------


def gamma(x, g, o):
    """batchgenerators' augment_gamma."""
    x = -x if o.get("invert") else x
    mean, sd = x.mean(), x.std()
    low, span = x.min(), x.max() - x.min()
    x = ((x - low) / (span + 1e-7)) ** g * span + low
    if o.get("keep"):
        x = (x - x.mean()) / (x.std() + 1e-8) * sd + mean
    return -x if o.get("invert") else x


def lowres(x, f, o):
    small = [max(1, int(np.floor(n * f + 0.5))) for n in x.shape]
    pick = [((2 * np.arange(m) + 1) * n) // (2 * m) for n, m in zip(x.shape, small)]
    low = x[np.ix_(*pick)]
    at = np.meshgrid(*[np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1) for n, m in zip(x.shape, small)], indexing="ij")
    return nd.map_coordinates(low, at, order=1, mode="nearest")


formulas = {"scale": lambda x, v, o: x * v, "shift": lambda x, v, o: np.where((x != 0) | o.get("everywhere", False), x + v, 0), "gamma": gamma,
            "contrast": lambda x, v, o: np.clip((x - x.mean()) * v + x.mean(), x.min(), x.max()),
            "blur": lambda x, v, o: nd.gaussian_filter(x, v), "lowres": lowres}
for o in ({"name": "scale", "range": [0.5, 2]}, {"name": "scale", "range": [0.5, 2], "same": True}, {"name": "shift", "range": [-1, 1]},
          {"name": "shift", "range": [1, 2], "everywhere": True}, {"name": "gamma", "range": [0.5, 2.5]}, {"name": "gamma", "range": [0.7, 1.5], "keep": True},
          {"name": "gamma", "range": [0.7, 1.5], "keep": True, "invert": True}, {"name": "contrast", "range": [0.5, 1.5]},
          {"name": "blur", "range": [0.5, 1.5], "channel_p": 0.5}, {"name": "lowres", "range": [0.3, 1]}):
    worst, draws = 0, []
    for step in range(6):
        patch = (16, 13, 19)
        image, target, trace = draw([o], patch, step)
        x, r = crop(trace, patch)
        t = trace[1]
        draws.append(t["value"])
        for c in range(4):
            want = formulas[o["name"]](x[c], t["value"][c], o) if t["taken"][c] else x[c]
            worst = max(worst, np.abs(image[c] - want).max() / max(1, np.abs(want).max()))
    v = np.array(draws)
    good = worst < 1e-5 and v.min() >= o["range"][0] and v.max() <= o["range"][1] and (v.std(1).max() == 0) == o.get("same", False)
    check(good, "%s %s: the formula" % (o["name"], {k: w for k, w in o.items() if k not in ("name", "range")} or ""), (worst, v))
noise = {}
for relative in (False, True):
    image, target, trace = draw([{"name": "noise", "range": [0.2, 0.2], "relative": relative, "everywhere": True}], (24, 24, 24))
    x, r = crop(trace, (24, 24, 24))
    noise[relative] = image - x
    sd = np.array([0.2 * (k[k != 0].std() if relative else 1) for k in x])
    got = (image - x).std((1, 2, 3))
    flat = ((image - x) / sd[:, None, None, None]).ravel()
    good = np.abs(got / sd - 1).max() < 0.03 and abs(flat.mean()) < 0.01 and abs((flat ** 3).mean()) < 0.05 and abs((flat ** 4).mean() - 3) < 0.1
    check(good, "noise%s: normal, of the deviation asked for, each channel its own" % (" relative" if relative else ""), (got, sd))
image, target, trace = draw([{"name": "drop"}], step=3)
x, r = crop(trace, (16, 16, 16))
k = int(trace[1]["channel"][0])
check(not image[k].any() and all(np.array_equal(image[c], x[c].astype("f4")) for c in range(4) if c != k), "drop: one channel is 0, the others as they were")

# --- how often, and from what -----------------------------------------------------------------------------------------------
steps = [{"name": "scale", "range": [0.9, 1.1], "p": 0.3}, {"p": 0.8, "of": [{"name": "flip"}, {"name": "noise", "range": [0, 0.1], "p": 0.5}]}]
count = {"scale": 0, "flip": 0, "noise": 0}
both = 0
for step in range(400):
    names = [t["name"] for t in draw(steps, (8, 8, 8), step)[2][1:]]
    for n in names:
        count[n] += 1
    both += "noise" in names and "flip" not in names
near = lambda k, p: abs(count[k] - 400 * p) < 4 * (400 * p * (1 - p)) ** 0.5
check(near("scale", 0.3) and near("flip", 0.8) and near("noise", 0.4) and both == 0, "probabilities: of an entry, of a gate, and of an entry behind a gate", count)
full = bends["all three"] + [{"name": "gamma", "range": [0.7, 1.5], "keep": True}, {"name": "noise", "range": [0.1, 0.2], "relative": True}, {"name": "blur", "range": [0.5, 1]}]
one, many = draw(full, threads="1"), draw(full, threads="2")
check(np.array_equal(one[0], many[0]) and np.array_equal(one[1], many[1]), "one thread and two: the same bits")
more = draw(full + [{"name": "drop"}], step=2)[2]
check(more[:-1] == draw(full, step=2)[2], "an entry added at the end changes nothing of the others")
a, b, c = (draw(full, step=1, slot=s, seed=d)[0] for s, d in ((0, 1), (1, 1), (0, 2)))
check(not np.array_equal(a, b) and not np.array_equal(a, c), "another slot, another seed: another patch")

# --- refusals ---------------------------------------------------------------------------------------------------------------
for bad, what in (([{"name": "twist"}], "no augmentation is named"), ([{"name": "scale"}], "needs \"range\""), ([{"name": "scale", "range": [2, 1]}], "needs \"range\""),
                  ([{"name": "flip", "p": 1.5}], "probability"), ([{"name": "flip", "range": [0, 1]}], "unknown key"), ([{"name": "flip", "axes": "xw"}], "letters of zyx"),
                  ([{"of": [{"of": []}]}], "no gate"), ([3], "must be an object"), ({"name": "flip"}, "must be a list")):
    code, err = draw(bad)
    check(code == 64 and what in err and "--augment" in err, "refused: %s" % json.dumps(bad), (code, err))
code, err = draw([{"name": "swap"}], (16, 16, 8))
check(code == 64 and "cubic" in err, "refused: swap with a patch that is no cube", err)
code, err = draw([{"name": "rotate90"}], (16, 16, 8))
check(code == 64 and "square" in err, "refused: quarter turns of a patch that is not square", err)

# --- in a training ----------------------------------------------------------------------------------------------------------
container(T + "/two/a/subject.vtp", "a", 0, manifest, 6, N)
container(T + "/two/b/subject.vtp", "b", 1, manifest, 7, N)
words = [B + "/bin/train", "--patches", T + "/two", "--patch", "16", "--network", '{"init_filters": 8}', "--steps", "4", "--validate-every", "4", "--fold", "1"]
weights = lambda name: open("%s/%s/last.safetensors" % (T, name), "rb").read()
for name, more in (("plain", []), ("changed", ["--augment", json.dumps(full)]), ("again", ["--augment", json.dumps(full), "--scratch", T + "/scratch", "--save-every", "1"])):
    p = subprocess.run(words + more + ["--out", T + "/" + name], capture_output=True, text=True)
    check(p.returncode == 0, "train with %s" % name, p.stderr)
check(weights("plain") != weights("changed") and weights("changed") == weights("again"), "--augment changes the training; the same list gives the same bytes")
p = subprocess.run([w if w != "16" else "16,16,24" for w in words] + ["--augment", '[{"name": "swap"}]', "--out", T + "/bad"], capture_output=True, text=True)
check(p.returncode == 64 and "cubic" in p.stderr, "train refuses what the patch's shape forbids before it reads patches", p.stderr)
