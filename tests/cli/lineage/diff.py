"""diff of two results: what differs in files, subjects, roles, raw files, params, code, binary, device and tensors, and nothing else."""
import json, os, struct, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _records import *

S = f"{T}/store"


def safetensors(**tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        b = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": [len(data), len(data) + len(b)]}
        data += b
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


raw = {f"sub-{i}": {f"sub-{i}/t1.nii": b"t1 %d" % i} for i in range(1, 6)}
raw["sub-6"] = {"sub-1/t1.nii": b"rescanned"}
crop = {s: Execution("crop", {"scans": f}, {f"{s}/subject.vtp": b"c" + s.encode()}, params={"margin": "2"}) for s, f in raw.items()}
wide = Execution("crop", {"scans": raw["sub-1"]}, {"sub-1/subject.vtp": b"wide"}, params={"margin": "8"}, commit="1" * 40)


def train(subjects, weights, rate="0.1", first=None, **more):
    parts = [crop[s] for s in subjects] + ([first] if first else [])
    return Execution("train", {"patches": parts}, {"best.safetensors": weights, "history.csv": b"step\n"}, params={"learning-rate": rate, "steps": "6"}, **more)


split = {"split": {"train": ["sub-1", "sub-2"], "validation": ["sub-3"], "test": []}, "device": {"name": "cpu"}}
one = train(["sub-1", "sub-2", "sub-3"], safetensors(a=[1, 2, 3], b=[1, 1]), notes=split)
same = train(["sub-1", "sub-2", "sub-3"], safetensors(a=[1, 2, 3], b=[1, 1]), notes=split)
two = train(["sub-2", "sub-3", "sub-4", "sub-6"], safetensors(a=[1, 2, 3], b=[1, 1.0000001192092896]), rate="0.2", first=wide, binary="d" * 64, commit="2" * 40,
            notes={"split": {"train": ["sub-1", "sub-2", "sub-3", "sub-4"], "validation": [], "test": []}, "device": {"name": "cuda"}})
for n, e in enumerate([*crop.values(), wide, one, two]):
    run("import", e.dir(f"{T}/{n}"), store=S)
r = run("diff", one.id, same.id, store=S)
check(r.returncode == 0 and r.stdout == "0 differences\n", "equal: exit 0", r.stdout + r.stderr)
r = run("diff", one.id, two.id, "--json", store=S)
found = {(d["section"], d["what"]): (d["before"], d["after"]) for d in json.loads(r.stdout)}
want = {("files", "best.safetensors"): (sha(one.contents["best.safetensors"]), sha(two.contents["best.safetensors"])),
        ("tensors", "best.safetensors"): ("", "tensor b (F32): 1 of 2 elements differ, by 1 ulp and 1.19209e-07 at most; 1 of 2 tensors differ"),
        ("subjects", "sub-4"): ("", "there"), ("role", "sub-3"): ("validation", "train"),
        ("data", "scans/sub-1/t1.nii"): (sha(b"t1 1"), sha(b"rescanned")), ("data", "scans/sub-4/t1.nii"): ("", sha(b"t1 4")),
        ("params", "train --learning-rate"): ("0.1", "0.2"), ("code", "train"): ("0" * 40, "2" * 40), ("binary", "train"): ("b" * 64, "d" * 64),
        ("environment", "train"): ('{"name":"cpu"}', '{"name":"cuda"}')}
extra = {k: v for k, v in found.items() if want.get(k) != v and k[:1] != ("data",)}
check(r.returncode == 1 and all(found.get(k) == v for k, v in want.items() if k != ("data", "scans/sub-1/t1.nii")), "every kind of difference, with both values", {k: (v, found.get(k)) for k, v in want.items() if found.get(k) != v})
check(set(extra) <= {("params", "crop --margin"), ("code", "crop")}, "and no other", extra)
n = len(list(crop)) + 1
check(run("diff", f"{T}/{n}", f"{T}/{n + 1}", store=f"{T}/none").returncode == 1, "two directories, without a store")
check(run("diff", one.id, "0" * 64, store=S).returncode == 66, "something unknown: exit 66")
text = run("diff", one.id, two.id, store=S).stdout
check("params       train --learning-rate  0.1 -> 0.2" in text and "subjects     sub-4  only in the second" in text, "as text", text)
