"""Small nets, each of one kind of coupling between channels, all of an RGB image of 16x16 pixels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 16


class Scale(nn.Module):
    """Any learnt tensor of one value for each channel."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.rand(shape) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.beta


class OwnNorm(nn.Module):
    """Layer norm over channels as in ConvNeXt, with PyTorch's function and a remembered shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(width) + 0.5), nn.Parameter(torch.randn(width))
        self.normalized_shape = (width,)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)


class HandNorm(nn.Module):
    """The same as a mean and a variance."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(width) + 0.5), nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        normal = centred / (centred.pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
        return self.weight[:, None, None] * normal + self.bias.view(1, -1, 1, 1)


class Apply(nn.Module):
    """A function with submodules."""

    def __init__(self, function: Callable[..., Tensor], **children: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def conv(entering: int, leaving: int, kernel: int = 3, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(entering, leaving, kernel, 1, kernel // 2, groups=groups)


def net(*middle: nn.Module, entering: int = WIDTH, leaving: int = WIDTH) -> nn.Module:
    """Between a convolution from RGB and one to RGB."""
    return nn.Sequential(conv(3, entering), nn.ReLU(), *middle, conv(leaving, 3))


def gate() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        left, right = self.depthwise(self.wide(x)).chunk(2, 1)
        return x + self.narrow(left * right * self.attention(left * right)) * self.scale.beta

    attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(WIDTH, WIDTH, 1))
    block = Apply(
        forward,
        wide=conv(WIDTH, 2 * WIDTH, 1),
        depthwise=conv(2 * WIDTH, 2 * WIDTH, groups=2 * WIDTH),
        attention=attention,
        narrow=conv(WIDTH, WIDTH, 1),
        scale=Scale(1, WIDTH, 1, 1),
    )
    return net(HandNorm(WIDTH), block)


def halves_by_slices() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = self.wide(x)
        half = x.shape[1] // 2
        return x[:, :half] * x[:, half:].sigmoid()

    return net(Apply(forward, wide=conv(WIDTH, 2 * WIDTH)))


def convnext() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = self.scale(self.second(functional.gelu(self.first(self.norm(y)))))
        return x + y.permute(0, 3, 1, 2)

    first, second = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(3 * WIDTH, WIDTH)
    depthwise = conv(WIDTH, WIDTH, 5, WIDTH)
    return net(Apply(forward, depthwise=depthwise, norm=nn.LayerNorm(WIDTH), first=first, second=second, scale=Scale(WIDTH)))


def excite() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = functional.hardswish(self.norm(self.depthwise(x)))
        s = self.up(functional.relu(self.down(y.mean((2, 3)))))
        return y * functional.hardsigmoid(s)[:, :, None, None]

    children = {"depthwise": conv(WIDTH, WIDTH, 3, WIDTH), "norm": nn.BatchNorm2d(WIDTH)}
    return net(Apply(forward, **children, down=nn.Linear(WIDTH, 8), up=nn.Linear(8, WIDTH)), nn.PReLU(WIDTH))


def shuffle_unit() -> nn.Module:
    """ShuffleNet v2: half of the channels pass, and halves are interleaved."""

    def forward(self: Any, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        y = torch.cat((left, self.body(right)), 1)
        b, c, h, w = y.shape
        return y.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)

    half = WIDTH // 2
    body = nn.Sequential(conv(half, half, 1), nn.BatchNorm2d(half), conv(half, half, groups=half), conv(half, half, 1))
    return net(Apply(forward, body=body))


def pixels_by_hand() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        y = self.up(functional.avg_pool2d(x, 2))
        return y.view(b, -1, 2, 2, h // 2, w // 2).permute(0, 1, 4, 2, 5, 3).reshape(b, -1, h, w)

    return net(Apply(forward, up=conv(WIDTH, 4 * WIDTH)))


def transposed_attention() -> nn.Module:
    """Restormer: attention between channels of each head."""

    def forward(self: Any, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        q, k, v = (part.reshape(b, 4, -1, h * w) for part in self.depthwise(self.qkv(x)).chunk(3, 1))
        q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
        mixed = ((q @ k.transpose(-2, -1)) * self.temperature.beta).softmax(-1) @ v
        return x + self.out(mixed.reshape(b, -1, h, w))

    qkv, depthwise = conv(WIDTH, 3 * WIDTH, 1), conv(3 * WIDTH, 3 * WIDTH, 3, 3 * WIDTH)
    return net(OwnNorm(WIDTH), Apply(forward, qkv=qkv, depthwise=depthwise, out=conv(WIDTH, WIDTH, 1), temperature=Scale(4, 1, 1)))


def window_attention() -> nn.Module:
    """Swin: attention between the pixels of a window, heads of a fixed number."""

    def forward(self: Any, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        windows = x.view(b, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
        q, k, v = self.qkv(self.norm(windows)).reshape(-1, 16, 3, 4, WIDTH // 4).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=self.bias.beta)
        y = self.out(mixed.transpose(1, 2).flatten(2))
        y = y.view(b, h // 4, w // 4, 4, 4, -1).permute(0, 5, 1, 3, 2, 4).reshape(b, -1, h, w)
        return x + y

    children = {"norm": nn.LayerNorm(WIDTH), "qkv": nn.Linear(WIDTH, 3 * WIDTH), "out": nn.Linear(WIDTH, WIDTH)}
    return net(Apply(forward, **children, bias=Scale(4, 16, 16)), conv(WIDTH, WIDTH), nn.ReLU())


def spatial_attention() -> nn.Module:
    """CBAM: mean and maximum over channels weigh the pixels."""

    def forward(self: Any, x: Tensor) -> Tensor:
        seen = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return x * self.mix(seen).sigmoid() + x.mean((2, 3), keepdim=True)

    return net(Apply(forward, mix=conv(2, 1, 7)))


def dense() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = functional.relu(self.first(x))
        z = functional.relu(self.second(torch.cat((x, y), 1)))
        return x + 0.2 * self.third(torch.cat((x, y, z), 1))

    return net(Apply(forward, first=conv(WIDTH, 8), second=conv(WIDTH + 8, 8), third=conv(WIDTH + 16, WIDTH)))


def skip_over_concatenation() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        return self.skip(x) + self.norm(torch.cat((self.left(x), self.right(x)), 1))

    return net(Apply(forward, left=conv(WIDTH, 8), right=conv(WIDTH, 8), skip=conv(WIDTH, WIDTH, 1), norm=nn.GroupNorm(1, WIDTH)))


def written_in_place() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.wide(x)
        y[:, : y.shape[1] // 2] *= 0.5
        y.relu_()
        return self.narrow(y)

    return net(Apply(forward, wide=conv(WIDTH, 2 * WIDTH), narrow=conv(2 * WIDTH, WIDTH)))


def used_twice() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        for _ in range(2):
            x = x + functional.relu(self.body(x))
        return x

    return net(Apply(forward, body=conv(WIDTH, WIDTH)))


def own_kernel() -> nn.Module:
    """A convolution whose weights are a module's own, made zero-mean first."""

    class Standardised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(WIDTH, WIDTH, 3, 3) / 12)

        def forward(self, x: Tensor) -> Tensor:
            kernel = self.kernel - self.kernel.mean((1, 2, 3), keepdim=True)
            return functional.conv2d(x, kernel, padding=1)

    return net(Standardised(), nn.LeakyReLU())


def modulated() -> nn.Module:
    """StyleGAN 2: a weight scaled by what the image says."""

    class Modulated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.style = nn.Parameter(torch.randn(WIDTH, WIDTH, 3, 3) / 12), nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight * self.style(x.mean((2, 3)))[0].view(1, -1, 1, 1)
            weight = weight * torch.rsqrt(weight.pow(2).sum((1, 2, 3), keepdim=True) + 1e-8)
            return functional.conv2d(x, weight, padding=1)

    return net(Modulated(), nn.ReLU())


def bottleneck_groups() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        return x + self.last(self.norm(self.grouped(self.first(x))))

    children = {"first": conv(WIDTH, WIDTH, 1), "grouped": conv(WIDTH, 2 * WIDTH, 3, 4), "norm": nn.GroupNorm(4, 2 * WIDTH)}
    return net(Apply(forward, **children, last=conv(2 * WIDTH, WIDTH, 1)))


def positions() -> nn.Module:
    return net(Scale(1, WIDTH, 16, 16), Scale(WIDTH, 1, 1), nn.InstanceNorm2d(WIDTH, affine=True))


def hourglass() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        return x + self.up(functional.relu(self.down(x)))

    down = nn.Sequential(nn.PixelUnshuffle(2), conv(4 * WIDTH, 24))
    up = nn.Sequential(conv(24, 4 * WIDTH, 1), nn.PixelShuffle(2))
    return net(Apply(forward, down=down, up=up))


def deconvolutions() -> nn.Module:
    down = nn.Conv2d(WIDTH, WIDTH, 4, 2, 1, groups=WIDTH)
    return net(down, conv(WIDTH, 24, 1), nn.ConvTranspose2d(24, 24, 2, 2, groups=24), nn.ConvTranspose2d(24, WIDTH, 3, 1, 1, groups=2))


def multipliers() -> nn.Module:
    """Depthwise with two filters for each channel, and a gated linear unit after it."""
    return net(conv(WIDTH, 4 * WIDTH, 3, WIDTH), nn.GLU(1), conv(2 * WIDTH, WIDTH, 1), nn.GroupNorm(WIDTH, WIDTH))


def channel_shuffle() -> nn.Module:
    return net(conv(WIDTH, 32, 1, 2), nn.ChannelShuffle(2), conv(32, 32, 3, 32), conv(32, WIDTH, 1, 2))


def einsum_mixing() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        scores = torch.einsum("bchw,bdhw->bcd", self.left(x), self.right(x)) / x.shape[-1] ** 2
        return x + torch.einsum("bcd,bdhw->bchw", scores.softmax(2), x)

    return net(Apply(forward, left=conv(WIDTH, WIDTH, 1), right=conv(WIDTH, WIDTH, 1)))


def fourier() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = torch.fft.rfft2(x)
        real, imaginary = functional.relu(self.mix(torch.cat((y.real, y.imag), 1))).chunk(2, 1)
        return x + torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[-2:])

    return net(Apply(forward, mix=conv(2 * WIDTH, 2 * WIDTH, 1)))


def attention_by_hand() -> nn.Module:
    """Heads of a fixed number between pixels; their width can become smaller."""

    def forward(self: Any, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = (part(tokens).reshape(b, h * w, 4, -1).transpose(1, 2) for part in (self.q, self.k, self.v))
        mixed = ((q @ k.transpose(-1, -2)) * 0.5).softmax(-1) @ v
        return x + self.out(mixed.transpose(1, 2).reshape(b, h * w, -1)).transpose(1, 2).reshape(b, -1, h, w)

    return net(Apply(forward, **{name: nn.Linear(WIDTH, WIDTH) for name in ("q", "k", "v", "out")}))


def resampled(mode: str, antialias: bool = False) -> Callable[[], nn.Module]:
    """Half the size and back by ``functional.interpolate``, beside a branch at full size."""

    def forward(self: Any, x: Tensor) -> Tensor:
        aligned = None if mode.startswith("nearest") else False
        small = self.small(functional.max_pool2d(x, 2))
        return functional.interpolate(small, x.shape[2:], mode=mode, align_corners=aligned, antialias=antialias) + self.whole(x)

    return lambda: net(Apply(forward, small=conv(WIDTH, WIDTH), whole=conv(WIDTH, WIDTH)))


PRUNED = {
    made.__name__: made
    for made in (
        *(gate, halves_by_slices, convnext, excite, shuffle_unit, pixels_by_hand, transposed_attention, spatial_attention, dense),
        *(skip_over_concatenation, written_in_place, used_twice, own_kernel, modulated, bottleneck_groups, positions, hourglass),
        *(deconvolutions, multipliers, channel_shuffle, einsum_mixing, fourier, attention_by_hand),
    )
} | {
    "bilinear": resampled("bilinear"),
    "bilinear_antialias": resampled("bilinear", antialias=True),
    "bicubic": resampled("bicubic"),
    "nearest": resampled("nearest"),
    "nearest_exact": resampled("nearest-exact"),
}


# What cannot be pruned, at least one group of each, and words of the reason.


def constant_scale() -> nn.Module:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.linspace(0.5, 1, WIDTH)[:, None, None]

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale

    return net(Constant(), conv(WIDTH, WIDTH), nn.ReLU())


def literal_view() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        return self.linear(x.view(1, WIDTH, 256).transpose(1, 2)).transpose(1, 2).reshape(1, -1, 16, 16)

    return net(Apply(forward, linear=nn.Linear(WIDTH, WIDTH)))


def unequal_split() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        few, rest = self.wide(x).split([4, 12], 1)
        return torch.cat((self.mix(few), rest), 1)

    return net(Apply(forward, wide=conv(WIDTH, WIDTH), mix=conv(4, 4)))


def efficient_attention() -> nn.Module:
    """ECA: a convolution along the channels."""

    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.mix(x.mean((2, 3)).unsqueeze(1))
        return x * y.sigmoid().transpose(1, 2).unsqueeze(-1)

    return net(Apply(forward, mix=nn.Conv1d(1, 1, 3, padding=1)), conv(WIDTH, WIDTH), nn.ReLU())


def sorted_channels() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        return torch.fft.fft(x, dim=1).real

    return net(Apply(forward), conv(WIDTH, WIDTH), nn.ReLU())


def plain_norm() -> nn.Module:
    """Normalisation without weights: no tensor of a checkpoint could say how wide it is."""
    return net(nn.GroupNorm(WIDTH, WIDTH, affine=False), conv(WIDTH, WIDTH), nn.ReLU())


OBSTACLES = {
    "constant_scale": (constant_scale, r"a size that does not follow them \(mul\) in '2'"),
    "literal_view": (literal_view, r"without some of them '2' fails: shape '\[1, 16, 256\]'"),
    "unequal_split": (unequal_split, r"split into 4, 12 in '2'"),
    "efficient_attention": (efficient_attention, r"height or width \(convolution\) in '2.mix'"),
    "sorted_channels": (sorted_channels, r"order or number matters \(_fft_.2c\) in '2'"),
    "window_attention": (window_attention, r"without some of them '2.out' fails: mat1 and mat2"),
    "plain_norm": (plain_norm, r"without some of them '2' fails"),
}
