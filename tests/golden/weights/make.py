"""Makes the files beside it: a MeshNet of two 2-channel layers and two classes, saved in each form.  Run with Debian's python3-torch 1.13:
/usr/bin/python3 tests/golden/weights/make.py"""
import json, os, struct
import torch
from torch import nn

here = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(1)
net = nn.Sequential()
net.model = nn.Sequential(*[nn.Sequential(nn.Conv3d(i, 2, 3, padding=1), nn.BatchNorm3d(2), nn.ReLU()) for i in (1, 2)], nn.Conv3d(2, 2, 1))
state = net.state_dict()
torch.save(state, here + "/tiny.zip.pt")
torch.save({"epoch": 3, "lr": 0.5, "state_dict": {"module." + k: v for k, v in state.items()}, "best": None}, here + "/tiny.old.pt",
           _use_new_zipfile_serialization=False)
floats = {k: v.numpy() for k, v in sorted(state.items()) if v.dtype == torch.float32}
header, at = {}, 0
for k, v in floats.items():
    header[k] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [at, at + v.nbytes]}
    at += v.nbytes
text = json.dumps(header, separators=(",", ":")).encode()
open(here + "/tiny.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in floats.values()))
