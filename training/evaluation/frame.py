"""Whether a network draws a frame along the border, as zero padding makes it do."""

import torch
from torch import Tensor

INSIDE = 8


def border_difference(images: Tensor) -> float:
    """Absolute difference between the mean of each of the four outermost rows and columns and of that 8 pixels further in, mean over all.

    Means of whole rows, channel by channel: strokes that end at the border differ in places, a frame along all of it.

    Args:
        images: (N, C, H, W).
    """
    rows, columns = images.mean(dim=3), images.mean(dim=2)  # (N, C, H), (N, C, W)
    sides = [line[..., edge] - line[..., inside] for line in (rows, columns) for edge, inside in ((0, INSIDE), (-1, -1 - INSIDE))]
    return float(torch.stack(sides).abs().mean())
