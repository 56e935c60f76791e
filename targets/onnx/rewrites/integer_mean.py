"""Averages integers: ONNX Runtime has a kernel on integers for GlobalAveragePool, none for ReduceMean.

Requires: DequantizeLinear -> ReduceMean over height and width, which it keeps -> QuantizeLinear.
Ensures: a GlobalAveragePool in its place: the same numbers.
"""

import onnx_ir as ir

from .contract import Change, rewrite
from .graph import DEQUANTIZE, QUANTIZE, constant, only_reader, replace, value_name


@rewrite()
def integer_mean(model: ir.Model) -> tuple[Change, ...]:
    """ReduceMean -> GlobalAveragePool."""
    changes: list[Change] = []
    for node in tuple(model.graph):
        source = node.inputs[0].producer() if node.op_type == "ReduceMean" and node.inputs[0] is not None else None
        reader = only_reader(node.outputs[0]) if source is not None and source.op_type == DEQUANTIZE else None
        if reader is None or reader.op_type != QUANTIZE or not _over_places(node):
            continue
        pool = ir.node("GlobalAveragePool", [node.inputs[0]], name=node.name)
        pool.outputs[0].name = f"{value_name(node.outputs[0])}.pool"
        pool.outputs[0].type, pool.outputs[0].shape = node.outputs[0].type, node.outputs[0].shape
        model.graph.insert_before(node, pool)
        replace(model.graph, node, pool)
        changes.append(Change("integer_mean", value_name(pool.outputs[0]), "height and width"))
    return tuple(changes)


def _over_places(node: ir.Node) -> bool:
    shape, axes = node.inputs[0].shape if node.inputs[0] is not None else None, constant(node.inputs[1]) if len(node.inputs) > 1 else None
    keeps = "keepdims" not in node.attributes or node.attributes["keepdims"].as_int() == 1
    return keeps and shape is not None and len(shape) == 4 and axes is not None and sorted(int(axis) % 4 for axis in axes) == [2, 3]
