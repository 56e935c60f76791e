"""What becomes of channels in ATen operations that join, cut and pick entries, and in those that work on height and width."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .books import Axes, ChannelTrace
from .rules import Call, note, rule, unknown
from .units import Ids

# Operations that work on height and width alone, with the number of the axes that they change.
SPATIAL = {
    f"{name}{rank}d": rank
    for rank in (1, 2, 3)
    for name in (
        *("reflection_pad", "replication_pad", "avg_pool", "_adaptive_avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "max_pool"),
        *("upsample_nearest", "_upsample_nearest_exact"),
    )
} | {
    "max_pool2d_with_indices": 2,
    "max_pool3d_with_indices": 3,
    "mkldnn_max_pool2d": 2,
    "upsample_linear1d": 1,
    "upsample_bilinear2d": 2,
    "_upsample_bilinear2d_aa": 2,
    "upsample_bicubic2d": 2,
    "_upsample_bicubic2d_aa": 2,
    "upsample_trilinear3d": 3,
    "grid_sampler_2d": 2,
    "grid_sampler_3d": 3,
}


@rule("cat", "concat", "concatenate")
def concatenate(trace: ChannelTrace, call: Call) -> Any:
    """Channels follow each other."""
    result = call.run()
    tensors = [value for value in call.tensors if value.dim() == result.dim()]
    dim = call.args["dim"] % result.dim()
    axes: list[Ids | None] = []
    for axis in range(result.dim()):
        own = [trace.of(value)[axis] for value in tensors]
        if axis == dim:
            axes.append(_chained(trace, [value.shape[axis] for value in tensors], own))
            continue
        found = own[0]
        for other in own[1:] if result.shape[axis] > 1 else ():
            found = trace.meet(found, other, "concatenation")
        axes.append(found)
    return note(trace, call, result, tuple(axes))


def _chained(trace: ChannelTrace, sizes: Sequence[int], parts: Sequence[Ids | None]) -> Ids | None:
    if all(ids is None for ids in parts):
        return None
    chained = []
    for size, ids in zip(sizes, parts, strict=True):
        if ids is None:
            ids = trace.units.new(size)
            trace.freeze(ids, "they stand beside channels in a concatenation")
        chained.append(ids)
    return np.concatenate(chained)


@rule("stack")
def stack(trace: ChannelTrace, call: Call) -> Any:
    """A new axis of fixed size."""
    result = call.run()
    axes = list(trace.of(call.tensors[0]))
    for value in call.tensors[1:]:
        for axis, ids in enumerate(trace.of(value)):
            axes[axis] = trace.meet(axes[axis], ids, "stack")
    axes.insert(call.args["dim"] % result.dim(), None)
    return note(trace, call, result, tuple(axes))


@rule("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk", "unsafe_chunk")
def split(trace: ChannelTrace, call: Call) -> Any:
    """Equal parts are as long as each other after pruning, too."""
    x, parts = call.args["self"], call.run()
    dim = call.args.get("dim", 0) % x.dim()
    ids = trace.of(x)[dim]
    sizes = [part.shape[dim] for part in parts]
    if ids is not None and len(set(sizes)) > 1:
        trace.freeze(ids, f"they are split into {', '.join(map(str, sizes))}")
    elif ids is not None and len(parts) > 1:
        trace.tie(ids, len(parts))
    start = 0
    for part in parts:
        own = None if ids is None or part.shape[dim] == 1 else ids[start : start + part.shape[dim]]
        start += part.shape[dim]
        note(trace, call, part, tuple(own if axis == dim else other for axis, other in enumerate(trace.of(x))))
    return parts


@rule("slice")
def slice_(trace: ChannelTrace, call: Call) -> Any:
    """Part of an axis."""
    x, result = call.args["self"], call.run()
    dim = call.args["dim"] % x.dim()
    axes = list(trace.of(x))
    ids, width, size = axes[dim], x.shape[dim], result.shape[dim]
    if ids is not None and size < width:
        start = call.args["start"] or 0
        start += width if start < 0 else 0
        if call.args["step"] == 1 and size and width % size == 0 and start % size == 0:
            # An equal part, as of a gate: the others are as long.
            trace.tie(ids, width // size)
        else:
            trace.freeze(ids, f"{size} of {width} are taken out")
        axes[dim] = ids[start : start + size * call.args["step"] : call.args["step"]] if size > 1 else None
    return note(trace, call, result, tuple(axes))


@rule("glu")
def glu(trace: ChannelTrace, call: Call) -> Any:
    """The two halves of a gate."""
    x, result = call.args["self"], call.run()
    axes, dim = list(trace.of(x)), call.args["dim"] % x.dim()
    ids = axes[dim]
    axes[dim] = None if ids is None else trace.tie(ids, 2)
    return note(trace, call, result, tuple(axes))


@rule("select", "unbind")
def select(trace: ChannelTrace, call: Call) -> Any:
    """One entry of an axis."""
    x, dim = call.args["self"], call.args["dim"] % call.args["self"].dim()
    trace.freeze(trace.of(x)[dim], "one of them is taken out")
    return note(trace, call, call.run(), tuple(ids for axis, ids in enumerate(trace.of(x)) if axis != dim))


@rule("embedding")
def embedding(trace: ChannelTrace, call: Call) -> Any:
    """A table, whose columns are channels."""
    rows, columns = trace.of(call.args["weight"])
    trace.freeze(rows, "they are looked up by number")
    result = call.run()
    return note(trace, call, result, (*(None,) * (result.dim() - 1), columns))


def _gone(trace: ChannelTrace, ids: Ids) -> None:
    trace.freeze(ids, "they are pixels of a single channel")


@rule(*SPATIAL)
def spatial(trace: ChannelTrace, call: Call) -> Any:
    """Works on the last axes, for every channel alike."""
    x = call.tensors[0]
    rank = SPATIAL[call.name]
    for ids in trace.of(x)[-rank:]:
        trace.freeze(ids, f"they are taken for a picture's height or width ({call.name})")
    return note(trace, call, call.run(), (*trace.of(x)[:-rank], *(None,) * rank))


@rule("constant_pad_nd", "_fft_r2c", "_fft_c2r", "_fft_c2c", "roll", "cumsum", "sort", "unfold")
def along(trace: ChannelTrace, call: Call) -> Any:
    """Works along some axes, and leaves the others alone."""
    x = call.args["self"]
    if call.name == "constant_pad_nd":
        pad = call.args["pad"]
        worked = {x.dim() - 1 - place // 2 for place, amount in enumerate(pad) if amount}
    else:
        dims = call.args.get("dims", call.args.get("dim", call.args.get("dimension")))
        worked = {dim % x.dim() for dim in ([dims] if isinstance(dims, int) else dims or range(x.dim()))}
    return _leave(trace, call, x, worked)


def _leave(trace: ChannelTrace, call: Call, x: Tensor, worked: set[int]) -> Any:
    axes: Axes = trace.of(x)
    for axis in worked:
        trace.freeze(axes[axis], f"their order or number matters ({call.name})")
    result = call.run()
    extra = (None,) * (result.dim() - x.dim() if isinstance(result, Tensor) else 0)
    return note(trace, call, result, (*(None if axis in worked else ids for axis, ids in enumerate(axes)), *extra))


@rule("index_select")
def index_select(trace: ChannelTrace, call: Call) -> Any:
    """Entries by number."""
    return _leave(trace, call, call.args["self"], {call.args["dim"] % call.args["self"].dim()})


@rule("index")
def index(trace: ChannelTrace, call: Call) -> Any:
    """``x[:, order]``: one axis by one list."""
    x, indices = call.args["self"], call.args["indices"]
    given = [axis for axis, value in enumerate(indices) if value is not None]
    if len(given) == 1 and indices[given[0]].dim() == 1:
        return _leave(trace, call, x, set(given))
    return unknown(trace, call)
