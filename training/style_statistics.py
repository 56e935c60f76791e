"""What a style is to the losses: statistics of VGG-16 features."""

import torch
from torch import Tensor
from torch.nn import functional

from ..metrics.perceptual import PerceptualNetwork
from .sizes import CONTENT_SIZE

STATISTICS = 2 * (64 + 128 + 256 + 512)


@torch.no_grad()
def statistics_of_artworks(perceptual: PerceptualNetwork, images: Tensor) -> Tensor:
    """Of style images (N, 3, H, W) in [-1, 1], at the photos' size, since a texture's statistics depend on it: (N, STATISTICS)."""
    images = functional.interpolate(images, (CONTENT_SIZE, CONTENT_SIZE), mode="bilinear", antialias=True)
    return torch.cat(style_statistics(perceptual(images)), dim=1)


def style_statistics(features: list[Tensor]) -> list[Tensor]:
    """Mean and standard deviation of every channel of every map: tensors (N, 2C), float32."""
    statistics: list[Tensor] = []
    for feature in features:
        x = feature.float()
        deviation, mean = torch.std_mean(x, dim=(2, 3), correction=0)
        statistics.append(torch.cat((mean, deviation), dim=1))
    return statistics
