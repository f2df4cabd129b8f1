"""Scans (.nii.gz) to label maps: predict on a device against torch_volume.py, each a process, on 1 and on N + 1 subjects of four 240x240x155 scans; what a
further subject takes is a Nth of the difference.  A line each, and the share of the brain's voxels on which they agree.
      B=build/release end_to_end.py WORK bf16|f32 N [--device cpu]       SHAPE="155 240 240" PATCH=128: smaller, to try it"""
import gzip, json, os, shutil, subprocess, sys, time
import numpy as np

here, B = os.path.dirname(os.path.abspath(__file__)), os.environ.get("B", "build/release")
work, precision, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
device = sys.argv[5] if "--device" in sys.argv else "cuda"
shape, patch = [int(v) for v in os.environ.get("SHAPE", "155 240 240").split()], os.environ.get("PATCH", "128")
mm = 240 / shape[2]
manifest, roles = work + "/manifest.json", ["flair", "t1", "t1ce", "t2"]
as_scanned = {k: v for k, v in json.load(open(os.path.join(here, "../../manifests/embedded.json"))).items() if k != "spacing_mm"}
os.makedirs(work, exist_ok=True)
json.dump(as_scanned, open(manifest, "w"))


def write(path, x, kind):
    head = bytearray(352)
    head[0:4], head[344:348], head[108:112] = (348).to_bytes(4, "little"), b"n+1\0", np.array([352], "<f4").tobytes()
    head[40:56] = np.array([3, x.shape[2], x.shape[1], x.shape[0], 1, 1, 1, 1], "<i2").tobytes()
    head[70:74] = np.array([kind, 8 * x.itemsize], "<i2").tobytes()
    head[76:92] = np.array([1, mm, mm, mm], "<f4").tobytes()
    head[254:256] = np.array([1], "<i2").tobytes()
    head[280:328] = np.array([mm, 0, 0, 0, 0, mm, 0, 0, 0, 0, mm, 0], "<f4").tobytes()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with gzip.open(path, "wb", 4) as f:
        f.write(bytes(head) + x.tobytes())


def subject(where, seed):
    rng = np.random.default_rng(seed)
    g = [np.arange(s, dtype="f4").reshape([-1 if a == k else 1 for k in range(3)]) - s / 2 for a, s in enumerate(shape)]
    r = np.sqrt((g[0] / (0.43 * shape[0])) ** 2 + (g[1] / (0.35 * shape[1])) ** 2 + (g[2] / (0.29 * shape[2])) ** 2)
    d = np.sqrt((g[0] - 5) ** 2 + (g[1] - 12) ** 2 + (g[2] + 15) ** 2) / shape[0]
    for role in roles:
        x = 500 + 150 * np.sin(g[2] / 9) * np.cos(g[1] / 7) * np.sin(g[0] / 8) + 300 * (d < 0.16) + rng.normal(0, 9, r.shape)
        write("%s/scans/%s/%s.nii.gz" % (where, os.path.basename(where) + str(seed), role), np.where(r < 1, x, 0).astype("<i2"), 4)
    write("%s/labels/%s/seg.nii.gz" % (where, os.path.basename(where) + str(seed)), (2 * (d < 0.16)).astype("u1"), 2)


def timed(args, **more):
    t = time.perf_counter()
    p = subprocess.run(args, capture_output=True, text=True, **more)
    if p.returncode:
        sys.exit("%s: status %d: %s" % (" ".join(args), p.returncode, p.stderr[-800:]))
    return time.perf_counter() - t, p.stdout


def stage(name, **ports):
    return timed([B + "/bin/" + name] + [v for k, w in ports.items() for v in ("--" + k, str(w))])


for where, count in (("one", 1), ("all", n + 1)):
    for i in range(count):
        if not os.path.exists("%s/%s/labels/%s%d/seg.nii.gz" % (work, where, where, i)):
            subject("%s/%s" % (work, where), i)
if not os.path.exists(work + "/model/checkpoint.json"):
    stage("skullstrip-normalize", scans=work + "/one/scans", manifest=manifest, out=work + "/normed")
    stage("crop-patch", normed=work + "/normed", labels=work + "/one/labels", manifest=manifest, out=work + "/patches")
    on = {"device": device, "precision": precision} if device != "cpu" else {}
    stage("train", patches=work + "/patches", network='{"init_filters": 16}', patch=patch, pad="true", steps=1, fold=-1, out=work + "/model", **on)
times = {}
for where in ("one", "all"):
    on = {"device": device, "precision": precision} if device != "cpu" else {}
    for old in ("ours", "torch"):
        shutil.rmtree("%s/%s-%s" % (work, old, where), ignore_errors=True)
    ours = stage("predict", model=work + "/model", scans="%s/%s/scans" % (work, where), manifest=manifest, out="%s/ours-%s" % (work, where), **on)[0]
    took, said = timed([sys.executable, os.path.join(here, "torch_volume.py"), "subjects", "%s/%s/scans" % (work, where), work + "/model",
                        "%s/torch-%s" % (work, where), precision])
    times[where] = ours, took
    who = json.loads(said.splitlines()[-1])["who"]
for k, name in enumerate(("voxtrail", who)):
    print(json.dumps({"who": name, "net": "segresnet", "edge": int(patch), "precision": precision, "work": "scans to labels",
                      "median_ms": round(1e3 * (times["all"][k] - times["one"][k]) / n, 1), "first_ms": round(1e3 * times["one"][k], 1)}))
same = []
unpack = lambda path, kind: np.frombuffer(gzip.decompress(open(path, "rb").read()), kind, offset=352)
for s in sorted(os.listdir(work + "/all/scans")):
    a, b = (unpack("%s/%s-all/%s/seg.nii.gz" % (work, w, s), "u1") for w in ("ours", "torch"))
    same.append((a == b)[unpack("%s/all/scans/%s/flair.nii.gz" % (work, s), "<i2") != 0].mean())
print("labels agree at %.4f of the brain's voxels or more" % min(same), file=sys.stderr)
