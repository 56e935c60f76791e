"""Shapes, slices, order and layout."""

import math

import torch
from torch import Tensor

from ..kernels import ints, kernel
from .elementwise import dtype_of


@kernel("reshape", "iOS15")
def reshape(x: Tensor, shape: Tensor) -> Tensor:
    """-1 stands for the rest, 0 for the length of x at the same place, which asks for the same rank."""
    sizes = ints(shape)
    if 0 in sizes and len(sizes) != x.dim():
        raise ValueError(f"reshape of rank {x.dim()} to {sizes}: a 0 needs the same rank before iOS17")
    return x.reshape([size or x.shape[place] for place, size in enumerate(sizes)])


@kernel("reshape", "iOS17")
def reshape_ios17(x: Tensor, shape: Tensor) -> Tensor:
    """-1 stands for the rest, 0 for the length of x at the same place from the right, or 1 beyond its rank."""
    sizes = ints(shape)
    lengths = [1] * max(0, len(sizes) - x.dim()) + list(x.shape)
    lengths = lengths[len(lengths) - len(sizes) :]
    return x.reshape([size or length for size, length in zip(sizes, lengths, strict=True)])


@kernel("reshape_like", "iOS16", "iOS17")
def reshape_like(
    x: Tensor, ref_tensors: tuple[Tensor, ...], begins: tuple[Tensor, ...], ends: tuple[Tensor, ...], end_masks: tuple[Tensor, ...]
) -> Tensor:
    """To the concatenated pieces ``begin:end`` of the references' shapes; a mask takes all from ``begin`` on."""
    sizes: list[int] = []
    for reference, begin, end, masked in zip(ref_tensors, begins, ends, end_masks, strict=True):
        sizes += reference.shape[int(begin) : None if masked else int(end)]
    return x.reshape(sizes)


@kernel("transpose", "iOS15", "iOS17")
def transpose(x: Tensor, perm: Tensor) -> Tensor:
    """Dimension i of the result is dimension perm[i] of x."""
    return x.permute(ints(perm))


@kernel("squeeze", "iOS15", "iOS17")
def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Without those dimensions of length 1 (all such ones if absent); named dimensions of another length stay."""
    return x.squeeze() if axes is None else x.squeeze(ints(axes))


@kernel("expand_dims", "iOS15", "iOS17")
def expand_dims(x: Tensor, axes: Tensor) -> Tensor:
    """With dimensions of length 1 at those places of the result."""
    given = ints(axes)
    for axis in sorted(axis % (x.dim() + len(given)) for axis in given):
        x = x.unsqueeze(axis)
    return x


@kernel("concat", "iOS15")
def concat(values: tuple[Tensor, ...], axis: Tensor, interleave: Tensor) -> Tensor:
    """One after the other, or in turns element by element; scalars become a vector."""
    place = int(axis)
    if values[0].dim() == 0:
        return torch.stack(values)
    if not bool(interleave):
        return torch.cat(values, place)
    place %= values[0].dim()
    return torch.stack(values, place + 1).flatten(place, place + 1)


@kernel("split", "iOS15")
def split(x: Tensor, axis: Tensor, num_splits: Tensor | None = None, split_sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    """In pieces of ``split_sizes``, or in ``num_splits`` equal ones."""
    if split_sizes is not None:
        return x.split(ints(split_sizes), int(axis))
    if num_splits is None:
        raise ValueError("split needs num_splits or split_sizes")
    length, pieces = x.shape[int(axis)], int(num_splits)
    if length % pieces:
        raise ValueError(f"split of length {length} in {pieces} equal pieces")
    return x.split(length // pieces, int(axis))


@kernel("stack", "iOS15")
def stack(values: tuple[Tensor, ...], axis: Tensor) -> Tensor:
    """Along a new dimension."""
    return torch.stack(values, int(axis))


@kernel("tile", "iOS15")
def tile(x: Tensor, reps: Tensor) -> Tensor:
    """Repeated reps[i] times along dimension i."""
    return x.repeat(ints(reps))


@kernel("flatten2d", "iOS15")
def flatten2d(x: Tensor, axis: Tensor) -> Tensor:
    """(product of the lengths before ``axis``, product of the others)."""
    return x.reshape(math.prod(x.shape[: int(axis)]), math.prod(x.shape[int(axis) :]))


@kernel("identity", "iOS15")
def identity(x: Tensor) -> Tensor:
    """x as it is."""
    return x


@kernel("shape", "iOS15")
def shape_of(x: Tensor) -> Tensor:
    """The lengths as int32."""
    return torch.tensor(x.shape, dtype=torch.int32)


@kernel("reverse", "iOS15", "iOS17")
def reverse(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Backwards along those dimensions, all if absent."""
    return x.flip(list(range(x.dim())) if axes is None else ints(axes))


@kernel("fill", "iOS15")
def fill(shape: Tensor, value: Tensor) -> Tensor:
    """That value in that shape, in the value's type."""
    return value.expand(ints(shape)).clone()


@kernel("fill_like", "iOS16")
def fill_like(ref_tensor: Tensor, value: Tensor) -> Tensor:
    """That value in the shape of ``ref_tensor``, in the value's type."""
    return value.expand(ref_tensor.shape).clone()


@kernel("range_1d", "iOS15")
def range_1d(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """start, start + step, ... before ``end``: ceil((end - start) / step) values."""
    if start.is_floating_point():
        quotient = (end.item() - start.item()) / step.item()
        if 0 < quotient - round(quotient) < quotient * 2**-10:
            # float16 and float32 arithmetic can make the whole number of it, float64 makes one element more.
            raise ValueError(f"range_1d of ({end.item()} - {start.item()}) / {step.item()} elements: rounding decides how many they are")
        count = max(0, math.ceil(quotient))
        return (start.double() + step.double() * torch.arange(count, dtype=torch.float64)).float()
    return torch.arange(int(start), int(end), int(step), dtype=start.dtype)


@kernel("one_hot", "iOS15")
def one_hot(indices: Tensor, one_hot_vector_size: Tensor, axis: Tensor, on_value: Tensor, off_value: Tensor) -> Tensor:
    """``on_value`` at the index along the new dimension ``axis``, ``off_value`` elsewhere."""
    size = int(one_hot_vector_size)
    if bool(((indices < 0) | (indices >= size)).any()):
        raise ValueError(f"one_hot of an index outside 0 to {size - 1}: the result is not documented")
    places = indices.unsqueeze(int(axis))
    shape = [1] * places.dim()
    shape[int(axis)] = size
    return torch.where(places == torch.arange(size).reshape(shape), on_value, off_value)


@kernel("cumsum", "iOS15")
def cumsum(x: Tensor, axis: Tensor, exclusive: Tensor, reverse: Tensor) -> Tensor:
    """Sum of the elements up to each, without it if ``exclusive``; of those from each on if ``reverse``."""
    place = int(axis)
    if bool(reverse):
        x = x.flip(place)
    sums = x.cumsum(place, dtype=x.dtype)
    if bool(exclusive):
        sums = sums.roll(1, place)
        sums.select(place, 0).zero_()
    return sums.flip(place) if bool(reverse) else sums


def _ordered(x: Tensor, axis: Tensor, ascending: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted values and their positions; equal values keep their order, which MIL leaves open."""
    return torch.sort(x, dim=int(axis), descending=not bool(ascending), stable=True)


@kernel("topk", "iOS15", "iOS16", "iOS17")
def topk(
    x: Tensor,
    k: Tensor,
    axis: Tensor,
    ascending: Tensor,
    sort: Tensor | None = None,
    return_indices: Tensor | None = None,
    output_indices_dtype: str = "int32",
) -> Tensor | tuple[Tensor, Tensor]:
    """The k largest (smallest if ``ascending``) values, sorted even where ``sort`` leaves the order open, and their positions."""
    values, positions = _ordered(x, axis, ascending)
    count = x.shape[int(axis)] if int(k) == -1 else int(k)
    values = values.narrow(int(axis), 0, count)
    if return_indices is not None and not bool(return_indices):
        return values
    return values, positions.narrow(int(axis), 0, count).to(dtype_of(output_indices_dtype))


@kernel("argsort", "iOS15")
def argsort(x: Tensor, axis: Tensor, ascending: Tensor) -> Tensor:
    """Positions of the values in falling order, rising if ``ascending``."""
    return _ordered(x, axis, ascending)[1].to(torch.int32)


@kernel("band_part", "iOS15")
def band_part(x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """0 outside ``lower`` diagonals below and ``upper`` above the main one of the last two dimensions; negative keeps all."""
    rows, columns = torch.arange(x.shape[-2]).unsqueeze(1), torch.arange(x.shape[-1])
    kept = ((lower < 0) | (rows - columns <= lower)) & ((upper < 0) | (columns - rows <= upper))
    return x.masked_fill(~kept, 0)


@kernel("non_zero", "iOS15")
def non_zero(x: Tensor) -> Tensor:
    """(number of elements that are not 0, rank): their indices."""
    return x.nonzero().to(torch.int32)
