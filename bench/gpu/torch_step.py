"""The same step by PyTorch with AMP, channels_last_3d, cudnn.benchmark and fused Adam:
torch_step.py NET EDGE bf16|tf32|f32 REPEATS train|infer.  Prints the line gpu_step prints.  Inputs lie on the card
already, which gpu_step's do not.  TORCH_DEVICE=cpu is for a try without a card."""
import json, os, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/oracle/nn"))
import torch
import _nets, _nets_more

name, edge, precision, repeats, work = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
torch.backends.cudnn.benchmark = True
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
device = os.environ.get("TORCH_DEVICE", "cuda")
wait = torch.cuda.synchronize if device == "cuda" else lambda: None
net = {"segresnet": lambda: _nets.SegResNet(4, 3, 16), "unet3d": lambda: _nets.EquiUnet(4, 3, 48), "vnet": lambda: _nets_more.VNet(4, 3)}[name]()
net = net.to(device).to(memory_format=torch.channels_last_3d)
x = torch.rand(1, 4, edge, edge, edge, device=device).to(memory_format=torch.channels_last_3d)
r = (torch.rand(1, 3, edge, edge, edge, device=device) < 0.2).float()
optim = torch.optim.Adam(net.parameters(), 1e-4, **({"fused": True} if device == "cuda" else {}))


def dice(y):
    p, axes = torch.sigmoid(y.float()), (2, 3, 4)
    return (1 - (2 * (p * r).sum(axes) + 1e-5) / (p.sum(axes) + r.sum(axes) + 1e-5)).mean()


def step():
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        y = net(x)
    if work == "train":
        optim.zero_grad(set_to_none=True)
        dice(y).backward()
        optim.step()


net.train(work == "train")
times = []
with torch.set_grad_enabled(work == "train"):
    for i in range(repeats + 10):
        wait()
        t = time.perf_counter()
        step()
        wait()
        times.append(1e3 * (time.perf_counter() - t))
times = sorted(times[10:])
print(json.dumps({"who": "torch " + torch.__version__, "net": name, "edge": edge, "precision": precision, "work": work, "median_ms": round(times[len(times) // 2], 3),
                  "least_ms": round(times[0], 3)}))
