"""What a style is to the losses: statistics of VGG-16 features."""

import torch
from torch import Tensor

STATISTICS = 2 * (64 + 128 + 256 + 512)


def style_statistics(features: list[Tensor]) -> list[Tensor]:
    """Mean and standard deviation of every channel of every map: tensors (N, 2C), float32."""
    statistics: list[Tensor] = []
    for feature in features:
        x = feature.float()
        deviation, mean = torch.std_mean(x, dim=(2, 3), correction=0)
        statistics.append(torch.cat((mean, deviation), dim=1))
    return statistics
