"""Six small networks of different families, as their authors write them; those that paint are in ``network_styles``.

All take RGB in [-1, 1] and return RGB in [-1, 1], (N, 3, H, W); height and width are multiples of 4. Widths are such that a network
trains in minutes on one thread.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def enlarged(features: Tensor, mode: str = "nearest") -> Tensor:
    """Twice as high and wide."""
    return functional.interpolate(features, scale_factor=2.0, mode=mode, align_corners=None if mode == "nearest" else False)


def convolution(in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """With batch norm."""
    padding = kernel // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]


class UNet(nn.Module):
    """Ronneberger et al. 2015 with batch norm, in three scales: denoises."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.down1, self.down2 = self._block(3, width), self._block(width, 2 * width)
        self.bottom = self._block(2 * width, 4 * width)
        self.up2, self.up1 = self._block(6 * width, 2 * width), self._block(3 * width, width)
        self.out = nn.Conv2d(width, 3, 1)

    def _block(self, in_channels: int, out_channels: int) -> nn.Sequential:
        return nn.Sequential(*convolution(in_channels, out_channels), nn.ReLU(), *convolution(out_channels, out_channels), nn.ReLU())

    def forward(self, image: Tensor) -> Tensor:
        full = self.down1(image)
        half = self.down2(functional.max_pool2d(full, 2))
        quarter = self.bottom(functional.max_pool2d(half, 2))
        half = self.up2(torch.cat([enlarged(quarter, "bilinear"), half], dim=1))
        full = self.up1(torch.cat([enlarged(half, "bilinear"), full], dim=1))
        return (image + self.out(full)).clamp(-1, 1)


class SuperResolution(nn.Module):
    """Lim et al. 2017 (EDSR): residual blocks without norms, pixel shuffle, x2."""

    def __init__(self, width: int = 24, blocks: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.last = nn.Conv2d(width, 12, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        features = start = self.first(image)
        for block in self.blocks:
            features = features + 0.2 * block(features)
        detail = functional.pixel_shuffle(self.last(features + start), 2)
        return (enlarged(image, "bilinear") + detail).clamp(-1, 1)


class InvertedResidual(nn.Module):
    """Howard et al. 2019: expansion, depthwise convolution, squeeze and excite, projection; SiLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        wide = 3 * in_channels
        self.expand = nn.Sequential(*convolution(in_channels, wide, 1), nn.SiLU())
        self.depthwise = nn.Sequential(*convolution(wide, wide, 5, stride=stride, groups=wide), nn.SiLU())
        self.squeeze, self.excite = nn.Conv2d(wide, wide // 4, 1), nn.Conv2d(wide // 4, wide, 1)
        self.project = nn.Sequential(*convolution(wide, out_channels, 1))
        self.skips = stride == 1 and in_channels == out_channels

    def forward(self, features: Tensor) -> Tensor:
        inner = self.depthwise(self.expand(features))
        inner = inner * torch.sigmoid(self.excite(functional.silu(self.squeeze(inner.mean((2, 3), keepdim=True)))))
        return features + self.project(inner) if self.skips else self.project(inner)


class MobileNet(nn.Module):
    """A mobile encoder and decoder that brings out local contrast."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*convolution(3, 16, stride=2), nn.SiLU())
        self.fine = InvertedResidual(16, 16)
        self.coarse = nn.Sequential(InvertedResidual(16, 32, 2), InvertedResidual(32, 32), InvertedResidual(32, 32))
        self.back = nn.Sequential(*convolution(32, 16, 1), nn.SiLU())
        self.merged = InvertedResidual(16, 16)
        self.last = nn.Conv2d(16, 12, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.fine(self.stem(image))
        merged = self.merged(fine + enlarged(self.back(self.coarse(fine)), "bilinear"))
        return torch.tanh(functional.pixel_shuffle(self.last(merged), 2) + image)


class LayerNorm2d(nn.Module):
    """Over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain, self.bias = nn.Parameter(torch.ones(1, channels, 1, 1)), nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        centred = features - features.mean(1, keepdim=True)
        return centred / (centred.pow(2).mean(1, keepdim=True) + 1e-6).sqrt() * self.gain + self.bias


class GatedBlock(nn.Module):
    """Chen et al. 2022 (NAFNet): gates that are products of halves of the channels, simplified channel attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = LayerNorm2d(channels), LayerNorm2d(channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.attention, self.project = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.feed, self.back = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(channels, channels, 1)
        self.beta, self.gamma = (nn.Parameter(torch.full((1, channels, 1, 1), 0.1)) for _ in range(2))

    def forward(self, features: Tensor) -> Tensor:
        gate, value = self.depthwise(self.expand(self.norm1(features))).chunk(2, dim=1)
        gated = gate * value
        features = features + self.beta * self.project(gated * self.attention(gated.mean((2, 3), keepdim=True)))
        gate, value = self.feed(self.norm2(features)).chunk(2, dim=1)
        return features + self.gamma * self.back(gate * value)


class GatedNet(nn.Module):
    """Gated blocks at 1/2 and 1/4: removes blur and noise."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first, self.down = nn.Conv2d(3, width, 4, 2, 1), nn.Conv2d(width, 2 * width, 2, 2)
        self.fine, self.coarse = GatedBlock(width), nn.Sequential(*(GatedBlock(2 * width) for _ in range(3)))
        self.up, self.last = nn.Conv2d(2 * width, 4 * width, 1), nn.Sequential(GatedBlock(width), nn.Conv2d(width, 12, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        fine = self.fine(self.first(image))
        merged = fine + functional.pixel_shuffle(self.up(self.coarse(self.down(fine))), 2)
        return (image + functional.pixel_shuffle(self.last(merged), 2)).clamp(-1, 1)


class DepthwiseNet(nn.Module):
    """Separable convolutions (Chollet 2017) of 7x7 with hard swish at half resolution: sharpens what is out of focus."""

    def __init__(self, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 4, 2, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 7, padding=3, groups=width), nn.Conv2d(width, width, 1), nn.Hardswish())
            for _ in range(blocks)
        )
        self.last = nn.Conv2d(width, 12, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        features = functional.leaky_relu(self.first(image), 0.1)
        for block in self.blocks:
            features = features + block(features)
        return (image + functional.pixel_shuffle(self.last(features), 2)).clamp(-1, 1)


class CurveNet(nn.Module):
    """Guo et al. 2020 (Zero-DCE): curves of brightness for each pixel, applied eight times in a row."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        widths = ((3, width), (width, width), (width, width), (width, width), (2 * width, width), (2 * width, width))
        self.layers = nn.ModuleList(nn.Conv2d(*pair, 3, padding=1) for pair in widths)
        self.curves = nn.Conv2d(2 * width, 24, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        first = torch.relu(self.layers[0](image))
        second = torch.relu(self.layers[1](first))
        third = torch.relu(self.layers[2](second))
        features = torch.relu(self.layers[3](third))
        features = torch.relu(self.layers[4](torch.cat([third, features], 1)))
        features = torch.relu(self.layers[5](torch.cat([second, features], 1)))
        light = 0.5 + 0.5 * image
        for curve in torch.tanh(self.curves(torch.cat([first, features], 1))).split(3, dim=1):
            light = light + curve * (light * light - light)
        return 2 * light - 1
