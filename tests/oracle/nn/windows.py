"""Windows of a volume joined as Project MONAI joins them (windows_golden.json holds its numbers): on the CPU, and on a device by the emulated plugin in
every precision, one or three windows at a time."""
import json, os, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
from _windows import cases, places, request, volume, weights
from _checks import say

B, T = os.environ["B"], os.environ["T"]
golden = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "windows_golden.json")))["cases"]
plugin = os.environ.get("GPU_PLUGIN", B + "/tests/libvoxtrail-emulated.so")


def safetensors(path, tensors):
    header, at, body = {}, 0, b""
    for name, x in tensors.items():
        raw = x.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [at, at + len(raw)]}
        at, body = at + len(raw), body + raw
    text = json.dumps(header).encode()
    open(path, "wb").write(len(text).to_bytes(8, "little") + text + body)


def container(path, x):
    """After the byte table of patch_file.h."""
    header = {"format": 1, "subject": "s", "dims": list(x.shape[1:]), "channels": ["a", "b"], "dtype": "f32", "regions": [], "labeled": False, "offsets": {"image": 1024}}
    text = json.dumps(header).encode().ljust(1024 - 16)
    open(path, "wb").write(b"VOXPATCH" + len(text).to_bytes(8, "little") + text + x.astype("<f4").tobytes())


def probe(name, n, *precision):
    shape, patch, overlap, flips = cases[name]
    json.dump({**request, "n": n, "patch": patch}, open(T + "/request.json", "w"))
    container(T + "/x.vtp", volume(name))
    p = subprocess.run([B + "/tests/window_probe", T + "/request.json", T + "/w.safetensors", T + "/x.vtp", T + "/y", str(overlap), str(flips), *precision],
                       capture_output=True, text=True, env={**os.environ, "VOXTRAIL_PLUGIN": plugin})
    if p.returncode:
        print("not ok - %s: %s" % (name, p.stderr[-400:]))
        sys.exit(1)
    return np.fromfile(T + "/y", "<f4")


safetensors(T + "/w.safetensors", weights)
for where, allowed in (((), 2e-6), (("f32",), 2e-6), (("fp16",), 3e-3), (("bf16",), 2e-2)):
    worst, wrong = 0, []
    for name in cases:
        y = probe(name, 1, *where)
        want = np.array(golden[name])
        gap = np.abs(y[places(y.size)] - want).max() / np.abs(want).max()
        worst = max(worst, gap)
        if not gap <= allowed or len(want) != len(places(y.size)):
            wrong.append((name, gap))
    say(not wrong, "%s: MONAI's values in %d cases, largest difference %.1e of the largest value" % (where[0] + " on a device" if where else "the CPU", len(cases), worst), wrong)
for where in ((), ("f32",), ("bf16",)):
    say(all(np.array_equal(probe(n, 3, *where), probe(n, 1, *where)) for n in ("mirrored", "uneven")), "%s: three windows at a time, the same bits" % (where or ("cpu",)))
