"""Operators that only move elements: between channels or batch and space, and sliding windows."""

from torch import Tensor
from torch.nn import functional

from ..kernels import ints, kernel


@kernel("pixel_shuffle", "iOS15")
def pixel_shuffle(x: Tensor, upscale_factor: Tensor) -> Tensor:
    """(N, C * f * f, H, W) -> (N, C, H * f, W * f); the block's elements vary fastest in the channels."""
    return functional.pixel_shuffle(x, int(upscale_factor))


@kernel("pixel_unshuffle", "iOS16")
def pixel_unshuffle(x: Tensor, downscale_factor: Tensor) -> Tensor:
    """(N, C, H * f, W * f) -> (N, C * f * f, H, W): pixel_shuffle undone."""
    return functional.pixel_unshuffle(x, int(downscale_factor))


@kernel("depth_to_space", "iOS15")
def depth_to_space(x: Tensor, block_size: Tensor) -> Tensor:
    """(N, b * b * C, H, W) -> (N, C, H * b, W * b).

    MIL does not say which of the channels' factors varies fastest. It is C, unlike in pixel_shuffle: coremltools translates
    TensorFlow's operator to this one, and batch_to_space, whose order is known, to its counterpart in neural networks.
    """
    block = int(block_size)
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, block, block, channels // block**2, height, width)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // block**2, height * block, width * block)


@kernel("space_to_depth", "iOS15")
def space_to_depth(x: Tensor, block_size: Tensor) -> Tensor:
    """(N, C, H * b, W * b) -> (N, b * b * C, H, W): depth_to_space undone."""
    block = int(block_size)
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels, height // block, block, width // block, block)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(batch, channels * block**2, height // block, width // block)


@kernel("space_to_batch", "iOS15")
def space_to_batch(x: Tensor, block_shape: Tensor, paddings: Tensor) -> Tensor:
    """(N, C, H, W) -> (b0 * b1 * N, C, H' / b0, W' / b1), where H' and W' include ``paddings``, which are zeros."""
    rows, columns = ints(block_shape)
    (top, bottom), (left, right) = paddings.tolist()
    x = functional.pad(x, [left, right, top, bottom])
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels, height // rows, rows, width // columns, columns)
    return parts.permute(3, 5, 0, 1, 2, 4).reshape(rows * columns * batch, channels, height // rows, width // columns)


@kernel("batch_to_space", "iOS15")
def batch_to_space(x: Tensor, block_shape: Tensor, crops: Tensor) -> Tensor:
    """(b0 * b1 * N, C, H, W) -> (N, C, H * b0, W * b1) less ``crops``: space_to_batch undone."""
    rows, columns = ints(block_shape)
    (top, bottom), (left, right) = crops.tolist()
    batch, channels, height, width = x.shape
    parts = x.reshape(rows, columns, batch // (rows * columns), channels, height, width)
    whole = parts.permute(2, 3, 4, 0, 5, 1).reshape(batch // (rows * columns), channels, height * rows, width * columns)
    return whole[:, :, top : height * rows - bottom, left : width * columns - right]


@kernel("sliding_windows", "iOS15", "iOS17")
def sliding_windows(x: Tensor, axis: Tensor, size: Tensor, stride: int | Tensor = 1) -> Tensor:
    """(*before, L, *after) -> (*before, (L - size) // stride + 1, size, *after)."""
    dimension = int(axis) % x.dim()
    return x.unfold(dimension, int(size), int(stride)).movedim(-1, dimension + 1)
