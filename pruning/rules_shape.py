"""What becomes of channels in ATen operations that only move entries: reshapes, slices, shuffles, and what works on height and width."""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from torch import Tensor

from .rules import Call, note, rule, unknown
from .trace import Axes, ChannelTrace
from .units import Ids


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "unsqueeze", "squeeze", "_reshape_copy", "view_as")
def reshape(trace: ChannelTrace, call: Call) -> Any:
    """Axes are merged and taken apart."""
    x = call.args["self"]
    result = call.run()
    before, axes = trace.of(x), [None] * result.dim()
    for sources, targets in segments(x.shape, result.shape):
        flat = _merged(trace, [(x.shape[axis], before[axis]) for axis in sources])
        wide = [axis for axis in targets if result.shape[axis] > 1]
        if flat is not None:
            axis, ids = _taken_apart(trace, flat, [result.shape[axis] for axis in wide])
            axes[wide[axis]] = ids
    return note(trace, call, result, tuple(axes))


def segments(before: Sequence[int], after: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """The shortest runs of axes of two shapes that hold the same entries."""
    i = j = 0
    while i < len(before) and j < len(after):
        sources, targets = [i], [j]
        while (left := prod(before[a] for a in sources)) != (right := prod(after[a] for a in targets)):
            if left < right:
                sources.append(sources[-1] + 1)
            else:
                targets.append(targets[-1] + 1)
        i, j = sources[-1] + 1, targets[-1] + 1
        yield sources, targets


def _merged(trace: ChannelTrace, axes: Sequence[tuple[int, Ids | None]]) -> Ids | None:
    known = [place for place, (_, ids) in enumerate(axes) if ids is not None]
    if len(known) > 1:
        for place in known:
            trace.freeze(axes[place][1], "two axes of channels are made one")
    if len(known) != 1:
        return None
    (place,) = known
    inner, outer = (prod(size for size, _ in part) for part in (axes[place + 1 :], axes[:place]))
    return np.tile(np.repeat(axes[place][1], inner), outer)  # type: ignore[arg-type]


def _taken_apart(trace: ChannelTrace, flat: Ids, sizes: Sequence[int]) -> tuple[int, Ids]:
    """Which of the axes goes on with the channels, and its units. The others keep their sizes, so entries along them go together.

    Code does not say which it is: ``view(heads, -1)`` or ``view(-1, r, r)``. The trial of a group finds out.
    """
    if len(sizes) == 1:
        return 0, flat
    site, trace.splits_seen = trace.splits_seen, trace.splits_seen + 1
    readings = [np.moveaxis(flat.reshape(sizes), axis, 0).reshape(sizes[axis], -1) for axis in range(len(sizes))]
    for axis, reading in enumerate(readings):
        roots = trace.units.roots(reading.reshape(-1)).reshape(reading.shape)
        if (roots == roots[:, :1]).all():
            return axis, reading[:, 0]
    order = [len(sizes) - 1, *range(len(sizes) - 1)]
    axis = order[trace.turns.get(site, 0) % len(order)]
    trace.splits[site] = flat, len(order)
    return axis, trace.tie(readings[axis].T.reshape(-1), readings[axis].shape[1])


@rule("permute", "transpose", "t", "numpy_T")
def permute(trace: ChannelTrace, call: Call) -> Any:
    """Axes change places."""
    x = call.args["self"]
    order = list(range(x.dim()))
    if "dims" in call.args:
        order = [dim % x.dim() for dim in call.args["dims"]]
    elif "dim0" in call.args:
        one, other = call.args["dim0"] % x.dim(), call.args["dim1"] % x.dim()
        order[one], order[other] = other, one
    else:
        order.reverse()
    return note(trace, call, call.run(), tuple(trace.of(x)[axis] for axis in order))


@rule("expand", "repeat")
def expand(trace: ChannelTrace, call: Call) -> Any:
    """An axis of 1 that becomes longer may follow any other: whether it does is for the trial to find out."""
    x = call.args["self"]
    result = call.run()
    axes: list[Ids | None] = []
    for back in range(result.dim(), 0, -1):
        size, own = result.shape[-back], x.shape[-back] if back <= x.dim() else 1
        ids = trace.of(x)[-back] if own > 1 else None
        if ids is not None:
            axes.append(np.tile(ids, size // own))
        else:
            axes.append(trace.units.new(size) if own == 1 and size > 1 else None)
    return note(trace, call, result, tuple(axes))


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


@rule("view_as_real", "view_as_complex")
def view_as_other(trace: ChannelTrace, call: Call) -> Any:
    """A last axis of real and imaginary parts comes or goes."""
    axes = trace.of(call.args["self"])
    return note(trace, call, call.run(), (*axes, None) if call.name == "view_as_real" else axes[:-1])


@rule("flip")
def flip(trace: ChannelTrace, call: Call) -> Any:
    """The order is reversed."""
    x = call.args["self"]
    dims = {dim % x.dim() for dim in call.args["dims"]}
    axes = tuple(ids[::-1].copy() if ids is not None and axis in dims else ids for axis, ids in enumerate(trace.of(x)))
    return note(trace, call, call.run(), axes)


@rule("embedding")
def embedding(trace: ChannelTrace, call: Call) -> Any:
    """A table, whose columns are channels."""
    rows, columns = trace.of(call.args["weight"])
    trace.freeze(rows, "they are looked up by number")
    result = call.run()
    return note(trace, call, result, (*(None,) * (result.dim() - 1), columns))


@rule("pixel_shuffle")
def pixel_shuffle(trace: ChannelTrace, call: Call) -> Any:
    """Blocks of consecutive channels become pixels of one."""
    x, result = call.args["self"], call.run()
    axes = trace.of(x)
    ids = axes[-3]
    if ids is not None:
        block = call.args["upscale_factor"] ** 2
        # The entries of one block become one channel.
        ids = trace.tie(ids.reshape(-1, block).T.reshape(-1), block) if len(ids) > block else _gone(trace, ids)
    return note(trace, call, result, (*axes[:-3], ids, None, None))


def _gone(trace: ChannelTrace, ids: Ids) -> None:
    trace.freeze(ids, "they are pixels of a single channel")


@rule("pixel_unshuffle", "im2col")
def pixel_unshuffle(trace: ChannelTrace, call: Call) -> Any:
    """Pixels of a channel become consecutive channels."""
    x, result = call.args["self"], call.run()
    axes = trace.of(x)
    channel = -3
    ids = axes[channel]
    made = None if ids is None else np.repeat(ids, result.shape[len(axes) - 3] // len(ids))
    return note(trace, call, result, (*axes[:channel], made, *(None,) * (result.dim() - len(axes) + 2)))


@rule("native_channel_shuffle", "channel_shuffle")
def channel_shuffle(trace: ChannelTrace, call: Call) -> Any:
    """Groups of channels are interleaved."""
    x = call.args["self"] if "self" in call.args else call.args["input"]
    axes = trace.of(x)
    ids, groups = axes[1], call.args["groups"]
    if ids is not None:
        trace.tie(ids, groups)
        ids = ids.reshape(groups, -1).T.reshape(-1)
    return note(trace, call, call.run(), (axes[0], ids, *axes[2:]))


SPATIAL = {
    f"{name}{rank}d": rank
    for rank in (1, 2, 3)
    for name in (
        *("reflection_pad", "replication_pad", "avg_pool", "_adaptive_avg_pool", "adaptive_avg_pool", "adaptive_max_pool"),
        *("upsample_nearest", "_upsample_nearest_exact"),
    )
} | {f"max_pool{rank}d_with_indices": rank for rank in (2, 3)}
SPATIAL |= {
    "upsample_linear1d": 1,
    "upsample_bilinear2d": 2,
    "_upsample_bilinear2d_aa": 2,
    "upsample_bicubic2d": 2,
    "_upsample_bicubic2d_aa": 2,
}
SPATIAL |= {"upsample_trilinear3d": 3, "max_pool1d": 1, "max_pool2d": 2, "mkldnn_max_pool2d": 2, "grid_sampler_2d": 2, "grid_sampler_3d": 3}


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
