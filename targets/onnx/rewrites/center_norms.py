"""Counts what an instance norm reads from its first pixel instead of from zero.

A norm takes any offset out, so that none changes its result. But ONNX Runtime adds up a channel's numbers in float32 and is off by up
to a ten-thousandth of them: of a flat picture, whose channels have no spread, it makes that difference over the root of epsilon, which was
0.05 to 0.3 of a norm's own spread after one layer and 23 CIEDE2000 in the picture of a small style network on black. Counted from a
pixel of its own a flat channel is zero, and everything else is closer to it.

Requires: InstanceNormalization of a dequantised tensor (1, C, H, W), on its final grid.
Ensures: its DequantizeLinear has a scale for each channel and the first pixel's integers for zero points.
Exact: but for the rounding that it is there for.
"""

import numpy as np
import onnx_ir as ir

from .contract import Change, rewrite
from .graph import DEQUANTIZE, axis_of, constant, initializer, shape_of, value_name


@rewrite()
def center_norms(model: ir.Model) -> tuple[Change, ...]:
    """DQ -> InstanceNormalization becomes DQ by channel, from the first pixel -> InstanceNormalization."""
    norms = [node for node in model.graph if node.op_type == "InstanceNormalization"]
    return tuple(change for node in norms if (change := _center(model.graph, node)) is not None)


def _center(graph: ir.Graph, node: ir.Node) -> Change | None:
    dequantize = node.inputs[0].producer() if node.inputs[0] is not None else None
    integers = dequantize.inputs[0] if dequantize is not None and dequantize.op_type == DEQUANTIZE else None
    if dequantize is None or integers is None:
        return None
    shape, scale = shape_of(integers), constant(dequantize.inputs[1])
    if scale is None or len(shape) != 4 or shape[0] != 1 or min(shape) < 1 or (scale.size > 1 and axis_of(dequantize) != 1):
        return None
    name = f"{value_name(node.outputs[0])}.from_first_pixel"
    bounds = {"starts": [0, 0], "ends": [1, 1], "axes": [2, 3]}
    pixel = ir.node("Slice", [integers, *(_numbers(graph, f"{name}.{key}", each) for key, each in bounds.items())], name=f"{name}.slice")
    zero_points = ir.node("Reshape", [pixel.outputs[0], _numbers(graph, f"{name}.shape", [-1])], name=f"{name}.reshape")
    scales = initializer(graph, f"{name}.scales", np.broadcast_to(scale.reshape(-1), shape[1]).astype(np.float32))
    centred = ir.node(DEQUANTIZE, [integers, scales, zero_points.outputs[0]], {"axis": 1}, name=f"{name}.dequantize")
    for each in (pixel, zero_points, centred):
        graph.insert_before(node, each)
        each.outputs[0].name = each.name
    node.replace_input_with(0, centred.outputs[0])
    return Change("center_norms", value_name(node.outputs[0]), f"{shape[1]} channels")


def _numbers(graph: ir.Graph, name: str, values: list[int]) -> ir.Value:
    return initializer(graph, name, np.array(values, np.int64))
