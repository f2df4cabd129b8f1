"""The volume reader against nibabel: files made here on the spot, and the format matrix of the development data."""
import gzip, itertools, json, os, struct, subprocess, sys
import numpy as np
import nibabel as nib

facts = os.path.join(os.environ["B"], "tests", "volume_facts")
T, shared = os.environ["T"], os.environ.get("SHARED", "")
failed = 0


def say(good, what, why=""):
    global failed
    failed += not good
    print(("ok - " if good else "not ok - ") + what + ("" if good else ": " + str(why)))


def read(path):
    p = subprocess.run([facts, path], capture_output=True, text=True, timeout=60)
    first, _, message = p.stdout.partition("\t")
    try:
        return p.returncode, json.loads(first), message
    except ValueError:
        return p.returncode, None, p.stdout + p.stderr


def affine_of(img):
    return np.asarray(img.affine)[:3]


def close(a, b):
    return abs(a - b) <= 1e-9 * max(1, abs(b))


def compare(path):
    """Empty string if our facts equal nibabel's."""
    rc, f, message = read(path)
    if rc or not f:
        return "exit %s %s" % (rc, message)
    img = nib.load(path)
    x = np.asarray(img.dataobj).astype(np.float64)
    shape = list(x.shape) + [1] * (3 - x.ndim)
    if f["shape"] != shape[:3] or f["frames"] != int(np.prod(shape[3:])):
        return "shape %s frames %s, nibabel %s" % (f["shape"], f["frames"], shape)
    fine = np.isfinite(x)
    if f["nonfinite"] != int((~fine).sum()):
        return "nonfinite"
    for key, want in (("sum", x[fine].sum()), ("min", x[fine].min()), ("max", x[fine].max())):
        if not close(f[key], want):
            return "%s %r, nibabel %r" % (key, f[key], want)
    if min(shape[:3]) > 3 and not close(f["at"], x.reshape(shape[:3] + [-1])[1, 2, 3, 0]):
        return "voxel"
    gap = np.abs(np.array(f["affine"]) - affine_of(img)).max()
    if gap > 1e-5:
        return "affine differs by %g" % gap
    if f["orientation"] != "".join(nib.aff2axcodes(np.vstack([f["affine"], [0, 0, 0, 1]]))):
        return "orientation %s" % f["orientation"]
    return ""


def made():
    rng = np.random.default_rng(5)
    base = rng.integers(0, 100, (7, 6, 5))
    a = np.array([[-0.9, 0.1, 0.2, 10], [0.1, 0.2, 2.9, -5], [0.05, 1.1, -0.3, 7], [0, 0, 0, 1]])
    n = 0
    for kind, order, code in itertools.product((nib.Nifti1Image, nib.Nifti2Image), "<>",
                                               ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")):
        cls = nib.Nifti1Header if kind is nib.Nifti1Image else nib.Nifti2Header
        h = cls(endianness=order)
        h.set_data_dtype(np.dtype(order + code))
        img = kind(base.astype(code), a, header=h)
        path = os.path.join(T, "m%d%s" % (n, ".nii.gz" if n % 3 else ".nii"))
        nib.save(img, path)
        n += 1
        why = compare(path)
        if why:
            return "%s%s: %s" % (order, code, why)
    for slope, inter, q, s in ((0.5, -3, 1, 0), (-2, 7, 0, 0), (1, 0, 2, 3)):
        img = nib.Nifti1Image(base.astype("i2"), a)
        img.header.set_slope_inter(slope, inter)
        r = np.diag([1.5, 2.0, 2.5, 1.0])
        r[:3, 3] = 3, 4, 5
        img.set_qform(r, q)
        img.set_sform(a if s else None, s)
        path = os.path.join(T, "s%d.nii" % n)
        n += 1
        nib.save(img, path)
        why = compare(path)
        if why:
            return "slope %g: %s" % (slope, why)
    return ""


def written():
    """What we write, nibabel reads: values, affine, and equal bytes for equal input."""
    rng = np.random.default_rng(6)
    a = np.array([[-1.2, 0, 0, 10], [0, 0, 2.5, -5], [0, 1.1, 0, 7], [0, 0, 0, 1.0]])
    img = nib.Nifti1Image(rng.normal(size=(9, 8, 7)).astype("f8"), a)
    source = os.path.join(T, "source.nii.gz")
    nib.save(img, source)
    for name in ("copy.nii", "copy.nii.gz"):
        out = [os.path.join(T, d + name) for d in ("a_", "b_")]
        for o in out:
            subprocess.run([facts, "--copy", source, o], check=True)
        if open(out[0], "rb").read() != open(out[1], "rb").read():
            return "%s: bytes differ between two runs" % name
        back = nib.load(out[0])
        if not np.array_equal(np.asarray(back.dataobj), np.asarray(img.dataobj).astype("f4")):
            return "%s: values" % name
        if np.abs(back.affine - a).max() > 1e-5:
            return "%s: affine" % name
    return ""


def damaged():
    """Cut and changed copies of a good file are refused with a message, never read as something else."""
    img = nib.Nifti1Image(np.arange(4 * 5 * 6, dtype="i2").reshape(4, 5, 6), np.eye(4))
    good = img.to_bytes()
    header = bytearray(good[:352])
    cases = {"empty": b"", "text": b"hello world, not a volume" * 40, "half header": good[:200], "no voxels": good[:352],
             "one byte short": good[:-1], "gzip cut": gzip.compress(good)[:-20], "gzip without trailer": gzip.compress(good)[:-8]}
    trailer = {}
    for n, more in enumerate((b"", b"x what an upload left behind", b"\0" * 700)):
        path = os.path.join(T, "behind%d.nii.gz" % n)
        open(path, "wb").write(gzip.compress(good) + more)
        trailer[n] = read(path)
    if trailer[0][0] or any(trailer[n][:2] != trailer[0][:2] for n in trailer):
        return "bytes after the gzip stream: %s" % trailer
    broken = bytearray(gzip.compress(good))
    broken[-5] ^= 1
    cases["gzip checksum"] = bytes(broken)
    for name, offset, value in (("magic", 344, b"abcd"), ("dim0", 40, struct.pack("<h", 9)), ("dim1", 42, struct.pack("<h", -3)),
                                ("huge", 42, struct.pack("<hhh", 32767, 32767, 32767)), ("type", 70, struct.pack("<h", 999)),
                                ("bitpix", 72, struct.pack("<h", 64)), ("offset", 108, struct.pack("<f", -16)),
                                ("offset nan", 108, struct.pack("<f", float("nan"))),
                                ("slope inf", 112, struct.pack("<f", float("inf"))),
                                ("sform nan", 280, struct.pack("<f", float("nan"))), ("sform zero", 280, b"\0" * 48)):
        h = bytearray(header)
        h[offset:offset + len(value)] = value
        cases[name] = bytes(h) + good[352:]
    for name, content in cases.items():
        path = os.path.join(T, "bad.nii.gz" if "gzip" in name else "bad.nii")
        open(path, "wb").write(content)
        rc, f, message = read(path)
        if rc != 65 or "bad.nii" not in message or len(message) < 30:
            return "%s: exit %d, %s" % (name, rc, message)
    return ""


def matrix():
    ok = os.path.join(shared, "data/formats/made/ok")
    expected = json.load(open(os.path.join(ok, "expected.json")))
    wrong = []
    for name, want in sorted(expected.items()):
        rc, f, message = read(os.path.join(ok, name))
        if rc or not f:
            wrong.append("%s: %s" % (name, message))
            continue
        shape = want["shape"] + [1] * (3 - len(want["shape"]))
        same = (f["shape"] == shape[:3] and f["frames"] == int(np.prod(shape[3:])) and f["nonfinite"] == want["nonfinite"] and
                close(f["sum"], want["sum"]) and close(f["min"], want["min"]) and close(f["max"], want["max"]) and
                close(f["at"], want["at_1_2_3"]) and
                np.abs(np.array(f["affine"]) - np.array(want["affine"])[:3]).max() < 2e-5)
        if not same:
            wrong.append(name)
    say(not wrong, "%d valid files equal their expected values" % len(expected), wrong)
    bad = os.path.join(shared, "data/formats/made/bad")
    why = json.load(open(os.path.join(bad, "why.json")))
    # Damage that leaves the voxels and the affine in use intact: the values must then be right.
    tolerable = {"pixdim_nan.nii", "pixdim_zero.nii", "quatern_not_unit.nii", "slope_nan.nii"}
    wrong = []
    for name in sorted(why):
        rc, f, message = read(os.path.join(bad, name))
        if name in tolerable:
            if rc or f["sum"] != 926727 or f["nonfinite"]:
                wrong.append("%s: exit %d %s" % (name, rc, message))
        elif rc != 65 or name not in message or len(message) < 30:
            wrong.append("%s (%s): exit %d %s" % (name, why[name], rc, message))
    say(not wrong, "%d damaged files: refused with a message, or right values" % len(why), wrong)


def real():
    root = os.path.join(shared, "data/formats/real")
    wrong = []
    names = sorted(n for n in os.listdir(root) if n.endswith((".nii", ".nii.gz", ".hdr")))
    for name in names:
        path = os.path.join(root, name)
        rc, f, message = read(path)
        if rc == 65 and name in ("not_nifti.nii", "nibabel_analyze.hdr", "nibabel_nifti1.hdr", "nibabel_nifti2.hdr"):
            continue
        why = compare(path)
        if why:
            wrong.append("%s: %s" % (name, why))
    say(not wrong, "%d files of other projects equal nibabel" % len(names), wrong)


for test, what in ((made, "20 types and orders, slopes and forms made here equal nibabel"), (written, "nibabel reads what we write"),
                   (damaged, "damaged copies are refused by name")):
    why = test()
    say(not why, what, why)
if shared:
    matrix()
    real()
else:
    print("skip - format matrix: development data not present")
sys.exit(failed != 0)
