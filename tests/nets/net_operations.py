"""Splits, stacks, pools, filters and tables: what networks compute beside convolutions."""

import torch
from net_convolutions import conv
from net_kinds import Fn, Pick, kind, parameter
from torch import nn
from torch.nn import functional as F


@kind("mix.splits")
def _(w: int, pick: Pick) -> nn.Module:
    """Information distillation: a part is kept, the rest goes on (IMDN)."""

    def forward(m, x):
        kept1, rest = torch.split(F.leaky_relu(m.first(x), 0.05), [w // 4, w - w // 4], dim=1)
        kept2, rest = torch.split(F.leaky_relu(m.second(rest), 0.05), [w // 4, w - w // 4], dim=1)
        return m.join(torch.cat([kept1, kept2, m.third(rest)], 1)) + x

    return Fn(forward, first=conv(w), second=conv(w - w // 4, w), third=conv(w - w // 4, w // 2), join=conv(w, size=1))


@kind("mix.uneven")
def _(w: int, pick: Pick) -> nn.Module:
    """Channels that are multiples of nothing."""
    return nn.Sequential(conv(w, w - 3), nn.ReLU(), conv(w - 3, w + 1), nn.ReLU(), conv(w + 1, w))


@kind("mix.stacked")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(
        lambda m, x: torch.stack([m.a(x), m.b(x), x], 0).mean(0) + torch.stack(torch.unbind(x, 1), 1).sum(1, True) / w,
        a=conv(w),
        b=conv(w, size=1),
    )


@kind("mix.sum_of_list")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: sum(branch(x) for branch in m.branches), branches=nn.ModuleList([conv(w), conv(w, size=1), nn.Identity()]))


@kind("mix.pyramid_pool")
def _(w: int, pick: Pick) -> nn.Module:
    def forward(m, x):
        pooled = [
            F.interpolate(m.conv(F.adaptive_avg_pool2d(x, side)), size=x.shape[2:], mode="bilinear", align_corners=True)
            for side in (1, 2, 4)
        ]
        return m.last(torch.cat([x, *pooled], 1))

    return Fn(forward, conv=conv(w, w // 2, 1), last=conv(w + 3 * (w // 2), w, 1))


@kind("mix.bilinear_pool")
def _(w: int, pick: Pick) -> nn.Module:
    """A Gram matrix of features."""

    def forward(m, x):
        flat = x.flatten(2)
        gram = torch.matmul(flat, flat.mT) / flat.shape[-1]
        return x + torch.matmul(gram, flat).view_as(x) / w

    return nn.Sequential(conv(w), Fn(forward))


@kind("mix.dynamic_filter")
def _(w: int, pick: Pick) -> nn.Module:
    """A filter for each pixel, from the features (kernel prediction)."""

    def forward(m, x):
        n, c, h, width = x.shape
        kernels = m.kernels(x).softmax(1).view(n, 1, 9, h, width)
        return (F.unfold(x, 3, padding=1).view(n, c, 9, h, width) * kernels).sum(2)

    return Fn(forward, kernels=conv(w, 9))


@kind("mix.warped")
def _(w: int, pick: Pick) -> nn.Module:
    """A learnt flow, applied by grid_sample."""

    def forward(m, x):
        _, _, h, width = x.shape
        ys, xs = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, width), indexing="ij")
        grid = torch.stack([xs, ys], -1).unsqueeze(0) + 0.05 * torch.tanh(m.flow(x)).permute(0, 2, 3, 1)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)

    return Fn(forward, flow=conv(w, 2))


@kind("mix.fourier")
def _(w: int, pick: Pick) -> nn.Module:
    """A convolution of the spectrum (LaMa)."""

    def forward(m, x):
        spectrum = torch.fft.rfft2(x, norm="ortho")
        mixed = m.conv(torch.cat([spectrum.real, spectrum.imag], 1))
        real, imaginary = mixed.chunk(2, 1)
        return torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[2:], norm="ortho")

    return Fn(forward, conv=conv(2 * w, size=1))


@kind("mix.cumulative")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: m.conv(x.cumsum(1) / w), conv=conv(w))


@kind("mix.checkpointed")
def _(w: int, pick: Pick) -> nn.Module:
    from torch.utils.checkpoint import checkpoint

    reentrant = pick(True, False)
    return Fn(lambda m, x: x + checkpoint(m.body, x, use_reentrant=reentrant), body=nn.Sequential(conv(w), nn.ReLU()))


@kind("mix.lookup")
def _(w: int, pick: Pick) -> nn.Module:
    """A curve by linear interpolation in a table (learnt tone curves)."""

    def forward(m, x):
        place = torch.sigmoid(x) * 15
        low = place.floor().clamp(0, 14)
        share = place - low
        index = low.long()
        return m.table[index] * (1 - share) + m.table[index + 1] * share

    return nn.Sequential(conv(w), Fn(forward, table=parameter(16, spread=0.5)))


@kind("mix.checked")
def _(w: int, pick: Pick) -> nn.Module:
    """Asserts, prints of shapes, python numbers."""

    def forward(m, x):
        assert x.dim() == 4 and x.shape[1] == w, f"got {tuple(x.shape)}"
        scale = float(x.shape[2]) ** -0.5
        return m.conv(x) * (1 + scale) if not m.training else m.conv(x)

    return Fn(forward, conv=conv(w))


@kind("mix.nothing")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(nn.Identity(), nn.Dropout(0.0), nn.Sequential())
