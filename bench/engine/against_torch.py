"""Seconds of the same work here and in PyTorch on this machine, taken in turns; medians, and how far from the multiply-add ceiling.

    B=build/release /usr/bin/python3 bench/engine/against_torch.py [repeats]
"""
import os, re, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/oracle/nn"))
import torch
from torch import nn
from _nets import MeshNet, SegResNet

B = os.environ.get("B", "build/release")
repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
DILATIONS = [1, 2, 4, 8, 16, 8, 4, 2, 1]
WORK = [
    ("SegResNet-8 64^3 training step", "segresnet", '{"init_filters":8}', 4, 3, 64, True, lambda: SegResNet(4, 3, 8)),
    ("SegResNet-16 64^3 training step", "segresnet", '{"init_filters":16}', 4, 3, 64, True, lambda: SegResNet(4, 3, 16)),
    ("MeshNet 21 channels 38^3 training step", "meshnet", "{}", 1, 3, 38, True, lambda: MeshNet(1, 3, 21, (1, 1, 1, 2, 4, 8, 1))),
    ("MeshNet 5 channels 128^3 inference", "meshnet", '{"channels":5,"dilations":%s,"norm":"none"}' % str(DILATIONS).replace(" ", ""), 1, 3, 128, False,
     lambda: MeshNet(1, 3, 5, DILATIONS, 0)),
]


def ours(name, params, i, o, n, threads, train):
    args = [B + "/bench/nn_step", name, params, str(i), str(o), str(n), str(threads), "1"] + ([] if train else ["infer"])
    out = subprocess.run(args, capture_output=True, text=True, check=True).stdout
    return float(re.search(r"step ([0-9.]+)", out)[1]), float(re.search(r"forward ([0-9.]+) GMAC", out)[1])


def theirs(net, x, train):
    t = time.perf_counter()
    if train:
        y = net(x)
        y.backward(y.detach())
    else:
        with torch.no_grad():
            net(x)
    return time.perf_counter() - t


for threads in (1, 2):
    torch.set_num_threads(threads)
    for label, name, params, i, o, n, train, make in WORK:
        net, x = make().train(train), torch.randn(1, i, n, n, n)
        theirs(net, x, train)
        a, b = [], []
        for _ in range(repeats):
            seconds, gmac = ours(name, params, i, o, n, threads, train)
            a.append(seconds)
            b.append(theirs(net, x, train))
        a, b = sorted(a)[repeats // 2], sorted(b)[repeats // 2]
        print(f"{label}, {threads} thread(s): {a:.3f} s, PyTorch {torch.__version__} {b:.3f} s, ratio {b / a:.2f}; "
              f"{2 * gmac * (3 if train else 1) / a:.0f} GFLOP/s", flush=True)
