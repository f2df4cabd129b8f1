"""The same work here and in other programs on this machine, a step of one then a step of the next: medians, ratios to ours,
peak resident memory. Peers that this interpreter has: PyTorch (eager; compiled with --compile), onnxruntime and OpenVINO on the ONNX file that
our export writes. One that is absent is named as absent.

    B=build/release PYTHON bench/engine/peers.py [--repeats N] [--threads 1] [--only TEXT] [--size default|large] [--json FILE]

One thread is timed by its process's processor time, several by the wall clock: those need an idle machine. Each side is one
process a line, warmed up by a step that is not counted. A training step is a forward and a backward pass, the optimizer left out
on all sides. --size large adds what takes minutes and gigabytes; --json adds rows to FILE, a row of the same work replaced."""
import argparse, importlib.util, json, os, platform, re, resource, subprocess, sys, tempfile, time

B = os.environ.get("B", "build/release")
WORK = [  # label, network, its params here, channels in and out, edge, training, large
    ("SegResNet-16 step 64^3", "segresnet", {"init_filters": 16}, 4, 3, 64, True, False),
    ("nnU-Net step 64^3", "nnunet-plain", {}, 4, 3, 64, True, False),
    ("residual U-Net step 64^3", "residual-unet", {}, 4, 3, 64, True, False),
    ("V-Net step 64^3", "vnet", {"dropout": 0, "dropout_other": 0}, 4, 1, 64, True, False),
    ("Med3D-50 step 64^3", "med3d-resnet", {"depth": "50"}, 1, 2, 64, True, False),
    ("MeshNet-21 step 64^3", "meshnet", {}, 1, 3, 64, True, False),
    ("SegResNet-16 pass 96^3", "segresnet", {"init_filters": 16}, 4, 3, 96, False, False),
    ("nnU-Net pass 64^3", "nnunet-plain", {}, 4, 3, 64, False, False),
    ("residual U-Net pass 96^3", "residual-unet", {}, 4, 3, 96, False, False),
    ("V-Net pass 64^3", "vnet", {"dropout": 0, "dropout_other": 0}, 4, 1, 64, False, False),
    ("Med3D-50 pass 96^3", "med3d-resnet", {"depth": "50"}, 1, 2, 96, False, False),
    ("MeshNet-5 pass 128^3", "meshnet", {"variant": "model5_gw_ae"}, 1, 3, 128, False, False),
    ("SegResNet-16 step 96^3", "segresnet", {"init_filters": 16}, 4, 3, 96, True, True),
    ("EquiUnet-48 step 64^3", "unet3d", {}, 4, 3, 64, True, True),
    ("EquiUnet-48 with CBAM step 64^3", "unet3d-cbam", {}, 4, 3, 64, True, True),
    ("attention U-Net step 64^3", "attention-unet", {}, 4, 3, 64, True, True),
    ("DenseASPP step 64^3", "denseaspp", {"dropout": 0}, 1, 2, 64, True, True),
    ("catalyst U-Net step 64^3", "catalyst-unet", {}, 1, 3, 64, True, True),
    ("SegResNet-16 pass 128^3", "segresnet", {"init_filters": 16}, 4, 3, 128, False, True),
    ("EquiUnet-48 pass 64^3", "unet3d", {}, 4, 3, 64, False, True),
    ("nnU-Net pass 96^3", "nnunet-plain", {}, 4, 3, 96, False, True),
    ("mindgrab pass 128^3", "meshnet", {"variant": "mindgrab"}, 1, 2, 128, False, True),
    ("MeshNet-5 pass 256^3", "meshnet", {"variant": "model5_gw_ae"}, 1, 3, 256, False, True),
]


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


def serve(step, threads, *greeting):
    """Makes one step a line of input and answers with its seconds and the peak memory."""
    print(*greeting, flush=True)
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in sys.stdin:
        t = clock()
        step()
        print(clock() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)


def peer_torch(work, threads, compiled):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/oracle/nn"))
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    _, name, params, i, o, n, train, _ = work
    net, x = network(name, params, i, o).train(train), torch.randn(1, i, n, n, n)
    run = torch.compile(net) if compiled else net

    def step():
        if train:
            net.zero_grad(set_to_none=True)
            y = run(x)
            y.backward(y.detach())
        else:
            with torch.no_grad():
                run(x)
    serve(step, threads, torch.__version__, sum(p.numel() for p in net.parameters()))


def peer_onnx(work, threads, path, kind):
    import numpy as np
    x = np.random.default_rng(1).normal(size=(1, work[3], *[work[5]] * 3)).astype("f4")
    if kind == "onnxruntime":
        import onnxruntime
        o = onnxruntime.SessionOptions()
        o.intra_op_num_threads, o.inter_op_num_threads = threads, 1
        session = onnxruntime.InferenceSession(path, o, providers=["CPUExecutionProvider"])
        serve(lambda: session.run(None, {"image": x}), threads, onnxruntime.__version__, 0)
    else:
        import openvino
        how = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": kind.split()[1], "NUM_STREAMS": 1}
        model = openvino.Core().compile_model(path, "CPU", how)
        request = model.create_infer_request()
        serve(lambda: request.infer({0: x}), threads, openvino.__version__.split("-")[0], 0)


def peer(o):
    work = next(w for w in WORK if w[0] == o.work)
    if o.peer.startswith("PyTorch"):
        peer_torch(work, int(o.threads), "compiled" in o.peer)
    else:
        peer_onnx(work, int(o.threads), o.onnx, o.peer)


def median(v):
    return sorted(v)[len(v) // 2]


def has(module):
    return importlib.util.find_spec(module) is not None


class Side:
    """A process that makes a step a line; dead once it fails, with the reason."""

    def __init__(self, name, args, env=None):
        self.name, self.seconds, self.memory, self.why = name, [], 0, ""
        self.p = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        self.greeting = self.p.stdout.readline().split()
        if not self.greeting:
            self.fail()

    def fail(self):
        self.p.stdin.close()
        self.p.wait()
        self.why = (self.p.stderr.read().strip().splitlines() or ["no answer"])[-1][:120]

    def step(self, counts):
        if self.why:
            return
        try:
            self.p.stdin.write("\n")
            self.p.stdin.flush()
            s, self.memory = (float(v) for v in self.p.stdout.readline().split())
        except (ValueError, OSError):
            self.fail()
            return
        if counts:
            self.seconds.append(s)

    def end(self):
        if not self.why:
            self.p.stdin.close()
            self.p.wait()


def sides_of(work, threads, options, onnx):
    _, name, params, i, o, n, train, _ = work
    ours = [B + "/bench/nn_step", name, json.dumps(params), str(i), str(o), str(n), str(threads)]
    how = ["train" if train else "infer"]
    me = [sys.executable, os.path.abspath(__file__), "--work", work[0], "--threads", str(threads), "--onnx", onnx, "--peer"]
    yield Side("ours", [*ours, "serve", *how])
    if options.avx2:
        yield Side("ours AVX2", [*ours, "serve", *how], {"VOXTRAIL_ISA": "avx2"})
    if options.bf16:
        yield Side("ours bf16", [*ours, "serve", *how, "bf16"])
    if options.int8 and not train:
        yield Side("ours int8", [*ours, "serve", *how, "int8"])
    if has("torch"):
        yield Side("PyTorch", [*me, "PyTorch"])
        if options.compile:
            yield Side("PyTorch compiled", [*me, "PyTorch compiled"])
    if not train and (has("onnxruntime") or has("openvino")):
        subprocess.run([*ours, "onnx:" + onnx, "infer"], check=True, stdout=subprocess.DEVNULL)
        if has("onnxruntime"):
            yield Side("onnxruntime", [*me, "onnxruntime"])
        if has("openvino"):
            yield Side("OpenVINO", [*me, "OpenVINO f32"])


def compare(work, threads, options):
    with tempfile.TemporaryDirectory() as d:
        sides = list(sides_of(work, threads, options, d + "/network.onnx"))
        for r in range(-1, options.repeats):
            for s in sides:
                s.step(r >= 0)
        for s in sides:
            s.end()
    us = sides[0]
    row = {"work": work[0], "step": work[6], "threads": threads, "gmac": float(us.greeting[0]), "parameters": int(us.greeting[1]), "isa": us.greeting[2],
           "repeats": options.repeats, "load": os.getloadavg()[0], "sides": {}}
    for s in sides:
        if s.seconds:
            row["sides"][s.name] = {"median": median(s.seconds), "min": min(s.seconds), "max": max(s.seconds), "mib": s.memory,
                                    **({} if s.name.startswith("ours") else {"version": s.greeting[0]})}
            if s.name.startswith("PyTorch") and int(s.greeting[1]) != row["parameters"]:
                print(f"# {work[0]}: {row['parameters']} parameters here, {s.greeting[1]} there")
        else:
            print(f"# {work[0]}: {s.name}: {s.why}")
    base = row["sides"]["ours"]["median"]
    print(f"{work[0]}, {threads} thread(s): " + ", ".join(f"{n} {v['median']:.3f} s ({v['median'] / base:.2f}; {v['mib']:.0f} MiB)" for n, v in row["sides"].items()), flush=True)
    return row


def keep(path, row):
    rows = json.load(open(path)) if os.path.exists(path) else []
    rows = [r for r in rows if (r["work"], r["threads"]) != (row["work"], row["threads"])] + [row]
    with open(path, "w") as f:
        json.dump(rows, f, indent=1)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--threads", default="1")
    p.add_argument("--only", default="")
    p.add_argument("--size", choices=("default", "large"), default="default")
    p.add_argument("--avx2", action="store_true")
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--int8", action="store_true")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--json")
    p.add_argument("--peer")
    p.add_argument("--work")
    p.add_argument("--onnx")
    o = p.parse_args()
    if o.peer:
        peer(o)
        return
    print(subprocess.run([B + "/bench/nn_conv", "peak"], capture_output=True, text=True, check=True).stdout, end="", flush=True)
    for m, n in (("torch", "PyTorch"), ("onnxruntime", "onnxruntime"), ("openvino", "OpenVINO")):
        if not has(m):
            print(f"{n}: absent ({sys.executable} has no {m})")
    for t in o.threads.split(","):
        for w in WORK:
            if o.only in w[0] and (o.size == "large" or not w[7]):
                row = compare(w, int(t), o)
                if o.json:
                    keep(o.json, row)


main()
