"""Means, sums and softmax."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import FLOAT, Graph
from ..writers import Value, aten, writes
from .elementwise import binary, unary

KINDS = {aten.mean.dim: "MEAN", aten.sum.dim_IntList: "SUM", aten.amax.default: "REDUCE_MAX", aten.amin.default: "REDUCE_MIN"}


def reduced(graph: Graph, kind: str, source: Value, axes: Sequence[int] | int | None, name: str, keep: bool = True) -> Value:
    """Over PyTorch's ``axes``; all of them without any."""
    rank = len(source.shape)
    numbers = [axes] if isinstance(axes, int) else list(axes or range(rank))
    wanted = sorted({axis % rank for axis in numbers})
    places = sorted(source.order.index(axis) for axis in wanted)
    shape = [1 if place in places else length for place, length in enumerate(source.shape)]
    options = graph.schema.ReducerOptionsT(keepDims=True)
    indices = graph.constant(f"{name}.axes", np.array(places, np.int32))
    made = graph.add(kind, name, [source, indices], shape, FLOAT, source.order, options)
    if keep:
        return made
    plain = graph.plain(made)
    return graph.reshaped(plain, [length for axis, length in enumerate(plain.shape) if axis not in wanted], f"{name}.squeezed")


@writes(*KINDS)
def _reduce(graph: Graph, node: Any, source: Value, axes: Sequence[int] | int | None = None, keep: bool = False, **_: Any) -> Value:
    return reduced(graph, KINDS[node.target], source, axes, node.name, keep)


@writes(aten.var.correction)
def _var(
    graph: Graph, node: Any, source: Value, axes: Sequence[int] | None = None, *, correction: float = 1, keepdim: bool = False
) -> Value:
    mean = reduced(graph, "MEAN", source, axes, f"{node.name}.mean")
    deviation = unary(graph, "SQUARE", binary(graph, "SUB", source, mean, f"{node.name}.deviation"), f"{node.name}.square")
    found = reduced(graph, "MEAN", deviation, axes, node.name, keepdim)
    count = int(np.prod(source.shape) // np.prod(mean.shape))
    return binary(graph, "MUL", found, count / (count - correction), f"{node.name}.corrected") if correction else found


@writes(aten.var.dim)
def _var_dim(graph: Graph, node: Any, source: Value, axes: Sequence[int] | None, unbiased: bool = True, keep: bool = False) -> Value:
    return _var(graph, node, source, axes, correction=int(unbiased), keepdim=keep)


@writes(aten.softmax.int, aten._softmax.default)
def _softmax(graph: Graph, node: Any, source: Value, axis: int, *_: Any) -> Value:
    rank = len(source.shape)
    axis %= rank
    if source.order[-1] != axis:
        source = graph.plain(source)
    if source.order[-1] != axis:
        source = graph.ordered(source, (*(each for each in range(rank) if each != axis), axis))
    return graph.add("SOFTMAX", node.name, [source], source.shape, FLOAT, source.order, graph.schema.SoftmaxOptionsT(beta=1.0))
