"""Compressed weights."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..kernels import ints, kernel
from .quantization import along


def _unpacked(data: Tensor, bits: int, count: int) -> Tensor:
    """The first ``count`` unsigned numbers of ``bits`` bits in bytes that are filled from the least significant bit on."""
    single = (data.unsqueeze(1) >> torch.arange(8, dtype=torch.uint8)) & 1
    numbers = single.flatten()[: count * bits].reshape(count, bits)
    return (numbers.int() << torch.arange(bits, dtype=torch.int32)).sum(1)


def _spread(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Each value repeated over its block, so that it broadcasts with ``shape``: (blocks along each dimension) -> shape."""
    for axis, (have, want) in enumerate(zip(values.shape, shape, strict=True)):
        if want % have:
            raise ValueError(f"{have} blocks along dimension {axis} of length {want}")
        if have not in (1, want):
            values = values.repeat_interleave(want // have, axis)
    return values


def _filled(nonzero_data: Tensor, mask: Tensor) -> Tensor:
    """The data in order where the mask is set, 0 elsewhere."""
    kept = mask != 0
    if int(kept.sum()) != nonzero_data.numel():
        raise ValueError(f"a mask of {int(kept.sum())} elements with {nonzero_data.numel()} values")
    return torch.zeros(mask.shape, dtype=nonzero_data.dtype).masked_scatter_(kept, nonzero_data)


@kernel("constexpr_affine_dequantize", "iOS16")
def constexpr_affine_dequantize(quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: Tensor) -> Tensor:
    """scale * (quantized_data - zero_point), each a scalar or a vector along ``axis``."""
    return (quantized_data.float() - along(zero_point, quantized_data, axis)).mul_(along(scale, quantized_data, axis))


@kernel("constexpr_cast", "iOS16", "iOS18")
def constexpr_cast(source_val: Tensor, output_dtype: str) -> Tensor:
    """float16 as float32, which the evaluator has made of it already."""
    if output_dtype != "fp32":
        raise ValueError(f"output_dtype '{output_dtype}' is not fp32")
    return source_val


@kernel("constexpr_lut_to_dense", "iOS16")
def constexpr_lut_to_dense_ios16(indices: Tensor, lut: Tensor, shape: Tensor) -> Tensor:
    """Entries of a table of 2^bits, whose numbers are packed in bytes."""
    sizes = ints(shape)
    return lut[_unpacked(indices, lut.numel().bit_length() - 1, math.prod(sizes))].reshape(sizes)


@kernel("constexpr_sparse_to_dense", "iOS16")
def constexpr_sparse_to_dense_ios16(nonzero_data: Tensor, mask: Tensor, shape: Tensor) -> Tensor:
    """The data in order where the packed bits are set, 0 elsewhere."""
    sizes = ints(shape)
    return _filled(nonzero_data, _unpacked(mask, 1, math.prod(sizes)).reshape(sizes))


@kernel("constexpr_blockwise_shift_scale", "iOS18")
def constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """scale * (data - offset) with those of each block; there are data.shape[i] / scale.shape[i] elements to a block."""
    values = data.float()
    if offset is not None:
        values = values - _spread(offset.float(), data.shape)
    return values * _spread(scale, data.shape)


@kernel("constexpr_lut_to_dense", "iOS18")
def constexpr_lut_to_dense(indices: Tensor, lut: Tensor, vector_axis: Tensor | None = None) -> Tensor:
    """Entries of the block's table: (*K), (*blocks, entries, V) -> (*K) with V times the length along ``vector_axis``."""
    blocks = lut.shape[:-2]
    block = _spread(torch.arange(math.prod(blocks)).reshape(blocks), indices.shape)
    dense = lut.flatten(0, -3)[block, indices.long()]
    if lut.shape[-1] == 1:
        return dense.squeeze(-1)
    if vector_axis is None:
        raise ValueError("a table of vectors without vector_axis")
    axis = int(vector_axis) % indices.dim()
    return dense.movedim(-1, axis + 1).flatten(axis, axis + 1)


@kernel("constexpr_sparse_to_dense", "iOS18")
def constexpr_sparse_to_dense(nonzero_data: Tensor, mask: Tensor) -> Tensor:
    """The data in order where the mask is set, 0 elsewhere."""
    return _filled(nonzero_data, mask)


@kernel("constexpr_lut_to_sparse", "iOS18")
def constexpr_lut_to_sparse(
    indices_mask: Tensor, indices_nonzero_data: Tensor, lut: Tensor, vector_axis: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mask, repeated along ``vector_axis`` for vectors, and table entries where it is set, in row-major order."""
    dense = constexpr_lut_to_dense(_filled(indices_nonzero_data, indices_mask), lut, vector_axis)
    mask = indices_mask
    if lut.shape[-1] > 1 and vector_axis is not None:
        mask = mask.repeat_interleave(lut.shape[-1], int(vector_axis))
    return mask, dense[mask != 0]


@kernel("constexpr_sparse_blockwise_shift_scale", "iOS18")
def constexpr_sparse_blockwise_shift_scale(
    data_mask: Tensor, nonzero_data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mask, and the scaled and shifted data where it is set."""
    dense = constexpr_blockwise_shift_scale(_filled(nonzero_data, data_mask), scale, offset)
    return data_mask, dense[data_mask != 0]
