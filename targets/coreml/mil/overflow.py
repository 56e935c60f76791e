"""What float16 makes infinite of an operation's results."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def largest_lost(exact: Sequence[Tensor], rounded: Sequence[Tensor], halves: Sequence[bool]) -> float:
    """The largest finite magnitude that is infinite once it is rounded, of the first result that has one; 0 if none has.

    Args:
        exact, rounded: results of an operation before and after rounding.
        halves: for each of them, whether it was rounded to float16.
    """
    for before, after, half in zip(exact, rounded, halves, strict=True):
        if half and after.is_floating_point() and not _is_finite(after):
            lost = before[torch.isinf(after) & torch.isfinite(before)]
            if lost.numel():
                return float(lost.abs().max())
    return 0.0


def _is_finite(value: Tensor) -> bool:
    """By the extremes alone: a tensor of answers would cost a third of an evaluation."""
    return value.numel() == 0 or all(math.isfinite(bound.item()) for bound in torch.aminmax(value))
