"""Processor seconds of the stages over many small subjects: is it linear in them?

    /usr/bin/python3 bench/subjects.py [--sizes 4000,8000] [BIN]

Cohorts of 8x8x8 voxels, so that what is timed is what a subject costs beside its voxels.  Prints a row a stage: seconds (user and system,
of the stage alone) for each size, and the exponent of growth between the first and the last size; 1 is linear."""
import argparse, json, math, os, resource, struct, subprocess, sys, tempfile
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--sizes", default="4000,8000")
parser.add_argument("bin", nargs="?", default="build/release/bin")
o = parser.parse_args()
sizes, bins = [int(s) for s in o.sizes.split(",")], os.path.abspath(o.bin)
EDGE = 8
rng = np.random.default_rng(1)


def nifti(x, code, bits):
    h = bytearray(352)
    struct.pack_into("<i", h, 0, 348)
    struct.pack_into("<8h", h, 40, 3, *x.shape, 1, 1, 1, 1)
    struct.pack_into("<hh", h, 70, code, bits)
    struct.pack_into("<8f", h, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<3f", h, 108, 352, 1, 0)
    struct.pack_into("<2h", h, 252, 0, 1)
    struct.pack_into("<12f", h, 280, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    h[344:348] = b"n+1\0"
    return bytes(h) + x.tobytes(order="F")


def cohort(n):
    q = ((np.indices((EDGE,) * 3) - EDGE // 2) ** 2).sum(0)
    seg, mask = nifti((q < 5).astype("u1"), 2, 8), nifti(np.ones((EDGE,) * 3, "u1"), 2, 8)
    for i in range(n):
        os.makedirs("c/s%05d" % i)
        for name, data in (("flair", nifti((rng.normal(100, 10, q.shape) + 40 * (q < 5)).astype("<f4"), 16, 32)), ("seg", seg), ("mask", mask)):
            open("c/s%05d/%s.nii" % (i, name), "wb").write(data)
    json.dump({"format": 1, "name": "many", "channels": [{"role": "flair", "files": ["{subject}/flair.nii"]}], "mask": {"files": ["{subject}/mask.nii"]},
               "label": {"files": ["{subject}/seg.nii"], "values": {"0": "b", "1": "t"}}, "regions": [{"name": "WT", "values": [1]}],
               "split": {"seed": 1, "test": 0.2, "folds": 5}}, open("m.json", "w"))


def seconds(name, *args):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([bins + "/" + name, *args], check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


rows = {}
for n in sizes:
    with tempfile.TemporaryDirectory() as d:
        os.chdir(d)
        cohort(n)
        net = ("--model", "meshnet", "--network", '{"channels": 4, "dilations": [1]}', "--patch", "8", "--steps", "2", "--validate-every", "2", "--max-validation", "2")
        for stage, args in (("skullstrip-normalize", ("--scans", "c", "--manifest", "m.json", "--out", "n")),
                            ("crop-patch", ("--normed", "n", "--labels", "c", "--manifest", "m.json", "--out", "p")),
                            ("train", ("--patches", "p", "--out", "t", *net)),
                            ("evaluate", ("--model", "t", "--patches", "p", "--subjects", "all", "--bootstrap", "0", "--overlap", "0", "--out", "e"))):
            rows.setdefault(stage, []).append(seconds(stage, *args))
            print("#", n, stage, "%.1f s" % rows[stage][-1], file=sys.stderr, flush=True)
        os.chdir("/")
print("| stage | " + " | ".join("%d subjects" % n for n in sizes) + " | exponent |\n|---|" + "---|" * (len(sizes) + 1))
for stage, t in rows.items():
    print("| %s | %s | %.2f |" % (stage, " | ".join("%.1f s" % v for v in t), math.log(t[-1] / t[0]) / math.log(sizes[-1] / sizes[0])))
