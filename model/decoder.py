"""Decoder: AdaIN at 1/8 and 1/4 of the resolution, upsampling, skips from the content encoder.

All convolutions run at 1/8, 1/4 and 1/2 of the resolution, where an int8 kernel is compute-bound. At full
resolution, where every pass is bound by memory, nothing is left but a pixel shuffle (Shi et al., CVPR 2016,
arXiv:1609.05158) and the tanh: ``docs/decisions.md`` has the measurements.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .adain import AdaIN
from .content_encoder import ContentFeatures

SHUFFLE = 2


class DecoderWidths(NamedTuple):
    """Channels at each resolution of the decoder."""

    eighth: int
    quarter: int
    half: int


def _double(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)


class StyledResidual(nn.Module):
    """conv, AdaIN, ReLU, conv, added to the input, ReLU: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.adain = AdaIN(channels, style_dim)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, features: Tensor, code: Tensor, alpha: Tensor) -> Tensor:
        out = self.relu(self.adain(self.conv1(features), code, alpha))
        return self.relu(self.conv2(out) + features)


class Decoder(nn.Module):
    """Content features and a style code to an image.

    Args:
        content: channels of the content features at 1/2, 1/4 and 1/8.
        widths: channels of the decoder.
        style_dim: length of the style code.
    """

    def __init__(self, content: tuple[int, int, int], widths: DecoderWidths, style_dim: int) -> None:
        super().__init__()
        half, quarter, eighth = content
        self.bottleneck = nn.Conv2d(eighth, widths.eighth, 1)
        self.adain_eighth = AdaIN(widths.eighth, style_dim)
        self.residual = StyledResidual(widths.eighth, style_dim)
        self.to_quarter = nn.Conv2d(widths.eighth, widths.quarter, 1)
        self.skip_quarter = nn.Conv2d(quarter, widths.quarter, 1)
        self.adain_quarter = AdaIN(widths.quarter, style_dim)
        self.fuse_quarter = nn.Conv2d(widths.quarter, widths.quarter, 3, padding=1)
        self.to_half = nn.Conv2d(widths.quarter, widths.half, 1)
        self.skip_half = nn.Conv2d(half, widths.half, 1)
        self.fuse_half = nn.Conv2d(widths.half, widths.half, 3, padding=1)
        self.to_rgb = nn.Conv2d(widths.half, 3 * SHUFFLE**2, 3, padding=1)
        self.relu = nn.ReLU()
        with torch.no_grad():
            # The same filter for the four pixels of a block (Aitken et al. 2017, arXiv:1707.02937): no checkerboard at the start.
            for parameter in self.to_rgb.parameters():
                parameter.copy_(parameter[:: SHUFFLE**2].repeat_interleave(SHUFFLE**2, dim=0))

    def forward(self, content: ContentFeatures, code: Tensor, alpha: Tensor) -> Tensor:
        """Features of a (N, 3, H, W) photo, (N, style_dim), (N, 1) -> (N, 3, H, W) in [-1, 1]."""
        x = self.relu(self.adain_eighth(self.bottleneck(content.eighth), code, alpha))
        x = self.residual(x, code, alpha)
        # 1x1 convolutions before the upsampling: the same result as after it, for a quarter of the work.
        x = _double(self.to_quarter(x)) + self.skip_quarter(content.quarter)
        x = self.relu(self.adain_quarter(x, code, alpha))
        x = self.relu(self.fuse_quarter(x))
        x = self.relu(_double(self.to_half(x)) + self.skip_half(content.half))
        x = self.relu(self.fuse_half(x))
        return torch.tanh(functional.pixel_shuffle(self.to_rgb(x), SHUFFLE))
