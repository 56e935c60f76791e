"""What becomes of channels in ATen operations that only move entries: reshapes, permutations, shuffles."""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from .books import ChannelTrace
from .rules import Call, note, rule
from .rules_places import _gone
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
