"""Normalisation: batch norm in all positions, instance, group, layer and response norms."""

import torch
from net_convolutions import conv
from net_kinds import Fn, Pick, kind, parameter
from torch import nn
from torch.nn import functional as F


@kind("norm.batch_after")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(conv(w, bias=pick(True, False)), nn.BatchNorm2d(w), pick(nn.ReLU(), nn.ReLU(True), nn.PReLU(w), nn.Identity()))


@kind("norm.batch_before")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: x + m.conv(F.relu(m.norm(x))), norm=nn.BatchNorm2d(w), conv=conv(w))


@kind("norm.batch_and_skip")
def _(w: int, pick: Pick) -> nn.Module:
    """A convolution read by a batch norm and, as it is, by others."""
    share = pick(1, 0.5)
    return Fn(lambda m, x: F.relu(m.norm(y := m.first(x))) + share * y, first=conv(w, bias=pick(True, False)), norm=nn.BatchNorm2d(w))


@kind("norm.batch_shared")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: m.norm(m.second(F.relu(m.norm(m.first(x))))), first=conv(w), second=conv(w, bias=False), norm=nn.BatchNorm2d(w))


@kind("norm.batch_of_two_scales")
def _(w: int, pick: Pick) -> nn.Module:
    """One convolution at two resolutions, a norm for each."""

    def forward(m, x):
        coarse = F.relu(m.coarse(m.shared(F.avg_pool2d(x, 2))))
        return F.relu(m.fine(m.shared(x))) + F.interpolate(coarse, scale_factor=2.0)

    return Fn(forward, shared=conv(w, bias=pick(True, False)), fine=nn.BatchNorm2d(w), coarse=nn.BatchNorm2d(w))


@kind("norm.batch_plain")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(
        conv(w), nn.BatchNorm2d(w, affine=False), nn.ReLU(), conv(w, bias=False), nn.BatchNorm2d(w, eps=1e-3, momentum=None)
    )


@kind("norm.batch_statistics")
def _(w: int, pick: Pick) -> nn.Module:
    if pick(True, False):
        return nn.Sequential(conv(w), nn.BatchNorm2d(w, track_running_stats=False, affine=pick(True, False)), nn.ReLU())
    norm = Fn(lambda m, x: F.batch_norm(x, None, None, m.weight, m.bias, training=True), weight=parameter(w, around=1), bias=parameter(w))
    return nn.Sequential(conv(w), norm, nn.ReLU())


@kind("norm.batch_after_odd")
def _(w: int, pick: Pick) -> nn.Module:
    """After a transposed, grouped or depthwise convolution."""
    odd = pick(
        nn.ConvTranspose2d(w, w, 3, 1, 1),
        nn.ConvTranspose2d(w, w, 3, 1, 1, groups=4, bias=False),
        conv(w, groups=4),
        conv(w, groups=w, bias=False),
    )
    return nn.Sequential(odd, nn.BatchNorm2d(w), nn.ReLU())


@kind("norm.batch_apart")
def _(w: int, pick: Pick) -> nn.Module:
    """Something lies between the convolution and the norm."""
    between = pick(nn.Dropout2d(0.2), nn.ReflectionPad2d(0), nn.LeakyReLU(0.1), nn.BatchNorm2d(w), nn.Identity(), nn.AvgPool2d(3, 1, 1))
    return nn.Sequential(conv(w, bias=pick(True, False)), between, nn.BatchNorm2d(w))


@kind("norm.batch_of_parts")
def _(w: int, pick: Pick) -> nn.Module:
    """Dense: a norm over the concatenation of a convolution and its input, and over a part of a convolution."""
    if pick(True, False):
        return Fn(
            lambda m, x: m.last(F.relu(m.norm(torch.cat([x, m.first(x)], 1)))),
            first=conv(w),
            norm=nn.BatchNorm2d(2 * w),
            last=conv(2 * w, w, 1),
        )
    half = {"norm": nn.BatchNorm2d(w), "conv": conv(w, 2 * w)}
    return Fn(lambda m, x: m.norm(m.conv(x)[:, :w]) + m.conv(x)[:, w:], **half)


@kind("norm.batch_frozen")
def _(w: int, pick: Pick) -> nn.Module:
    """As torchvision's FrozenBatchNorm2d: buffers, a product and a sum."""

    def forward(m, x):
        scale = (m.weight * (m.variance + 1e-5).rsqrt()).reshape(1, -1, 1, 1)
        return x * scale + (m.bias.reshape(1, -1, 1, 1) - m.mean.reshape(1, -1, 1, 1) * scale)

    numbers = {"weight": torch.rand(w) + 0.5, "bias": 0.2 * torch.randn(w), "mean": 0.2 * torch.randn(w), "variance": torch.rand(w) + 0.5}
    return nn.Sequential(conv(w, bias=False), Fn(forward, **numbers), nn.ReLU())


@kind("norm.batch_after_linear")
def _(w: int, pick: Pick) -> nn.Module:
    """Squeeze, linear, batch norm over (N, C)."""
    return Fn(
        lambda m, x: x * torch.sigmoid(m.norm(m.linear(x.mean((2, 3)))))[..., None, None], linear=nn.Linear(w, w), norm=nn.BatchNorm1d(w)
    )


@kind("norm.instance")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(conv(w), nn.InstanceNorm2d(w, affine=pick(True, False)), pick(nn.ReLU(), nn.LeakyReLU(0.2)))


@kind("norm.instance_running")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(
        conv(w, bias=pick(True, False)), nn.InstanceNorm2d(w, affine=pick(True, False), track_running_stats=True), nn.ReLU()
    )


@kind("norm.half_instance")
def _(w: int, pick: Pick) -> nn.Module:
    """Half of the channels (HINet)."""

    def forward(m, x):
        left, right = torch.chunk(m.conv(x), 2, dim=1)
        return F.leaky_relu(torch.cat([m.norm(left), right], 1), 0.2)

    return Fn(forward, conv=conv(w), norm=nn.InstanceNorm2d(w // 2, affine=True))


@kind("norm.conditional")
def _(w: int, pick: Pick) -> nn.Module:
    """AdaIN against the statistics of another feature map, unbiased as torch.std and torch.var are."""

    def forward(m, x):
        style = m.style(x)
        mean, std = style.mean((2, 3), keepdim=True), style.std((2, 3), keepdim=True)
        flat = x.flatten(2)
        own = flat.var(2)[..., None, None] + 1e-5
        return (x - flat.mean(2)[..., None, None]) / own.sqrt() * std + mean

    return Fn(forward, style=conv(w))


@kind("norm.group")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(conv(w), nn.GroupNorm(pick(1, 2, 4), w, affine=pick(True, True, False)), nn.SiLU())


@kind("norm.layer_last")
def _(w: int, pick: Pick) -> nn.Module:
    """Channels last, as ConvNeXt."""
    parts = {
        "deep": conv(w, size=7, groups=w),
        "norm": nn.LayerNorm(w),
        "wide": nn.Linear(w, 2 * w),
        "narrow": nn.Linear(2 * w, w),
        "scale": parameter(w),
    }
    return Fn(lambda m, x: x + (m.scale * m.narrow(F.gelu(m.wide(m.norm(m.deep(x).permute(0, 2, 3, 1)))))).permute(0, 3, 1, 2), **parts)


@kind("norm.layer_first")
def _(w: int, pick: Pick) -> nn.Module:
    """Over channels, written out (NAFNet)."""

    def forward(m, x):
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        return m.weight[:, None, None] * (x - mean) / (variance + 1e-6).sqrt() + m.bias[:, None, None]

    return nn.Sequential(Fn(forward, weight=parameter(w, around=1), bias=parameter(w)), conv(w))


@kind("norm.root_mean_square")
def _(w: int, pick: Pick) -> nn.Module:
    forward = pick(
        lambda m, x: F.normalize(x, dim=1) * w**0.5 * m.weight,
        lambda m, x: x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8) * m.weight,
    )
    return nn.Sequential(Fn(forward, weight=parameter(w, 1, 1, around=1)), conv(w, size=1))


@kind("norm.global_response")
def _(w: int, pick: Pick) -> nn.Module:
    """ConvNeXt V2."""

    def forward(m, x):
        size = torch.norm(x, p=2, dim=(2, 3), keepdim=True)
        return x + m.weight * x * (size / (size.mean(1, keepdim=True) + 1e-6)) + m.bias

    return nn.Sequential(conv(w), nn.GELU(), Fn(forward, weight=parameter(1, w, 1, 1), bias=parameter(1, w, 1, 1)))


@kind("norm.local_response")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(conv(w), nn.ReLU(), nn.LocalResponseNorm(pick(3, 5)))


@kind("norm.weightless_layer")
def _(w: int, pick: Pick) -> nn.Module:
    """Over all of C, H, W."""
    return Fn(lambda m, x: m.conv(F.layer_norm(x, x.shape[1:])), conv=conv(w))


@kind("norm.running_buffer")
def _(w: int, pick: Pick) -> nn.Module:
    """Keeps count in a buffer, also in eval mode."""

    def forward(m, x):
        m.calls += 1
        return m.conv(x - m.mean)

    return Fn(forward, conv=conv(w), mean=0.2 * torch.randn(1, w, 1, 1), calls=torch.zeros((), dtype=torch.long))
