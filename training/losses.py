"""The losses of ``docs``' training recipe: L1 to the teacher, VGG match to the teacher, mean/std style loss, code regression."""

from torch import Tensor
from torch.nn import functional


def relative_distance(features: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Sum over layers of the squared difference, each as a share of the target's own mean square (so that layers weigh the same)."""
    total = features[0].new_zeros((), dtype=features[0].float().dtype)
    for feature, target in zip(features, targets, strict=True):
        target = target.detach().float()
        total = total + functional.mse_loss(feature.float(), target) / (target.square().mean() + 1e-3)
    return total
