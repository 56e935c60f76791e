"""Pads integers rather than the floats that they stand for.

ONNX Runtime drops the Q/DQ pair around a Resize or a Slice, but not around a Pad: a network with reflection padding would go
to float and back before every convolution.

Requires: DequantizeLinear -> Pad -> QuantizeLinear of one grid, the Pad reflecting, repeating or wrapping, or filling with 0.
Ensures: the Pad reads and writes the integers; where it fills, it fills with the zero point.
Exact: padding copies values, and 0 is a level of every grid.
"""

import numpy as np
import onnx_ir as ir

from .contract import Change, rewrite
from .graph import DEQUANTIZE, QUANTIZE, constant, initializer, only_reader, same_grid, value_name

COPYING_MODES = ("reflect", "edge", "wrap")


@rewrite()
def integer_pad(model: ir.Model) -> tuple[Change, ...]:
    """DQ -> Pad -> Q becomes Pad."""
    changes: list[Change] = []
    for pad in tuple(model.graph):
        dequantize = pad.inputs[0].producer() if pad.op_type == "Pad" and pad.inputs[0] is not None else None
        quantize = only_reader(pad.outputs[0]) if dequantize is not None and dequantize.op_type == DEQUANTIZE else None
        if dequantize is None or quantize is None or quantize.op_type != QUANTIZE or not same_grid(dequantize, quantize):
            continue
        zero_point = constant(quantize.inputs[2])
        if zero_point is None or zero_point.size != 1 or quantize.outputs[0].is_graph_output() or not _fill(model.graph, pad, zero_point):
            continue
        pad.replace_input_with(0, dequantize.inputs[0])
        pad.outputs[0].type = quantize.outputs[0].type
        quantize.outputs[0].replace_all_uses_with(pad.outputs[0])
        changes.append(Change("integer_pad", value_name(pad.outputs[0]), str(zero_point.dtype)))
    return tuple(changes)


def _fill(graph: ir.Graph, pad: ir.Node, zero_point: np.ndarray) -> bool:
    """Makes a Pad that fills with 0 fill with the zero point; False if it fills with anything else."""
    attribute = pad.attributes.get("mode")
    if attribute is not None and attribute.as_string() in COPYING_MODES:
        if len(pad.inputs) > 2:
            pad.replace_input_with(2, None)
        return True
    value = pad.inputs[2] if len(pad.inputs) > 2 else None
    array = constant(value)
    if value is not None and (array is None or array.any()):
        return False
    if len(pad.inputs) < 3:
        pad.resize_inputs(3)
    pad.replace_input_with(2, initializer(graph, f"{value_name(pad.outputs[0])}.fill", zero_point.reshape(())))
    return True
