"""A header's spacing, or a flag's, decides no more memory than stated (docs/trust.md, "Limits of a volume")."""
import glob, gzip, json, os, random, struct, subprocess
from _checks import no_bounds, say
B, T = os.environ["B"], os.environ["T"]
unbounded = no_bounds("memory of what is refused")


def nifti(dims, spacing, noise):
    h, n = bytearray(352), dims[0] * dims[1] * dims[2]
    struct.pack_into("<i", h, 0, 348)
    struct.pack_into("<8h", h, 40, 3, *dims, 1, 1, 1, 1)
    struct.pack_into("<hh", h, 70, 2, 8)
    struct.pack_into("<8f", h, 76, 1, *spacing, 1, 1, 1, 1)
    struct.pack_into("<f", h, 108, 352)
    struct.pack_into("<h", h, 254, 1)
    struct.pack_into("<12f", h, 280, spacing[0], 0, 0, 0, 0, spacing[1], 0, 0, 0, 0, spacing[2], 0)
    h[344:348] = b"n+1\0"
    return bytes(h) + (random.Random(1).randbytes(n) if noise else bytes(n))


manifest = {"format": 1, "name": "m", "channels": [{"role": "t1", "files": ["{subject}/t1.nii.gz"]}]}
number = 0


def prepare(dims, spacing, *args, noise=True, **more):
    """Exit status, what quarantine says of the subject, and MiB at the peak."""
    global number
    number += 1
    at = f"{T}/{number}"
    os.makedirs(at + "/scans/a")
    with gzip.open(at + "/scans/a/t1.nii.gz", "wb", 1) as f:
        f.write(nifti(dims, spacing, noise))
    with open(at + "/m.json", "w") as f:
        json.dump({**manifest, **more}, f)
    p = subprocess.Popen([B + "/bin/skullstrip-normalize", "--scans", at + "/scans", "--manifest", at + "/m.json", "--out", at + "/out", *args],
                         stdout=open(at + "/said", "w"), stderr=subprocess.STDOUT)
    _, status, used = os.wait4(p.pid, 0)
    why = "".join(open(f, errors="replace").read() for f in glob.glob(at + "/out/quarantine/*"))
    return os.waitstatus_to_exitcode(status), why + open(at + "/said", errors="replace").read(), used.ru_maxrss >> 10


def refused(what, words, dims, spacing, *args, most_mib=256, **more):
    status, said, mib = prepare(dims, spacing, *args, **more)
    say(status == 65 and all(w in said for w in words) and (unbounded or mib < most_mib), f"{what}: 65, before memory is taken for it", (status, mib, said))


refused("a box of 9 m", ["t1.nii.gz", "100 voxels of 90 mm along axis 2", "longer than 4096 mm", "correct the spacing"], (10, 100, 100), (1.4, 90, 90))
refused("a box of 9 m in another order", ["100 voxels of 90 mm along axis 1", "longer than 4096 mm"], (100, 100, 10), (90, 90, 0.011))
refused("few voxels that become many in cubes of 1 mm", ["8 x 40 x 40 voxels of 1.4 x 90 x 90 mm would become 11 x 3600 x 3600", "at most 64 times", "correct the scan's spacing"], (8, 40, 40), (1.4, 90, 90))
refused("a head in a box of 0.8 m", ["a box of 358 x 800 x 800 mm", "at most 134217728 cubes of 1 mm", "give a brain mask"], (256, 160, 160), (1.4, 5, 5), noise=False, most_mib=512)
refused("--spacing far below the scan's", ["40 x 40 x 40 voxels of 5 x 5 x 5 mm would become 400 x 400 x 400", "ask for a coarser one"], (40, 40, 40), (5, 5, 5), "--spacing", "0.5")
refused("--spacing that would make more voxels than are allowed of any grid", ["at most 268435456 are allowed"], (40, 40, 40), (5, 5, 5), "--spacing", "0.01")
refused("the same by the manifest", ["would become 400 x 400 x 400", "ask for a coarser one"], (40, 40, 40), (5, 5, 5), spacing_mm=[0.5, 0.5, 0.5])
status, said, mib = prepare((40, 40, 40), (5, 5, 5), "--spacing", "1")
say(status == 0 and (unbounded or mib < 2048), "5 mm to 1 mm: 125 times as many voxels, but not many", (status, mib, said))
status, said, mib = prepare((40, 40, 20), (5, 5, 100), "--spacing", "-1")
say(status == 0, "a scan of 2 m is within the limits", (status, said))
