"""The same work here and in PyTorch on this machine, a step of one then a step of the other: median seconds, their ratio, GFLOP/s
and the share of the multiply-add ceiling that is, peak resident memory.

    B=build/release PYTHON with torch bench/engine/against_torch.py [--repeats N] [--threads 1,2] [--only TEXT] [--large]

One thread is timed by its process's processor time, several by the wall clock: those need an idle machine.  Each side is one
process a line, warmed up by a step that is not counted.  --large adds what takes minutes and gigabytes.
"""
import argparse, json, os, re, resource, subprocess, sys, time

B = os.environ.get("B", "build/release")
WORK = [  # label, network, its params here, channels in and out, edge, training, large
    ("SegResNet-8 training step 64^3", "segresnet", {"init_filters": 8}, 4, 3, 64, True, False),
    ("SegResNet-16 training step 64^3", "segresnet", {"init_filters": 16}, 4, 3, 64, True, False),
    ("SegResNet-16 training step 128^3", "segresnet", {"init_filters": 16}, 4, 3, 128, True, True),
    ("EquiUnet-48 training step 64^3", "unet3d", {}, 4, 3, 64, True, True),
    ("MeshNet-21 training step 38^3", "meshnet", {}, 1, 3, 38, True, False),
    ("MeshNet-5 inference 128^3", "meshnet", {"variant": "model5_gw_ae"}, 1, 3, 128, False, False),
    ("MeshNet-5 inference 256^3", "meshnet", {"variant": "model5_gw_ae"}, 1, 3, 256, False, True),
    ("mindgrab inference 128^3", "meshnet", {"variant": "mindgrab"}, 1, 2, 128, False, True),
    ("mindgrab inference 256^3", "meshnet", {"variant": "mindgrab"}, 1, 2, 256, False, True),
    ("SegResNet-16 inference 192^3", "segresnet", {"init_filters": 16}, 4, 3, 192, False, True),
] + [(f"{name} training step 64^3", name, params, i, o, 64, True, True) for name, params, i, o in (
    ("meshnet", {}, 1, 3), ("unet3d-cbam", {}, 4, 3), ("vnet", {"dropout": 0, "dropout_other": 0}, 4, 1),
    ("med3d-resnet", {"depth": "50"}, 1, 2), ("denseaspp", {"dropout": 0}, 1, 2), ("attention-unet", {}, 4, 3),
    ("nnunet-plain", {}, 4, 3), ("residual-unet", {}, 4, 3), ("catalyst-unet", {}, 1, 3))]


def network(name, params, i, o):
    """The network in PyTorch, from the definitions that the tests compare with."""
    import torch
    from _nets import CatalystUnet, EquiUnet, MeshNet, NnUnet, SegResNet
    from _nets_more import AttentionUnet, DenseAspp, Med3D, ResidualUnet, VNet
    meshnets = {None: (21, (1, 1, 1, 2, 4, 8, 1)), "model5_gw_ae": (5, [1, 2, 4, 8, 16, 8, 4, 2, 1], "none"),
                "mindgrab": (15, [16, 8, 4, 2, 1] * 5, "instance", torch.nn.GELU, False)}
    levels = (16, 32, 64, 128, 256)
    return {
        "segresnet": lambda: SegResNet(i, o, params["init_filters"]),
        "meshnet": lambda: MeshNet(i, o, *meshnets[params.get("variant")]),
        "unet3d": lambda: EquiUnet(i, o, 48),
        "unet3d-cbam": lambda: EquiUnet(i, o, 48, cbam="paper"),
        "vnet": lambda: VNet(i, o),
        "med3d-resnet": lambda: Med3D(i, o, 50),
        "denseaspp": lambda: DenseAspp(i, o, 50, 512, 128, (3, 6, 12, 18, 24)),
        "attention-unet": lambda: AttentionUnet(i, o, levels),
        "nnunet-plain": lambda: NnUnet(i, o, (32, 64, 128, 256, 320, 320)),
        "residual-unet": lambda: ResidualUnet(i, o, levels, 2),
        "catalyst-unet": lambda: CatalystUnet(i, o),
    }[name]()


def peer(label, threads):
    """A process that makes one step a line of its input and answers with its seconds; at the end its peak memory."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/oracle/nn"))
    import torch
    torch.set_num_threads(threads)
    _, name, params, i, o, n, train, _ = next(w for w in WORK if w[0] == label)
    net, x = network(name, params, i, o).train(train), torch.randn(1, i, n, n, n)
    print(torch.__version__, sum(p.numel() for p in net.parameters()), flush=True)
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in sys.stdin:
        t = clock()
        if train:
            net.zero_grad(set_to_none=True)
            y = net(x)
            y.backward(y.detach())
        else:
            with torch.no_grad():
                y = net(x)
        del y
        print(clock() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)


def median(v):
    return sorted(v)[len(v) // 2]


def compare(work, threads, repeats, ceiling):
    label, name, params, i, o, n, train, _ = work
    args = [B + "/bench/nn_step", name, json.dumps(params), str(i), str(o), str(n), str(threads), "serve"] + ([] if train else ["infer"])
    pipe = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    us, them = subprocess.Popen(args, **pipe), subprocess.Popen([sys.executable, __file__, "--peer", label, "--threads", str(threads)], **pipe)
    gmac, weights = (float(v) for v in us.stdout.readline().split())
    version, count = them.stdout.readline().split()
    if int(count) != int(weights):
        print(f"# {label}: {int(weights)} parameters here, {count} there")
    seconds, memory = {us: [], them: []}, {}
    for r in range(-1, repeats):
        for p in (us, them):
            p.stdin.write("\n")
            p.stdin.flush()
            s, memory[p] = (float(v) for v in p.stdout.readline().split())
            if r >= 0:
                seconds[p].append(s)
    for p in (us, them):
        p.stdin.close()
        p.wait()
    a, b = median(seconds[us]), median(seconds[them])
    rate = 2 * gmac * (3 if train else 1) / a
    print(f"{label}, {threads} thread(s): {a:.3f} s, PyTorch {version} {b:.3f} s, ratio {b / a:.2f}; {rate:.0f} GFLOP/s, "
          f"{100 * rate / (ceiling * threads):.0f} % of the ceiling; peak {memory[us]:.0f} MiB against {memory[them]:.0f} MiB", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--threads", default="1,2")
    p.add_argument("--only", default="")
    p.add_argument("--large", action="store_true")
    p.add_argument("--peer")
    o = p.parse_args()
    if o.peer:
        peer(o.peer, int(o.threads))
        return
    facts = subprocess.run([B + "/bench/nn_conv", "peak"], capture_output=True, text=True, check=True).stdout
    print(facts, end="", flush=True)
    ceiling = float(re.search(r"([0-9.]+) GFLOP/s", facts)[1])
    for t in o.threads.split(","):
        for w in WORK:
            if o.only in w[0] and (o.large or not w[7]):
                compare(w, int(t), o.repeats, ceiling)


main()
