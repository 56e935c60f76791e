"""Convolution and transposed convolution."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..kernels import ints, kernel

_CONVOLUTIONS = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}
_TRANSPOSED = {3: functional.conv_transpose1d, 4: functional.conv_transpose2d, 5: functional.conv_transpose3d}


def pad_amounts(
    pad_type: str, pad: Sequence[int], sizes: Sequence[int], kernels: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]]:
    """Zeros before and after each spatial dimension.

    ``same`` puts the odd one after, ``same_lower`` before; both make the output ``ceil(size / stride)`` long. (The amounts that the
    documentation of ``conv`` gives for ``same`` disregard the stride and contradict that of ``same_lower``; its type inference, and
    the TensorFlow operators that coremltools translates to ``same``, have these.)
    """
    if pad_type == "valid":
        return [(0, 0)] * len(sizes)
    if pad_type == "custom":
        return list(zip(pad[::2], pad[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"pad_type '{pad_type}' is none of valid, custom, same, same_lower")
    amounts = []
    for size, length, stride, dilation in zip(sizes, kernels, strides, dilations, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + (length - 1) * dilation + 1 - size)
        less, more = total // 2, total - total // 2
        amounts.append((less, more) if pad_type == "same" else (more, less))
    return amounts


class _Geometry(NamedTuple):
    """By spatial dimension; ``pad`` has a begin and an end for each."""

    stride: list[int]
    pad_type: str
    pad: list[int]
    dilation: list[int]


def _geometry(
    spatial: int, *, strides: Tensor | None = None, pad_type: str = "valid", pad: Tensor | None = None, dilations: Tensor | None = None
) -> _Geometry:
    """From the inputs that both convolutions have."""
    return _Geometry(_entries(strides, 1, spatial), pad_type, _entries(pad, 0, 2 * spatial), _entries(dilations, 1, spatial))


def _entries(value: Tensor | None, default: int, count: int) -> list[int]:
    return [default] * count if value is None else ints(value)


@kernel("conv", "iOS15", "iOS17", preamble=_geometry)
def conv(x: Tensor, weight: Tensor, groups: int | Tensor = 1, bias: Tensor | None = None, **geometry: Any) -> Tensor:
    """(N, C, *spatial), (O, C / groups, *kernel) -> (N, O, *spatial)."""
    spatial = x.dim() - 2
    stride, pad_type, pad, dilation = _geometry(spatial, **geometry)
    amounts = pad_amounts(pad_type, pad, x.shape[2:], weight.shape[2:], stride, dilation)
    padding = [before for before, _ in amounts]
    if any(before != after for before, after in amounts):
        x = functional.pad(x, [amount for pair in reversed(amounts) for amount in pair])
        padding = [0] * spatial
    return _CONVOLUTIONS[x.dim()](x, weight, bias, stride, padding, dilation, int(groups))


@kernel("conv_transpose", "iOS15", "iOS17", preamble=_geometry)
def conv_transpose(
    x: Tensor, weight: Tensor, groups: int | Tensor = 1, bias: Tensor | None = None, output_shape: Tensor | None = None, **geometry: Any
) -> Tensor:
    """(N, C, *spatial), (C, O / groups, *kernel) -> (N, O, *spatial).

    It is the gradient of the convolution that takes the output's sizes to those of ``x``, and so are its paddings: of the whole
    result, ``(size - 1) * stride + (kernel - 1) * dilation + 1`` long, the elements that fall on that convolution's padding go.
    ``output_shape`` chooses among the sizes that the convolution takes to those of ``x``; without it they are
    ``size * stride`` for ``same``, otherwise the smallest.
    """
    spatial = x.dim() - 2
    stride, pad_type, pad, dilation = _geometry(spatial, **geometry)
    if pad_type == "same_lower":
        raise ValueError("pad_type 'same_lower' is not defined for conv_transpose")
    full = _TRANSPOSED[x.dim()](x, weight, bias, stride, 0, 0, int(groups), dilation)
    if output_shape is not None:
        sizes = ints(output_shape)[2:]
    elif pad_type == "same":
        sizes = [length * step for length, step in zip(x.shape[2:], stride, strict=True)]
    else:
        removed = pad_amounts(pad_type, pad, full.shape[2:], (), (), ())
        sizes = [have - before - after for have, (before, after) in zip(full.shape[2:], removed, strict=True)]
    amounts = pad_amounts(pad_type, pad, sizes, weight.shape[2:], stride, dilation)
    for axis, (size, (before, after)) in enumerate(zip(sizes, amounts, strict=True), start=2):
        step, reach = stride[axis - 2], (weight.shape[axis] - 1) * dilation[axis - 2] + 1
        if (size + before + after - reach) // step + 1 != x.shape[axis]:
            raise ValueError(f"output_shape: no convolution of these parameters takes {size} to {x.shape[axis]}")
        available = min(size, full.shape[axis] - before)
        full = full.narrow(axis, before, available)
        if available < size:
            # Output positions that no input reaches hold the bias alone.
            shape = [*full.shape[:axis], size - available, *full.shape[axis + 1 :]]
            rest = full.new_zeros(shape) if bias is None else bias.reshape(1, -1, *[1] * spatial).expand(shape)
            full = torch.cat([full, rest], dim=axis)
    return full
