# train starts from another program's weights: the golden PyTorch files fit but for their one input channel and their head.
import os, shutil, subprocess, sys, json

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
