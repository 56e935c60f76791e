"""Temporal stability, a first step to video: does a moving picture flicker?"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

FRAMES = 16
STEP = (2, 3)  # pixels a frame, down and to the right: prime to each other and to the strides of the network
NOISE = 2 / 127.5  # deviation of a sensor's noise, of images in [-1, 1]: two levels of 255


def pan(photo: Tensor, size: int, seed: int = 0) -> list[Tensor]:
    """Frames (1, 3, size, size) of a window that moves over a photo (1, 3, H, W) by ``STEP``, each with noise of its own."""
    generator = torch.Generator().manual_seed(seed)
    frames = []
    for index in range(FRAMES):
        top, left = (step * index for step in STEP)
        frame = photo[:, :, top : top + size, left : left + size]
        frames.append((frame + NOISE * torch.randn(frame.shape, generator=generator)).clamp(-1, 1))
    return frames


def warped_difference(frames: Sequence[Tensor]) -> float:
    """Mean absolute difference between neighbouring frames where they show the same, the later one moved back by ``STEP``."""
    down, right = STEP
    differences = [(before[:, :, down:, right:] - after[:, :, :-down, :-right]).abs().mean() for before, after in pairwise(frames)]
    return float(torch.stack(differences).mean())


def flicker(photo: Tensor, paint: Callable[[Tensor], Tensor]) -> float:
    """Warped difference of the painted frames of a pan over that of the frames themselves: 1 if no more is added than the noise.

    Args:
        photo: (1, 3, H, W) in [-1, 1].
        paint: (1, 3, size, size) -> the same.
    """
    margin = max(STEP) * (FRAMES - 1)
    size = (min(photo.shape[2:]) - margin) // 8 * 8
    frames = pan(photo, size)
    return warped_difference([paint(frame) for frame in frames]) / warped_difference(frames)
