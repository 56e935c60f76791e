"""Resizing, pooling, padding, shuffles: what moves pixels."""

import torch
from net_convolutions import conv
from net_kinds import Fn, Pick, kind, simple
from torch import nn
from torch.nn import functional as F


def _half(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x, 2)


def _up(**options):
    return lambda x: F.interpolate(_half(x), scale_factor=2.0, **options)


def _to(side: float, **options):
    """To a size of its own and back."""

    def resize(x):
        small = F.interpolate(x, size=(int(x.shape[2] * side), int(x.shape[3] * side)), **options)
        return F.interpolate(small, size=x.shape[2:], **options)

    return resize


def _pooled(pool):
    return lambda x: F.interpolate(pool(x), size=x.shape[-2:], mode="nearest")


def _affine(x: torch.Tensor, mode: str, padding: str, corners: bool) -> torch.Tensor:
    # No place lies halfway between two pixels, where the last bit of a sum would say which is nearest.
    turn = torch.tensor([[[0.9731, 0.1037, 0.0213], [-0.1037, 0.9731, -0.0317]]]).expand(x.shape[0], 2, 3)
    return F.grid_sample(x, F.affine_grid(turn, list(x.shape), corners), mode, padding, corners)


simple(
    "resize",
    nearest=_up(mode="nearest"),
    bilinear=_up(mode="bilinear"),
    bilinear_corners=_up(mode="bilinear", align_corners=True),
    bicubic=_up(mode="bicubic"),
    bicubic_corners=_up(mode="bicubic", align_corners=True),
    nearest_exact=_up(mode="nearest-exact"),
    down_bilinear=_to(0.5, mode="bilinear"),
    down_nearest=_to(0.5, mode="nearest"),
    odd_bilinear=_to(0.75, mode="bilinear"),
    odd_bilinear_corners=_to(1.25, mode="bilinear", align_corners=True),
    odd_nearest=_to(0.75, mode="nearest"),
    area=_to(0.5, mode="area"),
    antialias=_to(0.5, mode="bilinear", antialias=True),
    bicubic_antialias=_to(0.5, mode="bicubic", antialias=True),
    odd_bicubic=_to(1.5, mode="bicubic"),
    factor_recomputed=lambda x: F.interpolate(_half(x), scale_factor=2, mode="bilinear", recompute_scale_factor=True),
    one_axis=lambda x: F.interpolate(F.avg_pool2d(x, (1, 2)), scale_factor=(1.0, 2.0), mode="bilinear"),
    odd_factor=lambda x: F.interpolate(F.interpolate(x, scale_factor=1.5, mode="bilinear"), size=x.shape[2:], mode="bilinear"),
    grid_sample=lambda x: _affine(x, "bilinear", "border", False),
    grid_sample_corners=lambda x: _affine(x, "bilinear", "zeros", True),
    grid_sample_reflection=lambda x: _affine(x, "bilinear", "reflection", False),
    grid_sample_nearest=lambda x: _affine(x, "nearest", "border", False),
    repeat_interleave=lambda x: _half(x).repeat_interleave(2, 2).repeat_interleave(2, 3),
    expand=lambda x: _half(x)[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).reshape(x.shape),
    flipped=lambda x: x + x.flip(3),
    rolled=lambda x: x + torch.roll(x, (2, -3), (2, 3)),
    turned=lambda x: x + torch.rot90(torch.rot90(x, 1, (2, 3)), -1, (2, 3)),
)

simple(
    "pool",
    maximum=_pooled(lambda x: F.max_pool2d(x, 2)),
    maximum_overlapping=_pooled(lambda x: F.max_pool2d(x, 3, 2, 1)),
    maximum_same=lambda x: F.max_pool2d(x, 3, 1, 1),
    maximum_ceil=_pooled(lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)),
    maximum_dilated=lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1, 1, dilation=2),
    minimum=lambda x: -F.max_pool2d(-x, 3, 1, 1),
    average=_pooled(lambda x: F.avg_pool2d(x, 2)),
    average_same=lambda x: F.avg_pool2d(x, 3, 1, 1),
    average_uncounted=lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    average_ceil=_pooled(lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True)),
    average_divisor=lambda x: F.avg_pool2d(x, 3, 1, 1, divisor_override=5),
    power=_pooled(lambda x: F.lp_pool2d(x, 2, 2)),
    adaptive=_pooled(lambda x: F.adaptive_avg_pool2d(x, 4)),
    adaptive_odd=_pooled(lambda x: F.adaptive_avg_pool2d(x, (3, 5))),
    adaptive_maximum=_pooled(lambda x: F.adaptive_max_pool2d(x, 4)),
    adaptive_row=lambda x: x + F.adaptive_avg_pool2d(x, (None, 1)),
    amax=lambda x: x - x.amax((2, 3), keepdim=True) * 0.5,
    median=lambda x: x - x.median(1, keepdim=True).values,
    variance=lambda x: x * (1 + x.var(1, keepdim=True)).rsqrt(),
)


@kind("pool.unpooled")
def _(w: int, pick: Pick) -> nn.Module:
    """SegNet."""
    pool, unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
    return Fn(lambda m, x: m.last(m.unpool(*m.pool(m.first(x)))), pool=pool, unpool=unpool, first=conv(w), last=conv(w))


@kind("pad.reflect")
def _(w: int, pick: Pick) -> nn.Module:
    side = pick(1, 2)
    return nn.Sequential(nn.ReflectionPad2d(side), nn.Conv2d(w, w, 2 * side + 1), nn.ReLU())


@kind("pad.replicate")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(nn.ReplicationPad2d((0, 2, 1, 1)), nn.Conv2d(w, w, 3))


@kind("pad.circular")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(nn.CircularPad2d(1), nn.Conv2d(w, w, 3)) if pick(True, False) else conv(w, padding_mode="circular")


@kind("pad.constant")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(nn.ConstantPad2d((1, 1, 2, 0), pick(-1.0, 0.5, 0.0)), nn.Conv2d(w, w, 3), nn.ReLU())


@kind("pad.asymmetric")
def _(w: int, pick: Pick) -> nn.Module:
    """As TensorFlow's SAME."""
    return Fn(lambda m, x: F.interpolate(m.conv(F.pad(x, (0, 1, 0, 1))), scale_factor=2.0), conv=nn.Conv2d(w, w, 3, 2))


@kind("pad.negative")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: F.pad(m.conv(x), (-2, -2, -2, -2)), conv=nn.Conv2d(w, w, 3, padding=3))


@kind("pad.channels")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: F.pad(m.conv(x), (0, 0, 0, 0, w // 4, 0)), conv=conv(w, w - w // 4))


@kind("pad.by_hand")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: m.conv(torch.cat([x[..., :1], x, torch.zeros_like(x[..., -1:])], 3)), conv=nn.Conv2d(w, w, 3, padding=(1, 0)))


@kind("pad.to_multiple")
def _(w: int, pick: Pick) -> nn.Module:
    """Padded to a multiple, cropped at the end."""

    def forward(m, x):
        height, width = x.shape[-2:]
        padded = F.pad(x, (0, -width % 24, 0, -height % 24), mode="reflect") if width % 24 or height % 24 else x
        return m.conv(padded)[:, :, :height, :width]

    return Fn(forward, conv=conv(w))


@kind("shuffle.pixels")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(nn.PixelUnshuffle(2), conv(4 * w, 4 * w, 1, groups=pick(1, 4)), nn.ReLU(), nn.PixelShuffle(2))


@kind("shuffle.pixels_by_hand")
def _(w: int, pick: Pick) -> nn.Module:
    def forward(m, x):
        n, c, h, width = x.shape
        y = x.view(n, c, h // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, width // 2)
        y = F.relu(m.conv(y))
        return y.view(n, 2, 2, c, h // 2, width // 2).permute(0, 3, 4, 1, 5, 2).reshape(n, c, h, width)

    return Fn(forward, conv=conv(4 * w, size=1))


@kind("shuffle.channels")
def _(w: int, pick: Pick) -> nn.Module:
    if pick(True, False):
        return nn.Sequential(conv(w, groups=4), nn.ChannelShuffle(4), conv(w, groups=4))
    shuffle = Fn(lambda m, x: x.view(x.shape[0], 4, -1, *x.shape[2:]).transpose(1, 2).contiguous().flatten(1, 2))
    return nn.Sequential(conv(w, groups=4), shuffle, conv(w, groups=4))


@kind("shuffle.wavelet")
def _(w: int, pick: Pick) -> nn.Module:
    """Haar, there by strided slices, back by a transposed convolution."""

    def forward(m, x):
        a, b, c, d = x[..., ::2, ::2] / 2, x[..., 1::2, ::2] / 2, x[..., ::2, 1::2] / 2, x[..., 1::2, 1::2] / 2
        bands = F.relu(m.conv(torch.cat((a + b + c + d, -a - b + c + d, -a + b - c + d, a - b - c + d), 1)))
        return m.back(bands)

    return Fn(forward, conv=conv(4 * w, size=1), back=nn.ConvTranspose2d(4 * w, w, 2, 2))


@kind("shuffle.folded")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: F.fold(F.unfold(m.conv(x), 2, stride=2), x.shape[2:], 2, stride=2), conv=conv(w))


@kind("shuffle.focus")
def _(w: int, pick: Pick) -> nn.Module:
    """YOLO's focus, and nearest back."""
    slices = lambda x: torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)  # noqa: E731
    return Fn(lambda m, x: F.interpolate(m.conv(slices(x)), scale_factor=2.0), conv=conv(4 * w, w, 1))


@kind("shuffle.shifted")
def _(w: int, pick: Pick) -> nn.Module:
    """Groups of channels shifted by a pixel."""

    def forward(m, x):
        a, b, c = x.split([w // 4, w // 4, w // 2], dim=1)
        return m.conv(torch.cat([torch.roll(a, 1, 2), F.pad(b, (1, 0))[..., :-1], c], 1))

    return Fn(forward, conv=conv(w, size=1))
