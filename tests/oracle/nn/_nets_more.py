"""V-Net, Med3D, DenseASPP and MONAI's U-nets in PyTorch, written from their published descriptions, with the names of their weights."""
import torch
from torch import nn
import torch.nn.functional as F

from _nets import named, up


# --- V-Net -------------------------------------------------------------------------------------------------------------------------

class VNet(nn.Module):
    def __init__(self, i, o, demo=True, prelu=None, width=16):
        super().__init__()
        prelu = demo if prelu is None else prelu
        act = (lambda c: nn.PReLU(c)) if prelu else (lambda c: nn.ELU())
        self.repeat, self.demo, self.width = -(-width // i), demo, width

        def convolution(i, o):
            c = nn.Conv3d(i, o, 5, padding=2, bias=demo)
            return {"conv1": c, "bn1": nn.BatchNorm3d(o)} if demo else {"conv_block": named(conv=c, adn=named(N=nn.BatchNorm3d(o)))}

        def layers(c, n):
            return nn.Sequential(*[named(**convolution(c, c), **{"relu1" if demo else "act_function": act(c)}) for _ in range(n)])

        a1, a2, a0 = ("relu1", "relu2", "relu1") if demo else ("act_function1", "act_function2", "act_function")

        def down(i, n):
            return named(down_conv=nn.Conv3d(i, 2 * i, 2, 2, bias=demo), bn1=nn.BatchNorm3d(2 * i), ops=layers(2 * i, n), **{a1: act(2 * i), a2: act(2 * i)})

        def climb(i, o, n):
            return named(up_conv=nn.ConvTranspose3d(i, o // 2, 2, 2), bn1=nn.BatchNorm3d(o // 2), ops=layers(o, n), **{a1: act(o // 2), a2: act(o)})

        self.names = a0, a1, a2
        w = width
        self.in_tr = named(**convolution(i, w), **{a0: act(w)})
        self.downs = [("down_tr32", w, 1), ("down_tr64", 2 * w, 2), ("down_tr128", 4 * w, 3)] + ([] if demo else [("down_tr256", 8 * w, 2)])
        self.ups = ([] if demo else [("up_tr256", 16 * w, 16 * w, 2)]) + \
            [("up_tr128", 8 * w if demo else 16 * w, 8 * w, 2), ("up_tr64", 8 * w, 4 * w, 1), ("up_tr32", 4 * w, 2 * w, 1)]
        for name, c, n in self.downs:
            setattr(self, name, down(c, n))
        for name, c, d, n in self.ups:
            setattr(self, name, climb(c, d, n))
        self.out_tr = named(**convolution(2 * w, o), **{a1: act(o)}, conv2=nn.Conv3d(o, o, 1))

    def convolve(self, t, x):
        return t.bn1(t.conv1(x)) if self.demo else t.conv_block(x)

    def forward(self, x):
        a0, a1, a2 = self.names
        x = getattr(self.in_tr, a0)(self.convolve(self.in_tr, x) + x.repeat(1, self.repeat, 1, 1, 1)[:, :self.width])
        skips = [x]
        for name, _, _ in self.downs:
            t = getattr(self, name)
            x = getattr(t, a1)(t.bn1(t.down_conv(x)))
            x = getattr(t, a2)(t.ops(x) + x)
            skips.append(x)
        for k, (name, _, _, _) in enumerate(self.ups):
            t = getattr(self, name)
            x = torch.cat([getattr(t, a1)(t.bn1(t.up_conv(x))), skips[-2 - k]], 1)
            x = getattr(t, a2)(t.ops(x) + x)
        return self.out_tr.conv2(getattr(self.out_tr, a1)(self.convolve(self.out_tr, x)))


# --- Med3D and DenseASPP -----------------------------------------------------------------------------------------------------------

class Residual(nn.Module):
    def __init__(self, i, planes, bottleneck, stride, dilation, pad, detach):
        super().__init__()
        o = 4 * planes if bottleneck else planes
        conv3 = lambda i, s: nn.Conv3d(i, planes, 3, s, dilation, dilation, bias=False)
        self.convs = 3 if bottleneck else 2
        self.conv1 = nn.Conv3d(i, planes, 1, bias=False) if bottleneck else conv3(i, stride)
        self.conv2 = conv3(planes, stride if bottleneck else 1)
        self.bn1, self.bn2 = nn.BatchNorm3d(planes), nn.BatchNorm3d(planes)
        if bottleneck:
            self.conv3, self.bn3 = nn.Conv3d(planes, o, 1, bias=False), nn.BatchNorm3d(o)
        self.change, self.pad, self.detach, self.stride, self.o = stride != 1 or i != o, pad, detach, stride, o
        if self.change and not pad:
            self.downsample = nn.Sequential(nn.Conv3d(i, o, 1, stride, bias=False), nn.BatchNorm3d(o))

    def shortcut(self, x):
        if not self.change:
            return x
        if not self.pad:
            return self.downsample(x)
        x = (x.detach() if self.detach else x)[:, :, ::self.stride, ::self.stride, ::self.stride]
        return torch.cat([x, x.new_zeros(x.shape[0], self.o - x.shape[1], *x.shape[2:])], 1)

    def forward(self, x):
        y = x
        for k in range(1, self.convs + 1):
            y = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(y))
            y = F.relu(y) if k < self.convs else y
        return F.relu(y + self.shortcut(x))


class ResidualBefore(Residual):
    """Norm and ReLU before each convolution (He et al. 2016, Identity Mappings)."""

    def __init__(self, i, planes, bottleneck, *rest):
        super().__init__(i, planes, bottleneck, *rest)
        self.bn1 = nn.BatchNorm3d(i)
        if bottleneck:
            self.bn3 = nn.BatchNorm3d(planes)

    def forward(self, x):
        y = x
        for k in range(1, self.convs + 1):
            y = getattr(self, f"conv{k}")(F.relu(getattr(self, f"bn{k}")(y)))
        return y + self.shortcut(x)


MED3D = {10: ([1, 1, 1, 1], False, False), 18: ([2, 2, 2, 2], False, True), 34: ([3, 4, 6, 3], False, True), 50: ([3, 4, 6, 3], True, False),
         101: ([3, 4, 23, 3], True, False), 152: ([3, 8, 36, 3], True, False), 200: ([3, 24, 36, 3], True, False)}


class Med3D(nn.Module):
    def __init__(self, i, o, depth, head="segment", branches=1, full=True, detach=False, pad=None, before=False, stride=8, width=64):
        super().__init__()
        blocks, bottleneck, published = MED3D[depth]
        pad = published if pad is None else pad
        self.conv1, self.bn1 = nn.Conv3d(i, width, 7, 2, 3, bias=False), nn.BatchNorm3d(width)
        c = width
        self.stride, plain = stride, ((1, 1), (2, 1), (2, 1), (2, 1))
        for k, (step, dilation) in enumerate(plain if stride == 32 else ((1, 1), (2, 1), (1, 2), (1, 4))):
            planes = width << k
            layer = []
            for j in range(blocks[k]):
                layer.append((ResidualBefore if before else Residual)(c, planes, bottleneck, 1 if j else step, dilation, pad, detach))
                c = layer[-1].o
            setattr(self, f"layer{k + 1}", nn.Sequential(*layer))
        self.kind, self.full, self.c = head, full, c
        if before:
            self.bn_last = nn.BatchNorm3d(c)
        h = width // 2
        seg = lambda: nn.Sequential(nn.ConvTranspose3d(c, h, 2, 2), nn.BatchNorm3d(h), nn.ReLU(), nn.Conv3d(h, h, 3, 1, 1, bias=False),
                                    nn.BatchNorm3d(h), nn.ReLU(), nn.Conv3d(h, o, 1, bias=False))
        if head == "segment" and branches == 1:
            self.conv_seg = seg()
        elif head == "segment":
            self.branch = nn.ModuleList([named(conv_seg=seg()) for _ in range(branches)])
        elif head == "coarse":
            self.coarse = nn.Conv3d(c, o, 1)
        elif head == "classify":
            self.fc = nn.Linear(c, o)
        elif head == "branches":
            self.branch = nn.ModuleList([nn.Conv3d(c, k, 1) for k in branches])
        elif head == "decoder":
            groups = []
            for k in (4 * width, 8 * width, 16 * width):
                groups.append(nn.Sequential(nn.ConvTranspose3d(c, k, 3, 2, 1, 1, bias=False), nn.BatchNorm3d(k), nn.ReLU(),
                                            nn.Conv3d(k, k // 2, 3, 1, 1, bias=False), nn.BatchNorm3d(k // 2), nn.ReLU()))
                c = k // 2
            self.decoder = nn.Sequential(*groups, nn.Conv3d(c, o, 1))

    def features(self, x):
        x = F.max_pool3d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return F.relu(self.bn_last(x)) if hasattr(self, "bn_last") else x

    def forward(self, x):
        x = self.features(x)
        if self.kind == "classify":
            return self.fc(x.mean((2, 3, 4)))
        if self.kind == "branches":
            return [up(b(x), 8, False) for b in self.branch]
        if self.kind == "decoder":
            return self.decoder(x)
        if self.kind == "coarse":
            return up(self.coarse(x), self.stride, False) if self.full else self.coarse(x)
        ys = [b.conv_seg(x) for b in self.branch] if hasattr(self, "branch") else [self.conv_seg(x)]
        ys = [up(y, 4, False) if self.full else y for y in ys]
        return ys if len(ys) > 1 else ys[0]


class DenseAspp(Med3D):
    def __init__(self, i, o, depth, hidden, growth, dilations, width=64):
        super().__init__(i, o, depth, head=None, width=width)
        c, self.dilations = self.c, dilations
        for k, d in enumerate(dilations):
            b = nn.Module()
            norm, conv = nn.Module(), nn.Module()
            norm.add_module("2", nn.BatchNorm3d(hidden))
            if k:
                norm.add_module("1", nn.BatchNorm3d(c))
            conv.add_module("1", nn.Conv3d(c, hidden, 1))
            conv.add_module("2", nn.Conv3d(hidden, growth, 3, padding=d, dilation=d))
            b.norm, b.conv = norm, conv
            setattr(self, f"ASPP_{d}", b)
            c += growth
        self.classification = nn.Sequential(nn.Dropout3d(0), nn.Conv3d(c, o, 1))

    def forward(self, x):
        x = self.features(x)
        for k, d in enumerate(self.dilations):
            b = getattr(self, f"ASPP_{d}")
            n, c = b.norm._modules, b.conv._modules
            y = c["1"](F.relu(n["1"](x) if k else x))
            x = torch.cat([c["2"](F.relu(n["2"](y))), x], 1)
        return up(self.classification(x), 8, False)


# --- MONAI's U-nets ----------------------------------------------------------------------------------------------------------------

def unit(i, o, stride=1, k=3, norm=lambda c: nn.InstanceNorm3d(c), act=nn.PReLU, transposed=False, alone=False):
    conv = nn.ConvTranspose3d(i, o, k, stride, k // 2, stride - 1) if transposed else nn.Conv3d(i, o, k, stride, k // 2)
    return named(conv=conv) if alone else named(conv=conv, adn=named(N=norm(o), A=act()))


class AttentionLevel(nn.Module):
    def __init__(self, channels):
        super().__init__()
        batch = lambda i, o, **k: unit(i, o, norm=nn.BatchNorm3d, act=nn.ReLU, **k)
        point = lambda i, o: [named(conv=nn.Conv3d(i, o, 1)), nn.BatchNorm3d(o)]
        c, d = channels[:2]
        self.attention = named(W_g=nn.Sequential(*point(c, c // 2)), W_x=nn.Sequential(*point(c, c // 2)),
                               psi=nn.Sequential(*point(c // 2, 1), nn.Sigmoid()))
        self.upconv = named(up=batch(d, c, stride=2, transposed=True))
        self.merge = unit(2 * c, c)
        down = named(conv=nn.Sequential(batch(c, d, stride=2), batch(d, d)))
        self.submodule = nn.Sequential(down, AttentionLevel(channels[1:])) if len(channels) > 2 else down

    def forward(self, x):
        below = self.upconv(self.submodule(x))
        a = self.attention
        gate = a.psi(F.relu(a.W_g(below) + a.W_x(x)))
        return self.merge(torch.cat([x * gate, below], 1))


class AttentionUnet(nn.Module):
    def __init__(self, i, o, channels):
        super().__init__()
        batch = lambda i, o: unit(i, o, norm=nn.BatchNorm3d, act=nn.ReLU)
        head = named(conv=nn.Sequential(batch(i, channels[0]), batch(channels[0], channels[0])))
        self.model = nn.Sequential(head, AttentionLevel(channels), named(conv=nn.Conv3d(channels[0], o, 1)))

    def forward(self, x):
        return self.model(x)


class ResidualUnit(nn.Module):
    def __init__(self, i, o, stride, units, last=False):
        super().__init__()
        self.conv = named(**{f"unit{k}": unit(o if k else i, o, 1 if k else stride, alone=last and k == units - 1) for k in range(units)})
        self.residual = nn.Identity() if stride == 1 and i == o else nn.Conv3d(i, o, 3 if stride != 1 else 1, stride, 1 if stride != 1 else 0)

    def forward(self, x):
        return self.conv(x) + self.residual(x)


class Skip(nn.Module):
    def __init__(self, submodule):
        super().__init__()
        self.submodule = submodule

    def forward(self, x):
        return torch.cat([x, self.submodule(x)], 1)


class ResidualUnet(nn.Module):
    def __init__(self, i, o, channels, units):
        super().__init__()
        step = lambda i, o, s: ResidualUnit(i, o, s, units) if units else unit(i, o, s)

        def level(i, o, channels, top):
            c = channels[0]
            below = level(c, c, channels[1:], False) if len(channels) > 2 else step(c, channels[1], 1)
            wide = 2 * c if len(channels) > 2 else c + channels[1]
            climb = unit(wide, o, 2, transposed=True, alone=top and not units)
            return nn.Sequential(step(i, c, 2), Skip(below), nn.Sequential(climb, ResidualUnit(o, o, 1, 1, top)) if units else climb)
        self.model = level(i, o, channels, True)

    def forward(self, x):
        return self.model(x)
