"""Keeps products with a sigmoid or hard sigmoid on integers (SiLU, hard swish): ONNX Runtime has kernels for them, but only between grids.

Requires: DequantizeLinear -> Sigmoid or HardSigmoid -> Mul -> QuantizeLinear of uint8, the Mul's other factor dequantised uint8, too.
Ensures: the gate is on 256 levels from 0 to 1. A HardSigmoid becomes the sum x * alpha + beta, which the grid clips at 0 and 1 by itself.
The gate moves by at most half a level, 1/510, so that the product moves by at most a quarter of a level of the other factor's grid.
"""

import numpy as np
import onnx_ir as ir

from .contract import Change, rewrite
from .graph import DEQUANTIZE, QUANTIZE, constant, initializer, insert_after, only_reader, replace, value_name

# ONNX Runtime's own for a Sigmoid, whose kernel ends at 255 / 256.
SIGMOID_LEVEL, HARD_LEVEL = np.float32(2.0**-8), np.float32(1 / 255)
ALPHA, BETA = 0.2, 0.5


@rewrite()
def integer_gate(model: ir.Model) -> tuple[Change, ...]:
    """Gate -> Mul becomes gate -> Q -> DQ -> Mul."""
    changes: list[Change] = []
    for node in tuple(model.graph):
        if node.op_type == "HardSwish":
            _write_out(model.graph, node)
    for node in tuple(model.graph):
        source = _dequantizer(node.inputs[0]) if node.op_type in ("Sigmoid", "HardSigmoid") else None
        product = only_reader(node.outputs[0]) if source is not None else None
        quantize = only_reader(product.outputs[0]) if product is not None and product.op_type == "Mul" else None
        if source is None or product is None or quantize is None or quantize.op_type != QUANTIZE or not _is_uint8(quantize):
            continue
        if not all(_dequantizer(factor) for factor in product.inputs if factor is not node.outputs[0]):
            continue
        kind, level = node.op_type, SIGMOID_LEVEL
        if kind == "HardSigmoid":
            node, level = _as_sum(model.graph, node, source), HARD_LEVEL
        _to_grid(model.graph, node.outputs[0], level)
        changes.append(Change("integer_gate", value_name(node.outputs[0]), kind))
    return tuple(changes)


def _write_out(graph: ir.Graph, node: ir.Node) -> None:
    """HardSwish as ONNX defines it: x * HardSigmoid(x) with a slope of 1 / 6."""
    value, source = node.outputs[0], node.inputs[0]
    gate = ir.node("HardSigmoid", [source], {"alpha": 1 / 6, "beta": 0.5}, name=f"{node.name}.gate")
    product = ir.node("Mul", [source, gate.outputs[0]], name=node.name)
    for each in (gate, product):
        each.outputs[0].name, each.outputs[0].type, each.outputs[0].shape = f"{each.name}.value", value.type, value.shape
        graph.insert_before(node, each)
    replace(graph, node, product)


def _as_sum(graph: ir.Graph, node: ir.Node, source: ir.Node) -> ir.Node:
    """x * alpha + beta: the integers of x with a smaller scale, and a constant."""
    name, scale = value_name(node.outputs[0]), constant(source.inputs[1])
    alpha, beta = (
        node.attributes[key].as_float() if key in node.attributes else value for key, value in (("alpha", ALPHA), ("beta", BETA))
    )
    assert scale is not None
    smaller = initializer(graph, f"{name}.slope", np.array(scale.item() * alpha, np.float32))
    scaled = ir.node(DEQUANTIZE, [source.inputs[0], smaller, source.inputs[2]], name=f"{name}.scaled")
    shift = [
        initializer(graph, f"{name}.{key}", np.array(value, kind))
        for key, value, kind in (("shift", 1, np.uint8), ("beta", beta, np.float32), ("zero", 0, np.uint8))
    ]
    shifting = ir.node(DEQUANTIZE, shift, name=f"{name}.shifting")
    total = ir.node("Add", [scaled.outputs[0], shifting.outputs[0]], name=f"{name}.sum")
    for each, shape in ((scaled, node.outputs[0].shape), (shifting, ir.Shape([])), (total, node.outputs[0].shape)):
        each.outputs[0].name, each.outputs[0].type, each.outputs[0].shape = f"{each.name}.value", node.outputs[0].type, shape
        graph.insert_before(node, each)
    node.outputs[0].replace_all_uses_with(total.outputs[0])
    graph.remove(node, safe=True)
    return total


def _to_grid(graph: ir.Graph, value: ir.Value, level: np.float32) -> None:
    name = value_name(value)
    grid = initializer(graph, f"{name}.scale", np.array(level)), initializer(graph, f"{name}.zero_point", np.array(0, np.uint8))
    quantize = ir.node(QUANTIZE, [value, *grid], name=f"{name}.quantize")
    integers = quantize.outputs[0]
    integers.name, integers.type, integers.shape = f"{name}.quantized", ir.TensorType(ir.DataType.UINT8), value.shape
    back = ir.node(DEQUANTIZE, [integers, *grid], name=f"{name}.dequantize")
    back.outputs[0].name, back.outputs[0].type, back.outputs[0].shape = f"{name}.gate", value.type, value.shape
    insert_after(value, quantize)
    insert_after(integers, back)


def _dequantizer(value: ir.Value | None) -> ir.Node | None:
    """What dequantises a value from uint8 of one grid."""
    source = value.producer() if value is not None else None
    return source if source is not None and source.op_type == DEQUANTIZE and _is_uint8(source) else None


def _is_uint8(node: ir.Node) -> bool:
    zero_point = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    return zero_point is not None and zero_point.dtype == np.uint8 and zero_point.size == 1
