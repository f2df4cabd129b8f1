"""The public networks in PyTorch, written from their published descriptions, with the names of their weights.  A forward pass
returns a tensor, or a list of them where the network has further outputs, in the order of docs/networks.md."""
import torch
from torch import nn
import torch.nn.functional as F


def up(x, scale, align):
    return F.interpolate(x, scale_factor=scale, mode="trilinear", align_corners=align)


class Conv(nn.Module):
    """A convolution one level down, as MONAI names it."""
    def __init__(self, *a, **k):
        super().__init__()
        self.conv = nn.Conv3d(*a, **k)

    def forward(self, x):
        return self.conv(x)


# --- SegResNet ---------------------------------------------------------------------------------------------------------------------

class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, c), nn.GroupNorm(8, c)
        self.conv1, self.conv2 = Conv(c, c, 3, padding=1, bias=False), Conv(c, c, 3, padding=1, bias=False)

    def forward(self, x):
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


class SegResNet(nn.Module):
    def __init__(self, i, o, f, down=(1, 2, 2, 4), ups=(1, 1, 1)):
        super().__init__()
        self.convInit = Conv(i, f, 3, padding=1, bias=False)
        self.down_layers, self.up_samples, self.up_layers = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for l, n in enumerate(down):
            first = Conv(f << l - 1, f << l, 3, stride=2, padding=1, bias=False) if l else nn.Identity()
            self.down_layers.append(nn.Sequential(first, *[Block(f << l) for _ in range(n)]))
        for k, n in enumerate(ups):
            l = len(down) - 2 - k
            self.up_samples.append(nn.Sequential(Conv(f << l + 1, f << l, 1, bias=False), nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False)))
            self.up_layers.append(nn.Sequential(*[Block(f << l) for _ in range(n)]))
        self.conv_final = nn.Sequential(nn.GroupNorm(8, f), nn.ReLU(), Conv(f, o, 1))

    def encode(self, x):
        x, skips = self.convInit(x), []
        for d in self.down_layers:
            x = d(x)
            skips.append(x)
        return skips

    def decode(self, x, skips):
        for k, (s, u) in enumerate(zip(self.up_samples, self.up_layers)):
            x = u(s(x) + (skips[-2 - k] if skips else 0))
        return x

    def forward(self, x):
        skips = self.encode(x)
        return self.conv_final(self.decode(skips[-1], skips))


class SegResNetVAE(SegResNet):
    """Without noise on the code.  Outputs: logits, the code's mean, the reconstruction."""
    def __init__(self, i, o, f, patch, size=256):
        super().__init__(i, o, f)
        deep = f * 8
        self.small = [16] + [p // 16 for p in patch]
        n = 16 * self.small[1] * self.small[2] * self.small[3]
        self.vae_down = nn.Sequential(nn.GroupNorm(8, deep), nn.ReLU(), Conv(deep, 16, 3, stride=2, padding=1), nn.GroupNorm(8, 16), nn.ReLU())
        self.vae_fc1, self.vae_fc2, self.vae_fc3 = nn.Linear(n, size), nn.Linear(n, size), nn.Linear(size, n)
        self.vae_fc_up_sample = nn.Sequential(Conv(16, deep, 1, bias=False), nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False),
                                              nn.GroupNorm(8, deep), nn.ReLU())
        self.vae_conv_final = nn.Sequential(nn.GroupNorm(8, f), nn.ReLU(), Conv(f, i, 1))

    def forward(self, x):
        skips = self.encode(x)
        code = self.vae_fc1(self.vae_down(skips[-1]).flatten(1))
        y = F.relu(self.vae_fc3(code)).view(-1, *self.small)
        y = self.vae_conv_final(self.decode(self.vae_fc_up_sample(y), None))
        return [self.conv_final(self.decode(skips[-1], skips)), code, y]


# --- MeshNet -----------------------------------------------------------------------------------------------------------------------

class MeshNet(nn.Module):
    def __init__(self, i, o, c, dilations, norm="batch", act=nn.ReLU, bias=True):
        super().__init__()
        layers = []
        for d in dilations:
            n = {"none": nn.Identity, "batch": lambda: nn.BatchNorm3d(c), "instance": lambda: nn.InstanceNorm3d(c)}[norm]()
            layers.append(nn.Sequential(nn.Conv3d(i, c, 3, padding=d, dilation=d, bias=bias), n, act()))
            i = c
        self.model = nn.Sequential(*layers, nn.Conv3d(c, o, 1))

    def forward(self, x):
        return self.model(x)


# --- EquiUnet and its relatives ----------------------------------------------------------------------------------------------------

def group_norm(c):
    g = min(16, c)
    if c % g:
        d = 16
        while c % d:
            d //= 2
        g = c // d
    return nn.GroupNorm(g, c)


def instance_norm(c):
    return nn.InstanceNorm3d(c, affine=True)


def named(**parts):
    s = nn.Sequential()
    for name, part in parts.items():
        s.add_module(name, part)
    return s


def conv_norm_relu(i, o, norm, d=1):
    return named(conv=nn.Conv3d(i, o, 3, padding=d, dilation=d, bias=False), bn=norm(o), relu=nn.ReLU())


class Cbam(nn.Module):
    def __init__(self, c, norm, relu):
        super().__init__()
        self.ChannelGate = nn.Module()
        self.ChannelGate.mlp = nn.Sequential(nn.Flatten(), nn.Linear(c, c // 16), nn.ReLU(), nn.Linear(c // 16, c))
        self.SpatialGate = nn.Module()
        self.SpatialGate.spatial = named(conv=nn.Conv3d(2, 1, 7, padding=3, bias=False), bn=norm(1), relu=nn.ReLU() if relu else nn.Identity())

    def forward(self, x):
        mlp = self.ChannelGate.mlp
        x = x * torch.sigmoid(mlp(x.mean((2, 3, 4))) + mlp(x.amax((2, 3, 4))))[..., None, None, None]
        both = torch.cat([x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.SpatialGate.spatial(both))


class EquiUnet(nn.Module):
    def __init__(self, i, o, w, norm=group_norm, deep=False, half=False, cbam=None):
        super().__init__()
        f, first = [w, 2 * w, 4 * w, 8 * w], 2 if half else 1

        def block(i, m, o, d=1, gated=False):
            b = named(ConvBnRelu1=conv_norm_relu(i, m, norm, d), ConvBnRelu2=conv_norm_relu(m, o, norm, d))
            return named(UBlock=b, CBAM=Cbam(o, norm, cbam == "relu")) if gated else b

        gated = cbam is not None
        for k in range(4):
            setattr(self, f"encoder{k + 1}", block(f[k - 1] if k else i, f[k] // first, f[k], 1, gated))
        self.bottom = block(f[3], f[3], f[3], 2, gated)
        self.bottom_2 = conv_norm_relu(2 * f[3], f[2], norm)
        if gated:
            self.bottom_2 = nn.Sequential(self.bottom_2, Cbam(f[2], norm, cbam == "relu"))
        self.decoder3, self.decoder2 = block(2 * f[2], f[2], f[1]), block(2 * f[1], f[1], f[0])
        self.decoder1 = block(2 * f[0], f[0], f[0] // first)
        self.outconv = nn.Conv3d(f[0] // first, o, 1)
        self.deep = deep
        if deep:
            for name, c, s in (("deep_bottom", f[3], 8), ("deep_bottom2", f[2], 8), ("deep3", f[1], 4), ("deep2", f[0], 2)):
                setattr(self, name, nn.Sequential(nn.Conv3d(c, o, 1), nn.Upsample(scale_factor=s, mode="trilinear", align_corners=True)))

    def forward(self, x):
        d1 = self.encoder1(x)
        d2 = self.encoder2(F.max_pool3d(d1, 2))
        d3 = self.encoder3(F.max_pool3d(d2, 2))
        d4 = self.encoder4(F.max_pool3d(d3, 2))
        bottom = self.bottom(d4)
        bottom_2 = self.bottom_2(torch.cat([d4, bottom], 1))
        u3 = self.decoder3(torch.cat([d3, up(bottom_2, 2, True)], 1))
        u2 = self.decoder2(torch.cat([d2, up(u3, 2, True)], 1))
        y = self.outconv(self.decoder1(torch.cat([d1, up(u2, 2, True)], 1)))
        return [y, self.deep_bottom(bottom), self.deep_bottom2(bottom_2), self.deep3(u3), self.deep2(u2)] if self.deep else y


class CatalystUnet(nn.Module):
    def __init__(self, i, o, w=64):
        super().__init__()

        def twice(i, m, o):
            return named(double_conv=nn.Sequential(nn.Conv3d(i, m, 3, padding=1), nn.BatchNorm3d(m), nn.ReLU(),
                                                   nn.Conv3d(m, o, 3, padding=1), nn.BatchNorm3d(o), nn.ReLU()))
        self.inc = twice(i, w, w)
        for k, c in ((1, 2 * w), (2, 4 * w), (3, 8 * w)):
            setattr(self, f"down{k}", named(maxpool_conv=nn.Sequential(nn.MaxPool3d(2), twice(c // 2, c, c))))
        for k, c, m, n in ((1, 12 * w, 4 * w, 4 * w), (2, 6 * w, 4 * w, 2 * w), (3, 3 * w, w, w)):
            setattr(self, f"up{k}", named(conv=twice(c, m, n)))
        self.outc = named(conv=nn.Conv3d(w, o, 1))

    def forward(self, x):
        a = self.inc(x)
        b = self.down1(a)
        c = self.down2(b)
        x = self.up1(torch.cat([c, up(self.down3(c), 2, True)], 1))
        x = self.up2(torch.cat([b, up(x, 2, True)], 1))
        return self.outc(self.up3(torch.cat([a, up(x, 2, True)], 1)))


# --- nnU-Net -----------------------------------------------------------------------------------------------------------------------

class NnUnet(nn.Module):
    def __init__(self, i, o, features, convs=2, deep=False):
        super().__init__()

        def stack(i, o, stride):
            layers = [named(conv=nn.Conv3d(o if k else i, o, 3, 1 if k else stride, 1), norm=nn.InstanceNorm3d(o, affine=True), nonlin=nn.LeakyReLU(0.01))
                      for k in range(convs)]
            return named(convs=nn.Sequential(*layers))
        self.encoder, self.decoder, self.deep = nn.Module(), nn.Module(), deep
        self.encoder.stages = nn.Sequential(*[nn.Sequential(stack(features[k - 1] if k else i, c, 2 if k else 1)) for k, c in enumerate(features)])
        pairs = list(zip(features[:0:-1], features[-2::-1]))
        self.decoder.transpconvs = nn.ModuleList([nn.ConvTranspose3d(a, b, 2, 2) for a, b in pairs])
        self.decoder.stages = nn.ModuleList([stack(2 * b, b, 1) for _, b in pairs])
        self.decoder.seg_layers = nn.ModuleList([nn.Conv3d(b, o, 1) for _, b in pairs])

    def forward(self, x):
        skips, heads = [], []
        for s in self.encoder.stages:
            x = s(x)
            skips.append(x)
        for k, s in enumerate(self.decoder.stages):
            x = s(torch.cat([self.decoder.transpconvs[k](x), skips[-2 - k]], 1))
            heads.append(self.decoder.seg_layers[k](x))
        return heads[::-1] if self.deep else heads[-1]
