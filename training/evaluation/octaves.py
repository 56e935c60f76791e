"""Energy of a picture per octave: a blur lacks the fine ones, missing strokes the middle ones, flat colours the coarse ones."""

import torch
from torch import Tensor
from torch.nn import functional

from ..texture import opponent

# Deviation of the narrower Gaussian, in pixels.
LUMA_PIXELS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
CHROMA_PIXELS = (1.0, 4.0, 16.0)
REACH = 4  # of a Gaussian's taps, in deviations


def smooth(images: Tensor, deviation: float) -> Tensor:
    """Gaussian blur of (N, C, H, W), the picture mirrored at its border."""
    radius = min(max(1, round(REACH * deviation)), min(images.shape[2:]) - 1)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=images.dtype) / deviation).square())
    taps = (taps / taps.sum()).expand(images.shape[1], 1, 1, -1)
    for shape, padding in ((taps, (radius, radius, 0, 0)), (taps.transpose(2, 3), (0, 0, radius, radius))):
        images = functional.conv2d(functional.pad(images, padding, mode="reflect"), shape, groups=images.shape[1])
    return images


def octave(images: Tensor, pixels: float) -> Tensor:
    """Difference of two Gaussians, of deviations ``pixels`` and ``2 * pixels``; (N, C, H, W), both ways.

    A wave of f cycles a pixel passes by exp(-2 (pi f pixels)^2) - exp(-8 (pi f pixels)^2).
    """
    return smooth(images, pixels) - smooth(images, 2 * pixels)


def energies(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squares of the octaves of every picture: luma (N, 6) at ``LUMA_PIXELS``, chroma (N, 3) at ``CHROMA_PIXELS``.

    Args:
        images: (N, 3, H, W) in [-1, 1]. Luma and chroma are JFIF's, of images in [0, 1]; the energies of Cb and Cr are added.
    """
    parts = opponent(images)
    luma = torch.stack([octave(parts[:, :1], pixels).square().mean(dim=(1, 2, 3)) for pixels in LUMA_PIXELS], dim=1)
    chroma = torch.stack([octave(parts[:, 1:], pixels).square().mean(dim=(2, 3)).sum(dim=1) for pixels in CHROMA_PIXELS], dim=1)
    return luma, chroma
