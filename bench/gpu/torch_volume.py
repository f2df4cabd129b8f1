"""Whole volumes by PyTorch with AMP, channels_last_3d and cudnn.benchmark; windows joined by MONAI's sliding_window_inference, or where MONAI is not installed
by the same steps on the card.
      torch_volume.py volume NET EDGE bf16|f32 REPEATS          a volume of 240x240x155 on the host to regions on the host; the line gpu_volume prints
      torch_volume.py subjects SCANS CHECKPOINT OUT bf16|f32    scans (.nii.gz) to label maps, as predict does it: z-scores inside the brain, its box, labels"""
import gzip, json, os, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/oracle/nn"))
import numpy as np
import torch
import _nets, _nets_more

torch.backends.cudnn.benchmark = True
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
who = "torch " + torch.__version__
where = "cuda" if torch.cuda.is_available() else "cpu"
try:
    import monai
    from monai.inferers import sliding_window_inference
    who += " monai " + monai.__version__
except ImportError:
    sliding_window_inference = None


def joined(x, edge, batch, net):
    """Logits of x [1, c, ...] by windows of edge cubed at overlap 0.5, joined where they are."""
    if sliding_window_inference:
        return sliding_window_inference(x, (edge,) * 3, batch, net, overlap=0.5, mode="gaussian", sigma_scale=0.125)
    short = [max(0, edge - n) for n in x.shape[2:]]
    x = torch.nn.functional.pad(x, [v for s in short[::-1] for v in (s // 2, s - s // 2)])
    g = torch.exp(-(torch.arange(edge, device=x.device) - (edge - 1) / 2) ** 2 / (2 * (edge / 8) ** 2))
    w = (g[:, None, None] * g[:, None] * g).clamp_min(1e-3)
    starts = [sorted({min(s, n - edge) for s in range(0, n - edge + edge // 2, edge // 2)}) for n in x.shape[2:]]
    every = [(slice(None),) + tuple(slice(s, s + edge) for s in at) for at in ((a, b, c) for a in starts[0] for b in starts[1] for c in starts[2])]
    total, out = torch.zeros(x.shape[2:], device=x.device), None
    for i in range(0, len(every), batch):
        y = net(torch.cat([x[(slice(None),) + e] for e in every[i:i + batch]])).float()
        out = torch.zeros((y.shape[1],) + tuple(x.shape[2:]), device=x.device) if out is None else out
        for k, e in enumerate(every[i:i + batch]):
            out[e] += w * y[k]
            total[e[1:]] += w
    cut = tuple(slice(s // 2, s // 2 + n - s) for s, n in zip(short, x.shape[2:]))
    return (out / total)[(slice(None),) + cut][None]


def network(name, precision):
    net = {"segresnet": lambda: _nets.SegResNet(4, 3, 16), "unet3d": lambda: _nets.EquiUnet(4, 3, 48), "vnet": lambda: _nets_more.VNet(4, 3)}[name]()
    net = net.to(where).to(memory_format=torch.channels_last_3d).eval()

    def run(x):
        with torch.autocast(where, torch.bfloat16, enabled=precision == "bf16"):
            y = net(x.to(memory_format=torch.channels_last_3d))
        return (y[0] if isinstance(y, (list, tuple)) else y).float()
    return net, run


def regions(x, edge, run):
    """Bits of a volume on the host."""
    y = joined(torch.from_numpy(x)[None].to(where), edge, max(1, min(4, (1 << 22) // edge ** 3)), run)[0]
    return sum(((y[k] > 0).to(torch.uint8) << k for k in range(y.shape[0]))).cpu().numpy()


def volume(name, edge, precision, repeats):
    _, run = network(name, precision)
    shape = [int(v) for v in os.environ.get("SHAPE", "155 240 240").split()]
    x = np.random.default_rng(0).random([4] + shape, dtype="f4") - 0.5
    times = []
    for _ in range(repeats + 3):
        t = time.perf_counter()
        regions(x, edge, run)
        times.append(1e3 * (time.perf_counter() - t))
    times = sorted(times[3:])
    print(json.dumps({"who": who, "net": name, "edge": edge, "precision": precision, "work": "volume", "median_ms": round(times[len(times) // 2], 3),
                      "least_ms": round(times[0], 3)}))


def safetensors(path):
    b = open(path, "rb").read()
    n = int.from_bytes(b[:8], "little")
    header = json.loads(b[8:8 + n])
    return {k: torch.from_numpy(np.frombuffer(b[8 + n:], "<f4", (v["data_offsets"][1] - v["data_offsets"][0]) // 4, v["data_offsets"][0]).reshape(v["shape"]).copy())
            for k, v in header.items() if k != "__metadata__"}


def read(path):
    """A .nii.gz of int16 as make_scans.py writes it: header, then [z, y, x]."""
    b = gzip.decompress(open(path, "rb").read())
    dim = np.frombuffer(b, "<i2", 8, 40)
    return b[:352], np.frombuffer(b, "<i2", int(np.prod(dim[1:4], dtype="i8")), 352).reshape(dim[3], dim[2], dim[1])


def subjects(scans, checkpoint, out, precision):
    about = json.load(open(checkpoint + "/checkpoint.json"))
    bits = {int(v): sum(1 << i for i, r in enumerate(about["manifest"]["regions"]) if int(v) in r["values"]) for v in about["manifest"]["label"]["values"]}
    fits = [[v for v in bits if bits[v] and bits[v] & ~b == 0] for b in range(8)]
    net, run = network(about["model"]["name"], precision)
    net.load_state_dict(safetensors(checkpoint + "/best.safetensors"), strict=False)
    edge, value = about["patch"][0], np.array([max(f, key=lambda v: bin(bits[v]).count("1"), default=0) for f in fits], "u1")
    with torch.no_grad():
        for name in sorted(os.listdir(scans)):
            files = [read("%s/%s/%s.nii.gz" % (scans, name, r)) for r in about["channels"]]
            x = np.stack([f[1] for f in files]).astype("f4")
            inside = (x != 0).any(0)
            box = []                     # the brain's, each edge padded to a multiple of eight
            for c in np.nonzero(inside):
                lo, hi = int(c.min()), int(c.max())
                more = -(hi - lo + 1) % 8
                box.append(slice(lo - more // 2 + 8, lo - more // 2 + 8 + hi - lo + 1 + more))
            for c in x:
                c[inside] = (c[inside] - c[inside].mean()) / c[inside].std()
            x[:, ~inside] = 0
            y = np.zeros([n + 16 for n in inside.shape], "u1")
            x = np.pad(x, [(0, 0)] + [(8, 8)] * 3)
            y[tuple(box)] = value[regions(np.ascontiguousarray(x[(slice(None),) + tuple(box)]), edge, run)]
            y = y[8:-8, 8:-8, 8:-8]
            head = bytearray(files[0][0])
            head[70:74] = (2).to_bytes(2, "little") + (8).to_bytes(2, "little")
            os.makedirs("%s/%s" % (out, name))
            open("%s/%s/seg.nii.gz" % (out, name), "wb").write(gzip.compress(bytes(head) + y.tobytes(), 6))
    print(json.dumps({"who": who}))


with torch.no_grad():
    if sys.argv[1] == "volume":
        volume(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    else:
        subjects(*sys.argv[2:6])
