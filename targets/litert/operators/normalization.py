"""Normalisation by mean and variance, written out."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Graph, logical
from ..refusal import Unsupported
from ..writers import Value, aten, writes
from .elementwise import binary, unary
from .reduction import reduced


def normalized(graph: Graph, source: Value, axes: Sequence[int], epsilon: float, name: str) -> Value:
    """(x - mean) / sqrt(variance + epsilon)."""
    centred = binary(graph, "SUB", source, reduced(graph, "MEAN", source, axes, f"{name}.mean"), f"{name}.centred")
    variance = reduced(graph, "MEAN", unary(graph, "SQUARE", centred, f"{name}.square"), axes, f"{name}.variance")
    factor = unary(graph, "RSQRT", binary(graph, "ADD", variance, epsilon, f"{name}.safe"), f"{name}.factor")
    return binary(graph, "MUL", centred, factor, f"{name}.normalized")


def _affine(graph: Graph, value: Value, weight: np.ndarray | None, bias: np.ndarray | None, shape: Sequence[int], name: str) -> Value:
    if weight is not None:
        value = binary(graph, "MUL", value, np.reshape(weight, shape), f"{name}.scaled")
    return binary(graph, "ADD", value, np.reshape(bias, shape), name) if bias is not None else value


@writes(aten.instance_norm.default)
def _instance_norm(
    graph: Graph, node: Any, source: Value, weight: Any, bias: Any, mean: Any, variance: Any, own: bool, *more: Any
) -> Value:
    if mean is not None or variance is not None or not own:
        raise Unsupported("an instance norm with running statistics")
    axes = range(2, len(source.shape))
    value = normalized(graph, source, list(axes), float(more[1]), node.name)
    return _affine(graph, value, weight, bias, (1, -1, *(1 for _ in axes)), node.name)


@writes(aten.layer_norm.default)
def _layer_norm(graph: Graph, node: Any, source: Value, shape: Sequence[int], weight: Any = None, bias: Any = None, *more: Any) -> Value:
    axes = list(range(len(source.shape) - len(shape), len(source.shape)))
    value = normalized(graph, source, axes, float(more[0]) if more else 1e-5, node.name)
    return _affine(graph, value, weight, bias, shape, node.name)


@writes(aten.group_norm.default)
def _group_norm(graph: Graph, node: Any, source: Value, groups: int, weight: Any = None, bias: Any = None, *more: Any) -> Value:
    shape = logical(source)
    grouped = graph.reshaped(graph.plain(source), (shape[0], groups, int(np.prod(shape[1:])) // groups), f"{node.name}.groups")
    value = normalized(graph, grouped, [2], float(more[0]) if more else 1e-5, node.name)
    value = graph.reshaped(value, shape, f"{node.name}.whole")
    return _affine(graph, value, weight, bias, (1, -1, *(1 for _ in shape[2:])), node.name)
