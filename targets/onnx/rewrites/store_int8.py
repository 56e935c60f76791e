"""Stores the weights of what a float model computes as int8, with one scale for each output channel.

Requires: float32 initializers as weights of convolutions and matrix products.
Ensures: such a weight is an int8 initializer behind a DequantizeLinear, symmetric; each number moves by at most half of its channel's
scale, which is the channel's largest magnitude over 127. Everything computes in float32 as before. Small weights stay: their scales would
cost more than they save.
"""

import numpy as np
import onnx_ir as ir

from .contract import FLOAT32_CONSTANTS, Change, rewrite
from .graph import DEQUANTIZE, groups, initializer, value_name
from .store_half import float_weights, store_behind

LEVELS = 127


@rewrite(requires=(FLOAT32_CONSTANTS,))
def store_int8(model: ir.Model) -> tuple[Change, ...]:
    """float32 weight -> DequantizeLinear(int8 weight, scales)."""
    changes: list[Change] = []
    stored: dict[tuple[str, int], ir.Node] = {}
    for node, weight, values in float_weights(model.graph):
        if values.ndim < 2:
            continue
        # A weight of two kinds of layers (tied ones) has scales along two axes.
        key = value_name(weight), _output_axis(node, values.ndim)
        if key not in stored:
            stored[key] = _stored(model.graph, weight, values, key[1])
        store_behind(model.graph, node, stored[key])
        changes.append(Change("store_int8", value_name(node.outputs[0]), f"{values.size} weights"))
    return tuple(changes)


def _stored(graph: ir.Graph, weight: ir.Value, values: np.ndarray, axis: int) -> ir.Node:
    """What gives a weight from integers, with a scale for each place along an axis; not in the graph yet."""
    others = tuple(each for each in range(values.ndim) if each != axis)
    scales = np.maximum(np.abs(values).max(axis=others) / LEVELS, np.finfo(np.float32).tiny).astype(np.float32)
    spread = scales.reshape([-1 if each == axis else 1 for each in range(values.ndim)])
    integers = np.clip(np.rint(values / spread), -LEVELS, LEVELS).astype(np.int8)
    parts, name = (integers, scales, np.zeros(scales.shape, np.int8)), value_name(weight) + (f".axis{axis}" if axis else "")
    inputs = [initializer(graph, f"{name}.{key}", part) for key, part in zip(("int8", "scale", "zero_point"), parts, strict=True)]
    dequantize = ir.node(DEQUANTIZE, inputs, {"axis": axis}, name=f"{name}.dequantize")
    dequantize.outputs[0].name = f"{name}.dequantized"
    dequantize.outputs[0].type, dequantize.outputs[0].shape = weight.type, weight.shape
    return dequantize


def _output_axis(node: ir.Node, rank: int) -> int:
    """Along which a weight has its output channels. A transposed convolution in groups has only some of them on one axis: its inputs."""
    if node.op_type == "ConvTranspose":
        return 1 if groups(node) == 1 else 0
    if node.op_type.endswith("MatMul"):
        return rank - 1
    if node.op_type.endswith("Gemm"):
        transposed = node.attributes.get("transB")
        return 0 if transposed is not None and transposed.as_int() == 1 else 1
    return 0
