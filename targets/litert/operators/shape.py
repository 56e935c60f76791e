"""Operators that move numbers and compute none."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Graph, logical, natural
from ..writers import Value, aten, writes
from .convolution import strided_slice
from .elementwise import constant_operand

RESHAPING = (
    aten.reshape.default, aten.view.default, aten._unsafe_view.default, aten.flatten.using_ints, aten.unsqueeze.default,
    aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unflatten.int,
)  # fmt: skip
SAME = (aten.clone.default, aten.contiguous.default, aten.alias.default, aten.detach.default, aten.dropout.default, aten.to.dtype)


@writes(*RESHAPING, passing=True)
def _reshape(graph: Graph, node: Any, source: Value, *_: Any) -> Value:
    return graph.reshaped(graph.plain(source), node.meta["val"].shape, node.name)


@writes(*SAME, passing=True)
def _same(graph: Graph, node: Any, source: Value, *_: Any, **__: Any) -> Value:
    return source


@writes(aten.permute.default, aten.transpose.int, passing=True)
def _permute(graph: Graph, node: Any, source: Value, *moves: Any) -> Value:
    rank = len(source.shape)
    axes = list(range(rank))
    if node.target is aten.permute.default:
        axes = [axis % rank for axis in moves[0]]
    else:
        one, other = (axis % rank for axis in moves)
        axes[one], axes[other] = axes[other], axes[one]
    # Nothing moves in memory: the axes there are called otherwise from now on.
    return Value(source.index, source.shape, source.dtype, tuple(axes.index(axis) for axis in source.order), source.grid)


@writes(aten.slice.Tensor, passing=True)
def _slice(graph: Graph, node: Any, source: Value, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Value:
    shape = logical(source)
    first, last, by = slice(start, end, step).indices(shape[axis])
    place = source.order.index(axis % len(shape))
    begins, ends, steps = [0] * len(shape), list(source.shape), [1] * len(shape)
    begins[place], ends[place], steps[place] = first, max(first, last), by
    return strided_slice(graph, source, begins, ends, steps, node.name)


@writes(aten.cat.default, passing=True)
def _cat(graph: Graph, node: Any, sources: Sequence[Value | np.ndarray], axis: int = 0) -> Value:
    named = enumerate(sources)
    values = [each if isinstance(each, Value) else constant_operand(graph, each, f"{node.name}.{index}") for index, each in named]
    rank = len(values[0].shape)
    order = natural(rank)
    values = [graph.ordered(each, order) for each in values]
    place = order.index(axis % rank)
    shape = list(values[0].shape)
    shape[place] = sum(each.shape[place] for each in values)
    options = graph.schema.ConcatenationOptionsT(axis=place)
    return graph.add("CONCATENATION", node.name, values, shape, values[0].dtype, order, options, values[0].grid)


@writes(aten.expand.default)
def _expand(graph: Graph, node: Any, source: Value, shape: Sequence[int], *_: Any) -> Value:
    wanted = tuple(int(length) for length in node.meta["val"].shape)
    plain = graph.plain(source)
    plain = graph.reshaped(plain, (1,) * (len(wanted) - len(plain.shape)) + plain.shape, f"{node.name}.rank")
    if plain.shape == wanted:
        return plain
    lengths = graph.constant(f"{node.name}.shape", np.array(wanted, np.int32))
    options = graph.schema.BroadcastToOptionsT()
    return graph.add("BROADCAST_TO", node.name, [plain, lengths], wanted, plain.dtype, plain.order, options, plain.grid, version=2)
