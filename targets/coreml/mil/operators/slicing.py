"""MIL operators that cut regions out of tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..kernels import ints, kernel


@dataclass(frozen=True)
class _Region:
    """Part of a tensor: rising slices, then the dimensions to reverse, then those to drop."""

    slices: tuple[slice, ...]
    reversed: tuple[int, ...]
    dropped: tuple[int, ...]


def _region(
    shape: Sequence[int],
    *,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> _Region:
    """Slices as NumPy understands them; a masked begin or end is an absent one, and a squeezed dimension is indexed by its begin.

    The documentation has masked ends at 0 and the length for every stride; shape and value inference take them, for a negative
    stride, as the other way round, which alone makes sense.
    """
    rank, masks = len(shape), (begin_mask, end_mask, squeeze_mask)
    steps = [1] * rank if stride is None else ints(stride)
    no_begin, no_end, single = ([False] * rank if mask is None else [bool(entry) for entry in ints(mask)] for mask in masks)
    slices, back, dropped = [], [], []
    for axis, (length, first, last) in enumerate(zip(shape, ints(begin), ints(end), strict=True)):
        if single[axis]:
            index = 0 if no_begin[axis] else first
            if not -length <= index < length:
                raise ValueError(f"index {index} of dimension {axis}, which has {length} elements")
            slices.append(slice(index % length, index % length + 1))
            dropped.append(axis)
            continue
        if steps[axis] < 0 and not no_end[axis] and last < -length:
            raise ValueError(
                f"slice with end {last} and stride {steps[axis]} of {length} elements: coremltools' inferences disagree about it"
            )
        positions = range(*slice(None if no_begin[axis] else first, None if no_end[axis] else last, steps[axis]).indices(length))
        if positions.step < 0:
            back.append(axis)
            positions = positions[::-1]
        slices.append(slice(positions.start, max(positions.start, positions.stop), positions.step))
    return _Region(tuple(slices), tuple(back), tuple(dropped))


@kernel("slice_by_index", "iOS15", "iOS17", preamble=_region)
def slice_by_index(x: Tensor, **region_of: Any) -> Tensor:
    """x[begin:end:stride, ...]."""
    region = _region(x.shape, **region_of)
    part = x[region.slices].flip(region.reversed) if region.reversed else x[region.slices]
    return part.squeeze(region.dropped)


@kernel("slice_update", "iOS18", preamble=_region)
def slice_update(x: Tensor, update: Tensor, **region_of: Any) -> Tensor:
    """x with ``update`` in the place that ``slice_by_index`` would take out."""
    region = _region(x.shape, **region_of)
    result = x.clone()
    part = result[region.slices]
    part.copy_(update.reshape(part.shape).flip(region.reversed))
    return result


@kernel("slice_by_size", "iOS15", "iOS17")
def slice_by_size(x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    """``size`` elements from ``begin`` on, a negative one counted from the end; -1 elements are all the rest."""
    for axis, (start, count) in enumerate(zip(ints(begin), ints(size), strict=True)):
        if count == 0 or count < -1:
            raise ValueError(f"slice_by_size with size {count}: coremltools' inferences of shape and value disagree about it")
        start = start + x.shape[axis] if start < 0 else start
        x = x.narrow(axis, start, x.shape[axis] - start if count == -1 else count)
    return x
