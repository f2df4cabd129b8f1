"""The public networks in PyTorch, with the names of their weights."""
from torch import nn
import torch.nn.functional as F


class Conv(nn.Module):
    def __init__(self, *a, **k):
        super().__init__()
        self.conv = nn.Conv3d(*a, **k)

    def forward(self, x):
        return self.conv(x)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, c), nn.GroupNorm(8, c)
        self.conv1, self.conv2 = Conv(c, c, 3, padding=1, bias=False), Conv(c, c, 3, padding=1, bias=False)

    def forward(self, x):
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


class SegResNet(nn.Module):
    def __init__(self, i, o, f, down=(1, 2, 2, 4), up=(1, 1, 1)):
        super().__init__()
        self.convInit = Conv(i, f, 3, padding=1, bias=False)
        self.down_layers, self.up_samples, self.up_layers = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for l, n in enumerate(down):
            first = Conv(f << l - 1, f << l, 3, stride=2, padding=1, bias=False) if l else nn.Identity()
            self.down_layers.append(nn.Sequential(first, *[Block(f << l) for _ in range(n)]))
        for k, n in enumerate(up):
            l = len(down) - 2 - k
            self.up_samples.append(nn.Sequential(Conv(f << l + 1, f << l, 1, bias=False), nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False)))
            self.up_layers.append(nn.Sequential(*[Block(f << l) for _ in range(n)]))
        self.conv_final = nn.Sequential(nn.GroupNorm(8, f), nn.ReLU(), Conv(f, o, 1))

    def forward(self, x):
        x, skips = self.convInit(x), []
        for d in self.down_layers:
            x = d(x)
            skips.append(x)
        for k, (s, u) in enumerate(zip(self.up_samples, self.up_layers)):
            x = u(s(x) + skips[-2 - k])
        return self.conv_final(x)


class MeshNet(nn.Module):
    def __init__(self, i, o, c, dilations, norm=1, act=nn.ReLU, bias=True):
        super().__init__()
        layers = []
        for d in dilations:
            layers.append(nn.Sequential(nn.Conv3d(i, c, 3, padding=d, dilation=d, bias=bias),
                                        [nn.Identity(), nn.BatchNorm3d(c), nn.InstanceNorm3d(c)][norm], act()))
            i = c
        self.model = nn.Sequential(*layers, nn.Conv3d(c, o, 1))

    def forward(self, x):
        return self.model(x)
