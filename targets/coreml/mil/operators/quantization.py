"""Quantisation of activations to 8 bits, and back."""

import torch
from torch import Tensor

from ..kernels import kernel

_RANGES = {"int8": (torch.int8, -128, 127), "uint8": (torch.uint8, 0, 255)}


def along(values: Tensor, x: Tensor, axis: Tensor | None) -> Tensor:
    """A scalar as float, or a vector as float in the shape that broadcasts along ``axis`` of x."""
    if values.dim() == 0:
        return values.float()
    if axis is None:
        raise ValueError("a vector of scales or zero points without an axis")
    shape = [1] * x.dim()
    shape[int(axis)] = -1
    return values.float().reshape(shape)


@kernel("quantize", "iOS17")
def quantize(input: Tensor, scale: Tensor, output_dtype: str, zero_point: Tensor | None = None, axis: Tensor | None = None) -> Tensor:
    """clip(round(input / scale) + zero_point), ties to the even neighbour.

    That is before the zero point is added, as in coremltools' own inference of values. The quotient is taken in float32.
    """
    if output_dtype not in _RANGES:
        raise ValueError(f"output_dtype '{output_dtype}' is none of {', '.join(_RANGES)}")
    dtype, low, high = _RANGES[output_dtype]
    result = torch.div(input, along(scale, input, axis))
    if result.numel() and bool(result.amax().isnan()):
        raise ValueError("quantize of NaN: which integer it becomes is not documented")
    result.round_()
    if zero_point is not None:
        result.add_(along(zero_point, input, axis))
    return result.clamp_(low, high).to(dtype)


@kernel("dequantize", "iOS17")
def dequantize(input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: Tensor | None = None) -> Tensor:
    """scale * (input - zero_point)."""
    result = input.float()
    if zero_point is not None:
        result.sub_(along(zero_point, input, axis))
    return result.mul_(along(scale, input, axis))
