"""What becomes of channels in sums, products and convolutions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .books import ChannelTrace
from .rules import Call, broadcast, note, rule
from .units import Ids


@rule(
    "_prelu_kernel",
    "hardswish",
    "copy",
    "masked_fill",
    "_to_copy",
    "lift_fresh",
    "lift_fresh_copy",
    "detach",
    "alias",
    "contiguous",
    "fill",
    "zero",
)
@rule("complex", "_conj")
@rule("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "view_as_complex", "isnan", "isinf")
def pointwise(trace: ChannelTrace, call: Call) -> Any:
    """Entries at one place are combined."""
    tensors = call.tensors
    result = call.run()
    rank = max((value.dim() for value in tensors), default=0)
    return note(trace, call, result, broadcast(trace, tensors, rank, call.name))


@rule("zeros", "ones", "full", "empty", "arange", "linspace", "rand", "randn", "eye", "scalar_tensor")
@rule("new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided", "empty_strided")
def factory(trace: ChannelTrace, call: Call) -> Any:
    """New tensors, whose sizes the code may take from other tensors: whether they follow is for the trial to find out."""
    result = call.run()
    trace.put(result, tuple(trace.units.new(size) if size > 1 else None for size in result.shape), weight=True)
    return result


def silenced(trace: ChannelTrace, value: Tensor, axis: int, fill: float = 0.0) -> Tensor:
    """``value`` with its silent entries set to ``fill``."""
    ids = trace.of(value)[axis]
    kept = trace.kept(ids)
    if kept is None:
        return value
    gone = torch.from_numpy(np.setdiff1d(np.arange(value.shape[axis]), kept))
    return value.index_fill(axis, gone, fill)


def multiply(trace: ChannelTrace, one: Ids | None, other: Ids | None, weights: Sequence[tuple[Ids | None, Ids | None]], what: str) -> None:
    """Joins two axes that are summed over; of each weight, what is read and what is made is noted."""
    trace.meet(one, other, what)
    for read, made in weights:
        if read is not None:
            trace.read.append(read)
        if made is not None:
            trace.made.append(made)


@rule("convolution")
def convolution(trace: ChannelTrace, call: Call) -> Any:
    """Its input's channels are its weight's input axis; it goes on with the output axis."""
    x, weight, bias, groups = (call.args[name] for name in ("input", "weight", "bias", "groups"))
    axes, (rows, columns) = trace.of(x), trace.of(weight)[:2]
    batched = x.dim() - 2 == len(call.args["stride"])
    channel = 1 if batched else 0
    for ids in axes[channel + 1 :]:
        trace.freeze(ids, "they are taken for a picture's height or width (convolution)")
    entering, transposed, count = axes[channel], call.args["transposed"], x.shape[channel]
    made = _grouped(trace, entering, rows=rows, columns=columns, count=count, groups=groups, transposed=transposed) if groups > 1 else None
    if groups == 1:
        reads, made = (rows, columns) if transposed else (columns, rows)
        multiply(trace, entering, reads, [(reads, made)], "convolution")
    if bias is not None:
        trace.meet(made, trace.of(bias)[0], "convolution")
    result = call.run(input=silenced(trace, x, channel))
    return note(trace, call, result, (*axes[:channel], made, *(None,) * len(call.args["stride"])))


def _grouped(
    trace: ChannelTrace, entering: Ids | None, *, rows: Ids | None, columns: Ids | None, count: int, groups: int, transposed: bool
) -> Ids | None:
    """What a grouped convolution makes: every group keeps as many inputs and outputs as the others."""
    if groups == count:
        # Each channel has filters of its own, which go with it.
        if transposed:
            met = trace.meet(entering, rows, "grouped convolution")
            trace.freeze(columns, "one channel has several filters")
            return met if columns is None or met is None else np.repeat(met, len(columns))
        if rows is None or entering is None:
            trace.meet(rows, entering, "grouped convolution")
            return rows
        trace.meet(np.repeat(entering, len(rows) // count), rows, "grouped convolution")
        return rows
    inside = None if entering is None else trace.tie(entering, groups)
    if transposed:
        reads = None if rows is None else trace.tie(rows, groups)
        multiply(trace, inside, reads, [(rows, columns)], "grouped convolution")
        return None if columns is None else np.tile(columns, groups)
    multiply(trace, inside, columns, [(columns, rows)], "grouped convolution")
    if rows is not None:
        trace.tie(rows, groups)
    return rows


@rule("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "addbmm")
def matrix_product(trace: ChannelTrace, call: Call) -> Any:
    """The axes that are summed over go together."""
    names = [name for name in ("self", "mat1", "batch1", "mat", "mat2", "batch2", "vec", "vec2", "tensor") if name in call.args]
    one, other = names[-2:]
    left, right = call.args[one], call.args[other]
    a, b = list(trace.of(left)), list(trace.of(right))
    inner = b[-2] if len(b) > 1 else b[-1]
    outer = b[-1] if len(b) > 1 else None
    weights = [(a[-1], a[-2] if len(a) > 1 else None)] if trace.is_weight(left) else []
    weights += [(inner, outer)] if trace.is_weight(right) else []
    multiply(trace, a[-1], inner, weights, "matrix product")
    batch = (trace.meet(a[0], b[0], "matrix product") if left.shape[0] > 1 else None,) if len(a) == 3 else ()
    axes = (*batch, *((a[-2],) if len(a) > 1 else ()), *((outer,) if len(b) > 1 else ()))
    result = call.run(**{one: silenced(trace, left, -1)})
    if len(names) == 3:
        bias = call.args["self"]
        for back in range(1, min(bias.dim(), len(axes)) + 1):
            if bias.shape[-back] > 1:
                trace.meet(axes[-back], trace.of(bias)[-back], "bias")
    return note(trace, call, result, axes)
