"""Structural similarity as a loss: what ``metrics/ssim.py`` measures, with a gradient."""

import torch
from torch import Tensor
from torch.nn import functional

from .ssim import K1, K2, RADIUS, TAPS

_KERNEL = torch.tensor([*TAPS[:0:-1], *TAPS], dtype=torch.float32)


def structural_similarity(image: Tensor, wanted: Tensor, minimum: float, maximum: float) -> Tensor:
    """Mean SSIM (Wang et al. 2004) of images (N, C, H, W) of at least 11x11 pixels, in [-1, 1]; float32 arithmetic."""
    c1, c2 = (K1 * (maximum - minimum)) ** 2, (K2 * (maximum - minimum)) ** 2
    x, y = image.float() - minimum, wanted.float() - minimum
    mean_x, mean_y, square_x, square_y, product = _blur(torch.cat((x, y, x * x, y * y, x * y), dim=1)).chunk(5, dim=1)
    covariance, variances = product - mean_x * mean_y, square_x + square_y - mean_x.square() - mean_y.square()
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (numerator / ((mean_x.square() + mean_y.square() + c1) * (variances + c2))).mean()


def _blur(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H - 10, W - 10)."""
    channels = maps.shape[1]
    kernel = _KERNEL.to(maps.device).expand(channels, 1, 2 * RADIUS + 1)
    rows = functional.conv2d(maps, kernel[..., None], groups=channels)
    return functional.conv2d(rows, kernel[:, :, None], groups=channels)
