"""Makes windows_golden.json: what Project MONAI's sliding_window_inference says of the cases in _windows.py.  Run by hand, never by the tests:
      python3 _make_windows.py        with monai 1.3.2"""
import json, os
import monai, torch
from monai.inferers import sliding_window_inference
from _windows import cases, numbers, places, volume, weights

assert monai.__version__ == "1.3.2"
w = {k: torch.from_numpy(v) for k, v in weights.items()}


def net(x):
    h = torch.relu(torch.nn.functional.conv3d(x, w["model.0.0.weight"], w["model.0.0.bias"], padding=2, dilation=2))
    return torch.nn.functional.conv3d(h, w["model.1.weight"], w["model.1.bias"])


def mirrored(x):
    """The mean over the eight mirrorings of each window."""
    every = [[a for a in range(3) if f >> (2 - a) & 1] for f in range(8)]
    return sum(torch.flip(net(torch.flip(x, [2 + a for a in f])), [2 + a for a in f]) for f in every) / 8


out = {"source": "MONAI 1.3.2 sliding_window_inference, mode gaussian, sigma_scale 0.125, padding constant 0", "cases": {}}
for name, (shape, patch, overlap, flips) in cases.items():
    with torch.no_grad():
        y = sliding_window_inference(torch.from_numpy(volume(name))[None].double().float(), patch, 3, mirrored if flips else net, overlap=overlap,
                                     mode="gaussian", sigma_scale=0.125, padding_mode="constant", cval=0.0)[0].numpy().ravel()
    out["cases"][name] = [float("%.8g" % v) for v in y[places(y.size)]]
json.dump(out, open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "windows_golden.json"), "w"), indent=0)
