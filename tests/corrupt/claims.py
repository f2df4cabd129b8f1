"""What a file from elsewhere says of itself decides no size, no place and no waiting time."""
import gzip, json, os, struct, subprocess, zipfile, zlib
from _checks import no_bounds
B, T = os.environ["B"], os.environ["T"]
unbounded = no_bounds("memory of volumes that claim gigabytes")

def say(good, what, seen=""):
    print(("ok - " if good else "not ok - ") + what)
    if not good:
        print("#", str(seen)[-800:])

def run(*args, timeout=60, **kw):
    try:
        return subprocess.run([str(a) for a in args], capture_output=True, text=True, errors="replace", timeout=timeout, **kw)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(args, -99, "", "did not end")

def refused(r, status, words, what):
    say(r.returncode == status and all(w in r.stderr for w in words), what, (r.returncode, r.stderr))

def put(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "wb").write(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path

manifest = {"format": 1, "name": "m", "channels": [{"role": "t1", "files": ["{subject}/t1.nii.gz"]}],
            "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "none", "1": "one"}}, "regions": [{"name": "R", "values": [1]}]}
checkpoint = {"format": 1, "manifest": manifest, "model": {"name": "unet3d", "params": {"width": 4}}, "channels": ["t1"], "regions": ["R"],
              "patch": [16, 16, 16], "activation": "sigmoid", "fold": 0, "steps": 1, "subjects": {"train": []}}

def vtp(path, **changes):
    dims, n = [4, 4, 4], 64
    h = {"format": 1, "subject": "s", "channels": ["t1"], "dims": dims, "dtype": "f32", "regions": ["R"], "labeled": True, "n_foreground": 1,
         "test": True, "fold": 0, "spacing_mm": [1, 1, 1], "manifest": manifest, "offsets": {"image": 2048, "regions": 2304, "labels": 2368, "foreground": 2432}}
    h.update(changes)
    head = json.dumps(h).encode().ljust(2048 - 16)
    put(path, b"VOXPATCH" + struct.pack("<Q", len(head)) + head + struct.pack("<f", float("nan")) * n + b"\1" * n + b"\1" * n + struct.pack("<I", 0).ljust(64, b"\0"))

def model(name, **changes):
    put(T + "/%s/checkpoint.json" % name, {**checkpoint, **changes})
    return T + "/" + name

# a checkpoint's numbers
vtp(T + "/patches/s/subject.vtp")
evaluate = lambda m, p="patches": run(B + "/bin/evaluate", "--model", m, "--patches", T + "/" + p, "--out", m + ".out-" + p)
refused(evaluate(model("many", regions=["r%d" % i for i in range(300)])), 65, ["checkpoint.json", "/regions holds 300 names"], "a checkpoint of 300 regions")
refused(evaluate(model("other", regions=["Q"])), 65, ["/regions/0"], "a checkpoint whose regions are not its manifest's")
refused(evaluate(model("channels", channels=["t1"] * 40)), 65, ["/channels holds 40 names"], "a checkpoint of 40 channels")
for patch in ([8388608] * 3, [2147483640] * 3, [0, 16, 16], [-16] * 3, [16, 16], [16.5, 16, 16], [1 << 40, 16, 16], "x"):
    refused(evaluate(model("patch", patch=patch)), 65, ["checkpoint.json", "/patch must be three whole numbers from 1 to 1024"], "a checkpoint of patch %s" % (patch,))
big = {**manifest, "regions": [{"name": "r%d" % i, "values": [1]} for i in range(300)]}
refused(evaluate(model("regions", manifest=big, regions=["r%d" % i for i in range(300)])), 65, ["/regions", "1 to 8"], "a manifest of 300 regions")
free = {k: v for k, v in big.items() if k != "label"}
refused(evaluate(model("unlabeled", manifest=free, regions=["r%d" % i for i in range(300)])), 65, ["/regions", "1 to 8"], "a manifest of 300 regions without labels")
refused(evaluate(model("list", manifest=[1])), 65, ["must be a JSON object"], "a manifest that is a list")

# a container's header
for name, changes, words in (("regions", {"regions": ["r%d" % i for i in range(40)]}, ["40 regions; at most 8"]),
                             ("channels", {"channels": ["c"] * 17}, ["impossible size"]),
                             ("dims", {"dims": [4096, 4096, 4096]}, ["impossible size"]),
                             ("negative", {"dims": [-4, 4, 4]}, ["impossible size"]),
                             ("spacing", {"spacing_mm": [0, 1, 1]}, ["/spacing_mm"]),
                             ("foreground", {"n_foreground": -1}, ["label section"]),
                             ("offset", {"offsets": {"image": 1 << 62}}, ["image section"])):
    vtp(T + "/p-%s/s/subject.vtp" % name, **changes)
    refused(run(B + "/bin/train", "--patches", T + "/p-" + name, "--patch", "16", "--steps", "1", "--out", T + "/t-" + name), 65, ["subject.vtp"] + words, "a container with wrong %s" % name)

# a manifest that is JSON of another kind, as a natural slip gives it
os.makedirs(T + "/scans/s", exist_ok=True)
for what in ([1], "text", 7, None, [{"pipeline": {"name": "p"}}], {**manifest, "label": {"files": ["{subject}/x"], "values": ["0"]}}, {**manifest, "split": [1]}):
    put(T + "/x.json", what)
    refused(run(B + "/bin/skullstrip-normalize", "--scans", T + "/scans", "--manifest", T + "/x.json", "--out", T + "/o-x"), 65, ["x.json"], "a manifest that is %.40s" % json.dumps(what))

# a volume that is a few kilobytes and claims gigabytes: its subject is refused, the others go on
def nifti(dims, data, kind=2, bits=8):
    h = bytearray(352)
    struct.pack_into("<i", h, 0, 348); struct.pack_into("<8h", h, 40, len(dims), *dims, *([1] * (7 - len(dims))))
    struct.pack_into("<hh", h, 70, kind, bits); struct.pack_into("<8f", h, 76, 1, 1, 1, 1, 1, 1, 1, 1); struct.pack_into("<f", h, 108, 352)
    struct.pack_into("<h", h, 254, 1); struct.pack_into("<12f", h, 280, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0); h[344:348] = b"n+1\0"
    return bytes(h) + data
import random
rng = random.Random(1)
good = bytes(0 if (x - 8) ** 2 + (y - 8) ** 2 + (z - 8) ** 2 > 40 else 90 + rng.randrange(60) for z in range(16) for y in range(16) for x in range(16))
one = {**manifest, "label": None}
plain = {k: v for k, v in manifest.items() if k not in ("label", "regions")}
put(T + "/plain.json", plain)
c = zlib.compressobj(9, zlib.DEFLATED, 31)
bomb = c.compress(nifti([2048, 2048, 512], b""))
block = b"\0" * (1 << 24)
for i in range(16):
    bomb += c.compress(block)
bomb += c.flush()
put(T + "/cohort/bomb/t1.nii.gz", bomb)
put(T + "/cohort/good/t1.nii.gz", gzip.compress(nifti([16, 16, 16], good)))
r = run(B + "/bin/skullstrip-normalize", "--scans", T + "/cohort", "--manifest", T + "/plain.json", "--strip", "never", "--out", T + "/prepared", preexec_fn=lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_AS, (3 << 30, 3 << 30)) if not unbounded else None)
why = T + "/prepared/quarantine/bomb.json"
say(r.returncode == 65 and os.path.exists(why) and "more than the 268435456 allowed" in open(why).read() and os.path.isdir(T + "/prepared/good"),
    "%d bytes that claim 2^31 voxels: one subject in quarantine, the other prepared" % len(bomb), (r.returncode, r.stderr))
r = run(B + "/bin/skullstrip-normalize", "--scans", T + "/cohort", "--manifest", T + "/plain.json", "--strip", "never", "--spacing", "0.001", "--out", T + "/fine")
said = open(T + "/fine/quarantine/good.json").read() if os.path.exists(T + "/fine/quarantine/good.json") else ""
say(r.returncode == 65 and "16000 x 16000 x 16000 voxels; at most" in said, "a grid that is a thousand times finer than the scan's", (r.returncode, r.stderr, said))
say(T not in open(why).read() if os.path.exists(why) else False, "its quarantine file names no folder of this machine")

# weights: names in a zip archive are not ended, and the archive ends where the file does
def directory_in_comment(path):
    body = b"x" * 6
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, zlib.crc32(body), 6, 6, 8, 0) + b"data.pkl" + body
    central = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, zlib.crc32(body), 6, 6, 8, 0, 0, 0, 0, 0, 0) + b"data.pkl"
    pad = (-(len(local) + 22 + len(central))) % 4096
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + pad + 22, len(central))
    put(path, local + b"\0" * pad + end + central)
directory_in_comment(T + "/w.pt")
r = run(B + "/tests/weights_probe", T + "/w.pt")
say(r.returncode not in (0, -99) and r.returncode > 0, "a zip archive without a folder whose directory ends with the file", (r.returncode, r.stderr))

# what is no file never holds a command up
def fifo(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.mkfifo(path)
put(T + "/carried/f", b"x")
fifo(T + "/carried/.lineage/" + "0" * 64 + "/record.json")
for name, args in (("audit", ["audit", T + "/carried"]), ("import", ["import", T + "/carried"]), ("commit", ["commit", "r", T + "/carried"])):
    r = run(B + "/bin/voxtrail", *args, "--store", T + "/store", timeout=20)
    say(r.returncode not in (0, -99) and "not a regular file" in r.stderr, "%s of a directory whose record is a FIFO" % name, (r.returncode, r.stderr))
fifo(T + "/fifo/checkpoint.json")
refused(evaluate(T + "/fifo"), 65, ["a fifo"], "a checkpoint.json that is a FIFO")
fifo(T + "/f-scans/s/t1.nii.gz")
r = run(B + "/bin/skullstrip-normalize", "--scans", T + "/f-scans", "--manifest", T + "/plain.json", "--out", T + "/o-f", timeout=20)
say(r.returncode not in (0, -99), "a scan that is a FIFO", (r.returncode, r.stderr))
fifo(T + "/spec.json")
r = run(B + "/bin/voxtrail", "lint", T + "/spec.json", timeout=20)
say(r.returncode == 66 and "not a regular file" in r.stderr, "a spec that is a FIFO", (r.returncode, r.stderr))
r = run(B + "/bin/voxtrail", "lint", "/dev/zero", timeout=20)
say(r.returncode == 66 and "not a regular file" in r.stderr, "a spec that is a device", (r.returncode, r.stderr))
