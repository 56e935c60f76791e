"""Average, maximum and L2 pooling."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..kernels import ints, kernel
from .convolution import pad_amounts

_MAXIMA = {3: functional.max_pool1d, 4: functional.max_pool2d, 5: functional.max_pool3d}
_AVERAGES = {3: functional.avg_pool1d, 4: functional.avg_pool2d, 5: functional.avg_pool3d}


class _Axis(NamedTuple):
    """The windows along one spatial dimension: the first starts at ``-before``, ``number`` of them."""

    size: int
    length: int
    stride: int
    before: int
    after: int
    number: int

    def elements(self, padding: bool) -> Tensor:
        """How many elements of the input, or also of the padding, each window has."""
        start = torch.arange(self.number) * self.stride - self.before
        low, high = (-self.before, self.size + self.after) if padding else (0, self.size)
        found = (start + self.length).clamp(max=high) - start.clamp(min=low)
        if int(found.min()) < 1:
            # ceil_mode without padding makes such windows in MIL, not in PyTorch, of which it claims to be the same.
            raise ValueError(f"a window of {self.length} over {self.size} elements lies outside of them, where its value is undefined")
        return found


def _axes(
    x: Tensor,
    *,
    kernel_sizes: Tensor,
    pad_type: str,
    strides: Tensor | None = None,
    pad: Tensor | None = None,
    ceil_mode: bool | Tensor = False,
) -> list[_Axis]:
    """The windows, from the inputs that all poolings have."""
    sizes, lengths = x.shape[2:], ints(kernel_sizes)
    steps = [1] * len(sizes) if strides is None else ints(strides)
    pad_type = pad_type.lower()  # MIL takes either case here
    if ceil_mode and pad_type.startswith("same"):
        raise ValueError(f"ceil_mode is not defined for pad_type '{pad_type}'")
    given_pad = [0] * 2 * len(sizes) if pad is None else ints(pad)
    amounts = pad_amounts(pad_type, given_pad, sizes, lengths, steps, [1] * len(sizes))
    axes = []
    for size, length, step, (before, after) in zip(sizes, lengths, steps, amounts, strict=True):
        room = size + before + after - length
        count = (-(-room // step) if ceil_mode else room // step) + 1
        if ceil_mode and before + after > 0 and (count - 1) * step >= size + before:
            count -= 1
        axes.append(_Axis(size, length, step, before, after, count))
    return axes


def _padded(x: Tensor, axes: Sequence[_Axis], value: float) -> Tensor:
    """So that every window lies within it."""
    amounts = [(axis.before, max(0, (axis.number - 1) * axis.stride + axis.length - axis.before - axis.size)) for axis in axes]
    flat = [amount for pair in reversed(amounts) for amount in pair]
    return functional.pad(x, flat, value=value) if any(flat) else x


def _average(x: Tensor, axes: Sequence[_Axis]) -> Tensor:
    """With zeros for padding, divided by the window's whole size."""
    return _AVERAGES[x.dim()](_padded(x, axes, 0.0), [axis.length for axis in axes], [axis.stride for axis in axes])


@kernel("avg_pool", "iOS15", preamble=_axes)
def avg_pool(x: Tensor, exclude_padding_from_average: bool | Tensor = False, **windows: Any) -> Tensor:
    """(N, C, *spatial) -> (N, C, *spatial).

    What ``ceil_mode`` lets a window reach beyond the padding never counts, as in PyTorch.
    """
    axes = _axes(x, **windows)
    result = _average(x, axes)
    for dimension, axis in enumerate(axes, start=2):
        elements = axis.elements(padding=not exclude_padding_from_average)
        if bool((elements != axis.length).any()):
            shape = [-1 if other == dimension else 1 for other in range(x.dim())]
            result = result * (axis.length / elements).reshape(shape)
    return result


@kernel("max_pool", "iOS15", preamble=_axes)
def max_pool(x: Tensor, **windows: Any) -> Tensor:
    """(N, C, *spatial) -> (N, C, *spatial); padding is never the maximum."""
    axes = _axes(x, **windows)
    for axis in axes:
        axis.elements(padding=False)
    return _MAXIMA[x.dim()](_padded(x, axes, float("-inf")), [axis.length for axis in axes], [axis.stride for axis in axes])


@kernel("l2_pool", "iOS15", preamble=_axes)
def l2_pool(x: Tensor, **windows: Any) -> Tensor:
    """(N, C, *spatial) -> (N, C, *spatial): the root of each window's sum of squares."""
    axes = _axes(x, **windows)
    for axis in axes:
        axis.elements(padding=True)
    return (_average(x.square(), axes) * prod(axis.length for axis in axes)).sqrt()
