"""Takes a factor and an offset for each channel into the dequantisation before them.

The plan of quantisation gives the channels of a convolution's output grids of their own by scaling its weight, and takes that back
behind the grid (``compression/quantization/channel_scales.py``). A DequantizeLinear with a scale and a zero point for each channel
does it all at once.

Requires: a Mul of a DequantizeLinear of one scale with a constant of shape (C, 1, 1) or (1, C, 1, 1), and perhaps an Add of another
constant behind it, on their final grid.
Ensures: one DequantizeLinear on axis 1. An Add stays where an offset is no whole number of steps or leads out of the grid.
"""

import numpy as np
import onnx_ir as ir

from .contract import Change, rewrite
from .graph import DEQUANTIZE, constant, initializer, only_reader, value_name

WHOLE = 1e-3  # of a step


@rewrite()
def fold_channel_scales(model: ir.Model) -> tuple[Change, ...]:
    """DequantizeLinear, Mul (, Add) -> DequantizeLinear by channel."""
    changes: list[Change] = []
    for node in tuple(model.graph):
        source, factors = _with_channels(node, "Mul")
        before = source.producer() if source is not None else None
        if factors is None or before is None or before.op_type != DEQUANTIZE or len(before.inputs) < 3 or not (factors > 0).all():
            continue
        scale, zero_point = constant(before.inputs[1]), constant(before.inputs[2])
        if scale is None or zero_point is None or scale.size != 1 or zero_point.size != 1:
            continue
        scales = (scale.astype(np.float32) * factors).reshape(-1).astype(np.float32)
        last, zero_points = _shifted(node, scales, zero_point)
        _replace(model.graph, before, last, (scales, zero_points))
        if last is not node:
            model.graph.remove(last, safe=True)
        model.graph.remove(node, safe=True)
        changes.append(Change("fold_channel_scales", value_name(before.inputs[0]), f"{factors.size} scales"))  # type: ignore[arg-type]
    return tuple(changes)


def _shifted(node: ir.Node, scales: np.ndarray, zero_point: np.ndarray) -> tuple[ir.Node, np.ndarray]:
    """The last node that a DequantizeLinear can stand for, and its zero points."""
    plain = np.full(scales.size, zero_point.item(), zero_point.dtype)
    reader = only_reader(node.outputs[0])
    _, offsets = _with_channels(reader, "Add") if reader is not None else (None, None)
    if reader is None or offsets is None or offsets.size != scales.size:
        return node, plain
    moved = zero_point.item() - offsets.reshape(-1).astype(np.float64) / scales
    limits = np.iinfo(zero_point.dtype)
    whole = np.rint(moved)
    if np.abs(moved - whole).max() > WHOLE or whole.min() < limits.min or whole.max() > limits.max:
        return node, plain
    return reader, whole.astype(zero_point.dtype)


def _replace(graph: ir.Graph, before: ir.Node, last: ir.Node, grid: tuple[np.ndarray, np.ndarray]) -> None:
    output = last.outputs[0]
    name = value_name(output)
    parts = [initializer(graph, f"{name}.{key}", array) for key, array in zip(("scales", "zero_points"), grid, strict=True)]
    made = ir.node(DEQUANTIZE, [before.inputs[0], *parts], {"axis": 1}, name=f"{name}.dequantize")
    made.outputs[0].type, made.outputs[0].shape = output.type, output.shape
    graph.insert_before(last, made)
    for index, value in enumerate(graph.outputs):
        if value is output:
            graph.outputs[index] = made.outputs[0]
    output.replace_all_uses_with(made.outputs[0])
    output.name = None
    made.outputs[0].name = name


def _with_channels(node: ir.Node, operator: str) -> tuple[ir.Value | None, np.ndarray | None]:
    """What a node of that operator computes with a constant for each channel, and the constant."""
    if node.op_type != operator:
        return None, None
    for source, other in (tuple(node.inputs), tuple(reversed(node.inputs))):
        values = constant(other)
        if values is not None and source is not None and values.size > 1:
            shape = (1,) * (4 - values.ndim) + values.shape
            if len(shape) == 4 and shape[0] == 1 and shape[2:] == (1, 1):
                return source, values
    return None, None
