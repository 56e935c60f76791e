"""Distances in VGG space: to the teacher's picture, to an artwork's statistics, and how the latter should fall as alpha rises."""

from torch import Tensor
from torch.nn import functional

FALL = 0.05


def relative_distance(features: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Sum over layers of the squared difference, each as a share of the target's own mean square (so that layers weigh the same)."""
    total = features[0].new_zeros((), dtype=features[0].float().dtype)
    for feature, target in zip(features, targets, strict=True):
        target = target.detach().float()
        total = total + functional.mse_loss(feature.float(), target) / (target.square().mean() + 1e-3)
    return total


def relative_distances(features: list[Tensor], targets: list[Tensor]) -> Tensor:
    """As ``relative_distance`` of every image by itself: layers (N, ...) and (N or 1, ...) -> (N,)."""
    total = features[0].new_zeros(len(features[0]), dtype=features[0].float().dtype)
    for feature, target in zip(features, targets, strict=True):
        target = target.detach().float()
        scale = target.square().flatten(1).mean(dim=1) + 1e-3
        total = total + (feature.float() - target).square().flatten(1).mean(dim=1) / scale
    return total


def rise(distances: Tensor) -> Tensor:
    """How far style distances are from falling with alpha: 0 if every step falls by ``FALL`` of the first distance at least.

    Args:
        distances: (N, A), of one photo at A rising alphas in each row.
    """
    first = distances[:, :1].detach()
    return functional.relu(distances.diff(dim=1) / first + FALL).mean()
