"""Bicubic enlargement by whole numbers, in slices and sums: Core ML has none, and super-resolution nets add such a picture."""

from collections.abc import Sequence
from math import floor

import torch
from torch import Tensor

A = -0.75  # PyTorch's coefficient of Keys' kernel


def whole_factors(
    size: Sequence[int], output_size: Sequence[int] | None, align_corners: bool, scale_factors: Sequence[float] | None
) -> tuple[int, ...] | None:
    """By how much both sides grow, from the arguments of ``aten.upsample_bicubic2d.vec``; None if not by whole numbers."""
    factors = [float(factor) for factor in scale_factors or ()]
    if output_size is not None and all(isinstance(each, int) for each in (*size, *output_size)):
        factors = [wanted / length for wanted, length in zip(output_size, size, strict=True)]
    whole = tuple(int(factor) for factor in factors if factor >= 1 and factor == int(factor))
    # Where corners are aligned, weights change from pixel to pixel.
    return whole if len(whole) == 2 and not align_corners else None


def enlarge_bicubic(x: Tensor, output_size: Sequence[int] | None, align_corners: bool, scale_factors: Sequence[float] | None) -> Tensor:
    """``aten.upsample_bicubic2d.vec`` of (N, C, H, W); NotImplemented where ``whole_factors`` are None."""
    factors = whole_factors(tuple(x.shape[2:]), output_size, align_corners, scale_factors)
    if factors is None:
        return NotImplemented
    for axis, factor in zip((2, 3), factors, strict=True):
        x = _enlarge(x, axis, factor) if factor > 1 else x
    return x.clone() if factors == (1, 1) else x


def _enlarge(x: Tensor, axis: int, factor: int) -> Tensor:
    """Along one axis. Every ``factor``-th of the new values has one set of four weights (Keys 1981), edges are repeated."""
    length = x.shape[axis]
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, length - 1, 1)
    padded = torch.cat((first, first, x, last, last), axis)
    shifted = [padded.narrow(axis, offset, length) for offset in range(5)]
    phases = []
    for phase in range(factor):
        place = (phase + 0.5) / factor - 0.5
        start = floor(place)  # -1 or 0
        parts = [shifted[start + 1 + tap] * weight for tap, weight in enumerate(_weights(place - start))]
        phases.append(parts[0] + parts[1] + parts[2] + parts[3])
    return torch.stack(phases, axis + 1).flatten(axis, axis + 1)


def _weights(t: float) -> tuple[float, float, float, float]:
    """Of the neighbours at -1, 0, 1, 2 for a value at ``t`` in [0, 1)."""

    def near(distance: float) -> float:
        return ((A + 2) * distance - (A + 3)) * distance * distance + 1

    def far(distance: float) -> float:
        return ((A * distance - 5 * A) * distance + 8 * A) * distance - 4 * A

    return far(t + 1), near(t), near(1 - t), far(2 - t)
