"""Stores the weights of what an int8 model computes in float as float16.

Requires: float32 initializers as weights of convolutions and matrix products.
Ensures: such a weight is a float16 initializer behind a Cast; it moves by at most 2^-11 of its value. Weights beyond the range of
float16 stay, and so do small ones, whose Cast would cost more than it saves. On a runtime that folds constants the Cast is gone after
loading; in an ``.ort`` file it runs, once an inference.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from .contract import Change, rewrite
from .graph import constant, initializer, value_name

READERS = ("Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")
SMALLEST = 512
LARGEST = float(np.finfo(np.float16).max)


@rewrite()
def store_half(model: ir.Model) -> tuple[Change, ...]:
    """float32 weight -> Cast(float16 weight)."""
    changes: list[Change] = []
    casts: dict[str, ir.Node] = {}
    for node, weight, values in float_weights(model.graph):
        if np.abs(values).max() > LARGEST:
            continue
        name = value_name(weight)
        if name not in casts:
            half = initializer(model.graph, f"{name}.half", values.astype(np.float16))
            casts[name] = ir.node("Cast", [half], {"to": ir.DataType.FLOAT}, name=f"{name}.cast")
            casts[name].outputs[0].name = f"{name}.float"
        store_behind(model.graph, node, casts[name])
        changes.append(Change("store_half", value_name(node.outputs[0]), f"{values.size} weights"))
    return tuple(changes)


def float_weights(graph: ir.Graph) -> Iterator[tuple[ir.Node, ir.Value, np.ndarray]]:
    """The layers whose weight is a float32 initializer that is worth storing as something smaller, with that and its numbers."""
    for node in tuple(graph):
        weight = node.inputs[1] if node.op_type in READERS and len(node.inputs) > 1 else None
        values = constant(weight)
        if weight is not None and values is not None and values.dtype == np.float32 and values.size >= SMALLEST:
            yield node, weight, values


def store_behind(graph: ir.Graph, node: ir.Node, reader: ir.Node) -> None:
    """Lets a layer take its weight from ``reader``, which gives it from smaller numbers; the old one goes unless another layer reads it.

    Layers of one weight come in the order of the graph: the first brings the reader into it.
    """
    weight = node.inputs[1]
    assert weight is not None
    if reader.graph is None:
        graph.insert_before(node, reader)
    node.replace_input_with(1, reader.outputs[0])
    if not weight.uses():
        graph.initializers.pop(value_name(weight))
