"""Convolutions of every kind."""

import torch
from net_kinds import Fn, Pick, kind, parameter
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations


def conv(cin: int, cout: int | None = None, size: int = 3, **options) -> nn.Conv2d:
    """A convolution that keeps height and width."""
    return nn.Conv2d(cin, cin if cout is None else cout, size, padding=size // 2, **options)


@kind("conv.plain")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Conv2d(
        w, w, pick(1, 3, 5), padding="same", padding_mode=pick("zeros", "zeros", "reflect", "replicate", "circular"), bias=pick(True, False)
    )


@kind("conv.pair")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(conv(w, 2 * w, bias=False), conv(2 * w, w, 1))


@kind("conv.dilated")
def _(w: int, pick: Pick) -> nn.Module:
    rate = pick(2, 3)
    return nn.Sequential(nn.Conv2d(w, w, 3, padding=rate, dilation=rate), nn.ReLU())


@kind("conv.grouped")
def _(w: int, pick: Pick) -> nn.Module:
    return conv(w, groups=pick(2, 4))


@kind("conv.depthwise")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(
        conv(w, 2 * w, 1), nn.ReLU6(), conv(2 * w, size=pick(3, 5, 7), groups=2 * w, bias=pick(True, False)), conv(2 * w, w, 1)
    )


@kind("conv.separable")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(
        conv(w, groups=w, bias=False), nn.BatchNorm2d(w), nn.ReLU(), conv(w, size=1, bias=False), nn.BatchNorm2d(w), nn.ReLU()
    )


@kind("conv.multiplied_depthwise")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(conv(w, 2 * w, groups=w), conv(2 * w, w, 1, groups=pick(1, 2)))


@kind("conv.strided")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(nn.Conv2d(w, 2 * w, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=pick(True, False)))


@kind("conv.transposed_grouped")
def _(w: int, pick: Pick) -> nn.Module:
    up = nn.ConvTranspose2d(2 * w, w, 3, 2, 1, output_padding=1, groups=pick(2, 4))
    return nn.Sequential(nn.Conv2d(w, 2 * w, 3, 2, 1), nn.ReLU(), up, nn.ReLU())


@kind("conv.transposed_depthwise")
def _(w: int, pick: Pick) -> nn.Module:
    side = pick(2, 4)
    return nn.Sequential(nn.Conv2d(w, w, 2, 2), nn.ConvTranspose2d(w, w, side, 2, side // 2 - 1, groups=w))


@kind("conv.transposed_same")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(w, w, 3, 1, 1), nn.LeakyReLU(0.1))


@kind("conv.transposed_dilated")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.ConvTranspose2d(w, w, 3, 1, 2, dilation=2)


@kind("conv.asymmetric")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(nn.Conv2d(w, w, (1, 5), padding=(0, 2)), nn.Conv2d(w, w, (5, 1), padding=(2, 0)))


@kind("conv.even_same")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Conv2d(w, w, pick(2, 4), padding="same")


@kind("conv.partial")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: torch.cat([m.conv(x[:, : w // 4]), x[:, w // 4 :]], 1), conv=conv(w // 4))


@kind("conv.fixed_kernel")
def _(w: int, pick: Pick) -> nn.Module:
    blur = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 2, 1])) / 16
    if pick(True, False):
        return Fn(lambda m, x: x + F.conv2d(x, m.kernel, padding=1, groups=w), kernel=blur.expand(w, 1, 3, 3).contiguous())
    return Fn(lambda m, x: x - F.conv2d(x, m.kernel.repeat(x.shape[1], 1, 1, 1), padding=1, groups=x.shape[1]), kernel=blur[None, None])


@kind("conv.equalized")
def _(w: int, pick: Pick) -> nn.Module:
    """The weight is scaled at run time, as in progressive GANs."""
    return Fn(
        lambda m, x: F.conv2d(x, m.weight * (2 / (9 * w)) ** 0.5, m.bias, padding=1),
        weight=parameter(w, w, 3, 3, spread=1),
        bias=parameter(w),
    )


@kind("conv.standardized")
def _(w: int, pick: Pick) -> nn.Module:
    """Weight standardisation (Qiao et al. 2019)."""

    def forward(m, x):
        mean = m.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, (m.weight - mean) / (m.weight.std((1, 2, 3), keepdim=True) + 1e-5) * 0.1, padding=1)

    return nn.Sequential(Fn(forward, weight=parameter(w, w, 3, 3)), nn.GroupNorm(4, w), nn.ReLU())


@kind("conv.modulated")
def _(w: int, pick: Pick) -> nn.Module:
    """The weight depends on the picture (StyleGAN 2)."""

    def forward(m, x):
        weight = m.weight * (1 + m.style(x.mean((2, 3))).mean(0).view(1, w, 1, 1))
        weight = weight * torch.rsqrt(weight.pow(2).sum((1, 2, 3), keepdim=True) + 1e-6)
        return F.conv2d(x, weight, padding=1)

    return Fn(forward, weight=parameter(w, w, 3, 3), style=nn.Linear(w, w))


@kind("conv.reparametrised")
def _(w: int, pick: Pick) -> nn.Module:
    """Three branches as RepVGG trains them."""
    parts = {"norm3": nn.BatchNorm2d(w), "norm1": nn.BatchNorm2d(w), "norm0": nn.BatchNorm2d(w)}
    return Fn(
        lambda m, x: F.relu(m.norm3(m.conv3(x)) + m.norm1(m.conv1(x)) + m.norm0(x)),
        conv3=conv(w, bias=False),
        conv1=conv(w, size=1, bias=False),
        **parts,
    )


@kind("conv.lone_channel")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: x * torch.sigmoid(m.map(x)) + m.back(m.map(x)), map=conv(w, 1), back=conv(1, w))


@kind("conv.one_dimension")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: x + m.conv(x.flatten(2)).view_as(x), conv=nn.Conv1d(w, w, 3, padding=1))


@kind("conv.three_dimensions")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: m.conv(x.view(x.shape[0], 2, w // 2, *x.shape[2:])).flatten(1, 2), conv=nn.Conv3d(2, 2, 3, padding=1))


@kind("conv.linear_on_pixels")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(
        lambda m, x: m.last(F.gelu(m.first(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2), first=nn.Linear(w, 2 * w), last=nn.Linear(2 * w, w)
    )


@kind("conv.weight_norm")
def _(w: int, pick: Pick) -> nn.Module:
    norm = pick(
        nn.utils.weight_norm,
        parametrizations.weight_norm,
        nn.utils.spectral_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
    )
    return nn.Sequential(norm(conv(w)), nn.ReLU(), norm(conv(w, size=1)))


@kind("conv.weight_norm_transposed")
def _(w: int, pick: Pick) -> nn.Module:
    norm = pick(nn.utils.weight_norm, parametrizations.spectral_norm)
    return nn.Sequential(norm(nn.Conv2d(w, w, 4, 2, 1)), nn.LeakyReLU(0.2), norm(nn.ConvTranspose2d(w, w, 4, 2, 1)))


@kind("conv.unfolded")
def _(w: int, pick: Pick) -> nn.Module:
    """A convolution as a matrix product over patches."""

    def forward(m, x):
        patches = F.unfold(x, 3, padding=1)
        return (m.weight @ patches).view(x.shape[0], w, *x.shape[2:])

    return Fn(forward, weight=parameter(w, 9 * w, spread=(9 * w) ** -0.5))
