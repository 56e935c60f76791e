"""Removes a quantisation that repeats the one before it.

Requires: nothing. Ensures: no QuantizeLinear reads a DequantizeLinear of the same constant scale and zero point.
Exact: an integer that is dequantised and quantised on one grid comes back as it was.
"""

import onnx_ir as ir

from .contract import NO_REPEATED_GRID, Change, rewrite
from .graph import DEQUANTIZE, QUANTIZE, same_grid, value_name


@rewrite(ensures=(NO_REPEATED_GRID,))
def fold_repeated_quantization(model: ir.Model) -> tuple[Change, ...]:
    """Q -> DQ -> Q -> DQ of one grid becomes Q -> DQ."""
    changes: list[Change] = []
    for node in tuple(model.graph):
        before = node.inputs[0].producer() if node.op_type == QUANTIZE and node.inputs[0] is not None else None
        if before is None or before.op_type != DEQUANTIZE or not same_grid(node, before):
            continue
        if node.outputs[0].is_graph_output() or before.inputs[0] is None:
            continue
        node.outputs[0].replace_all_uses_with(before.inputs[0])
        changes.append(Change("fold_repeated_quantization", value_name(node.outputs[0]), "repeats the grid of its input"))
        model.graph.remove(node, safe=True)
    return tuple(changes)
