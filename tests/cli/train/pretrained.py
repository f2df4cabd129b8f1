# train starts from another program's weights: the golden PyTorch files fit but for their one input channel and their head; a published
# MeshNet's kernels, stored x, y, z, come by way of import-model.
import os, shutil, subprocess, sys, json
import numpy as np

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
sys.path.insert(0, ROOT + "/tests/tools")
from patches import container

GOLDEN = ROOT + "/tests/golden/weights/"
manifest = json.load(open(ROOT + "/manifests/embedded.json"))
for i in range(2):
    container(f"{T}/patches/s{i}/subject.vtp", f"s{i}", i % 2, manifest, i)


def train(name, files, *more):
    os.makedirs(f"{T}/{name}")
    for f in files:
        shutil.copy(GOLDEN + f, f"{T}/{name}/")
    r = subprocess.run([B + "/bin/train", "--patches", T + "/patches", "--patch", "16", "--model", "meshnet", "--network", '{"channels":2,"dilations":[1,1]}',
                        "--steps", "1", "--learning-rate", "1e-8", "--previous", f"{T}/{name}", "--out", f"{T}/{name}.out", *more], capture_output=True, text=True)
    return r.returncode, r.stderr


def check(ok, what, why):
    print(("ok - " if ok else "not ok - ") + what + ("" if ok else ": " + str(why)[-400:]))


def weights(name):
    data = open(f"{T}/{name}.out/last.safetensors", "rb").read()
    n = int.from_bytes(data[:8], "little")
    at = json.loads(data[8:8 + n])["model.1.0.weight"]["data_offsets"]
    return data[8 + n:][at[0]:at[1]]


fit = ["--reinitialize", "model.2", "--repeat-input", "true"]
code, said = train("zip", ["tiny.zip.pt"], *fit)
check(code == 0 and '"matched":12,"left":2' in said and '"repeated":1' in said, "a PyTorch file, its head left out, its channel repeated", said)
code, said = train("old", ["tiny.old.pt"], *fit)
check(code == 0 and weights("old") == weights("zip"), "the older form of the same weights trains to the same", said)
code, said = train("fresh", [])
check(code == 0 and weights("fresh") != weights("zip"), "an empty directory is none", said)
code, said = train("misfit", ["tiny.zip.pt"])
check(code == 65 and "has the shape" in said and not os.path.exists(T + "/misfit.out/last.safetensors"), "what does not fit is refused", said)
code, said = train("two", ["tiny.zip.pt", "tiny.old.pt"], *fit)
check(code == 65 and "more than one" in said, "of two files none is chosen", said)

shapes = {"layers.%d.weight" % i: (5, 1 if i == 0 else 5, 3, 3, 3) for i in range(9)} | {"layers.9.weight": (3, 5, 1, 1, 1)}
rng = np.random.default_rng(3)
published, header, data = {}, {}, b""
for k, shape in shapes.items():
    published[k], published[k.replace("weight", "bias")] = rng.normal(size=shape).astype("<f4"), rng.normal(size=shape[0]).astype("<f4")
for k, v in published.items():
    header[k] = {"dtype": "F32", "shape": v.shape, "data_offsets": [len(data), len(data) + v.nbytes]}
    data += v.tobytes()
header = json.dumps(header).encode()
os.makedirs(T + "/published")
open(T + "/published/model.safetensors", "wb").write(len(header).to_bytes(8, "little") + header + data)


def start(previous, out):
    r = subprocess.run([B + "/bin/train", "--patches", T + "/patches", "--patch", "16", "--model", "meshnet", "--network", '{"variant":"model5_gw_ae"}',
                        "--steps", "1", "--learning-rate", "1e-8", "--previous", f"{T}/{previous}", "--repeat-input", "true", "--reinitialize", "model.9,layers.9",
                        "--allow", "channels,regions,ignore,settings,crop,spacing_mm,axes,activation,subjects", "--out", f"{T}/{out}"], capture_output=True, text=True)
    return r.returncode, r.stderr


code, said = start("published", "unturned")
check(code == 65 and "import-model" in said and "x, y, z" in said and not os.path.exists(T + "/unturned/last.safetensors"),
      "kernels of another order are refused, with the way to turn them", said)
r = subprocess.run([B + "/bin/import-model", "--weights", T + "/published", "--known", "brainchop/model5_gw_ae", "--out", T + "/imported"], capture_output=True, text=True)
check(r.returncode == 0, "import-model takes them", r.stderr)
code, said = start("imported", "turned")
data = open(T + "/turned/last.safetensors", "rb").read() if code == 0 else b"\2\0\0\0\0\0\0\0{}"
n = int.from_bytes(data[:8], "little")
far = []
for i in range(9):
    facts = json.loads(data[8:8 + n]).get("model.%d.0.weight" % i)
    if facts:
        got = np.frombuffer(data[8 + n:][slice(*facts["data_offsets"])], "<f4").reshape(facts["shape"])
        want = published["layers.%d.weight" % i].transpose(0, 1, 4, 3, 2)
        far.append(np.abs(got - (want / 4 if i == 0 else want)).max())
check(len(far) == 9 and max(far) < 1e-6, "a training on the checkpoint that it makes starts from the kernels turned to z, y, x", (far, said))
