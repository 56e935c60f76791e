"""Decoder: AdaIN at 1/8 and 1/4 of the resolution, upsampling, skips from the content encoder.

All convolutions run at 1/8, 1/4 and 1/2 of the resolution, where an int8 kernel is compute-bound. At full
resolution, where every pass is bound by memory, nothing is left but a pixel shuffle (Shi et al., CVPR 2016,
arXiv:1609.05158) and the tanh: ``docs/decisions.md`` has the measurements.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .adain import EPSILON, AdaIN, GatedAdaIN, PhotoGate
from .content_encoder import ContentFeatures, Padding

SHUFFLE = 2


class DecoderWidths(NamedTuple):
    """Channels at each resolution of the decoder."""

    eighth: int
    quarter: int
    half: int


class DecoderDepths(NamedTuple):
    """What the decoder is made of besides.

    Attributes:
        eighth, quarter: styled residual blocks at each resolution.
        mapping: width of the hidden layer that bends the style code before it is used; 0 for none.
        gated: the picture is what the decoder paints, which ``alpha`` opens, added to the photo, and is clipped. Otherwise the decoder
            paints all of the picture, photo included, and ends in a tanh.
        epsilon: of every AdaIN.
    """

    eighth: int = 1
    quarter: int = 0
    mapping: int = 0
    gated: bool = False
    epsilon: float = EPSILON


def _double(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)


class StyledResidual(nn.Module):
    """conv, AdaIN, ReLU, conv, added to the input, ReLU: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, style_dim: int, padding_mode: Padding, epsilon: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode)
        self.adain = AdaIN(channels, style_dim, epsilon)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode)
        self.relu = nn.ReLU()

    def forward(self, features: Tensor, code: Tensor, alpha: Tensor) -> Tensor:
        out = self.relu(self.adain(self.conv1(features), code, alpha))
        return self.relu(self.conv2(out) + features)


class Mapping(nn.Module):
    """Bends a style code: (N, style_dim) -> (N, style_dim). It starts as the identity."""

    def __init__(self, style_dim: int, hidden: int) -> None:
        super().__init__()
        self.into = nn.Linear(style_dim, hidden)
        self.out = nn.Linear(hidden, style_dim)
        self.relu = nn.ReLU()
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, code: Tensor) -> Tensor:
        return code + self.out(self.relu(self.into(code)))


class Decoder(nn.Module):
    """Content features and a style code to an image.

    Args:
        content: channels of the content features at 1/2, 1/4 and 1/8.
        widths: channels of the decoder.
        style_dim: length of the style code.
        depths: what else it is made of.
        padding_mode: of every convolution, as in ``nn.Conv2d``.
    """

    def __init__(
        self,
        content: tuple[int, int, int],
        widths: DecoderWidths,
        style_dim: int,
        depths: DecoderDepths = DecoderDepths(),  # noqa: B008 - immutable
        padding_mode: Padding = "zeros",
    ) -> None:
        super().__init__()
        half, quarter, eighth = content

        def convolution(in_channels: int, out_channels: int, bias: bool = True) -> nn.Conv2d:
            return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias, padding_mode=padding_mode)

        def blocks(count: int, channels: int) -> nn.ModuleList:
            return nn.ModuleList(StyledResidual(channels, style_dim, padding_mode, depths.epsilon) for _ in range(count))

        self.mapping = Mapping(style_dim, depths.mapping) if depths.mapping else None
        self.bottleneck = nn.Conv2d(eighth, widths.eighth, 1)
        self.adain_eighth = AdaIN(widths.eighth, style_dim, depths.epsilon)
        self.residual = StyledResidual(widths.eighth, style_dim, padding_mode, depths.epsilon)
        self.more_eighth = blocks(depths.eighth - 1, widths.eighth)
        self.to_quarter = nn.Conv2d(widths.eighth, widths.quarter, 1)
        self.skip_quarter = nn.Conv2d(quarter, widths.quarter, 1)
        self.adain_quarter = AdaIN(widths.quarter, style_dim, depths.epsilon)
        self.more_quarter = blocks(depths.quarter, widths.quarter)
        self.fuse_quarter = convolution(widths.quarter, widths.quarter)
        self.to_half = nn.Conv2d(widths.quarter, widths.half, 1)
        self.skip_half = nn.Conv2d(half, widths.half, 1)
        self.fuse_half = convolution(widths.half, widths.half)
        self.gate_half = GatedAdaIN(widths.half, style_dim, depths.epsilon) if depths.gated else None
        # Behind the gate a bias would be left over where alpha is 0.
        self.to_rgb = convolution(widths.half, 3 * SHUFFLE**2, bias=not depths.gated)
        self.gate_photo = PhotoGate(style_dim) if depths.gated else None
        self.relu = nn.ReLU()
        with torch.no_grad():
            # The same filter for the four pixels of a block (Aitken et al. 2017, arXiv:1707.02937): no checkerboard at the start.
            for parameter in self.to_rgb.parameters():
                parameter.copy_(parameter[:: SHUFFLE**2].repeat_interleave(SHUFFLE**2, dim=0))

    def forward(self, content: ContentFeatures, code: Tensor, alpha: Tensor) -> Tensor:
        """Features of a (N, 3, H, W) photo, (N, style_dim), (N, 1) -> (N, 3, H, W) in [-1, 1]."""
        picture = self.paint(content, code, alpha)
        return picture if self.gate_photo is None else picture.clamp(-1, 1)

    def paint(self, content: ContentFeatures, code: Tensor, alpha: Tensor) -> Tensor:
        """As ``forward``, not clipped: a clipped pixel has no gradient to learn from."""
        if self.mapping is not None:
            code = self.mapping(code)
        x = self.relu(self.adain_eighth(self.bottleneck(content.eighth), code, alpha))
        x = self.residual(x, code, alpha)
        for block in self.more_eighth:
            x = block(x, code, alpha)
        # 1x1 convolutions before the upsampling: the same result as after it, for a quarter of the work.
        x = _double(self.to_quarter(x)) + self.skip_quarter(content.quarter)
        x = self.relu(self.adain_quarter(x, code, alpha))
        for block in self.more_quarter:
            x = block(x, code, alpha)
        x = self.relu(self.fuse_quarter(x))
        x = self.relu(_double(self.to_half(x)) + self.skip_half(content.half))
        x = self.fuse_half(x)
        x = self.relu(x if self.gate_half is None else self.gate_half(x, code, alpha))
        x = functional.pixel_shuffle(self.to_rgb(x), SHUFFLE)
        return torch.tanh(x) if self.gate_photo is None else x + self.gate_photo(content.photo, code, alpha)
