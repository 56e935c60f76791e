"""Stores biases as int32 in units of the accumulator, as integer convolution kernels want them.

Requires: convolutions and linear layers with a dequantised input of one scale x, dequantised int8 weights with scales w and
a float bias.
Ensures: the bias is a DequantizeLinear of int32 with scale x * w, so that ONNX Runtime of any version fuses the node.
The bias moves by at most half a unit of the accumulator, which is what one level of one input times one level of one
weight adds up to: 127 to 32,385 times finer than the largest single product.

Where a channel is all but dead, its w so small that the bias would not fit 32 bits, the channel's w is raised until it
fits and its weights are rounded to the new grid. What they lose is below 2^-31 of the bias for each weight and level of its input.
"""

import numpy as np
import onnx_ir as ir

from .graph import DEQUANTIZE, Change, constant, initializer, value_name
from .weights import QuantizedWeight, quantized_weight

# The accumulator must still hold the products: 2^30 leaves them half of the range.
LARGEST = 2**30


def quantize_bias(model: ir.Model) -> tuple[Change, ...]:
    """float bias -> DequantizeLinear(int32 bias, x * w)."""
    changes: list[Change] = []
    for node in tuple(model.graph):
        weight, bias = quantized_weight(node), constant(node.inputs[2]) if len(node.inputs) > 2 else None
        input_scale = _input_scale(node)
        if weight is None or bias is None or input_scale is None or bias.shape != weight.scales.shape:
            continue
        raised, weight = _make_room(model.graph, weight, bias, input_scale)
        changes.append(_quantize(model.graph, weight, bias, input_scale, raised))
    return tuple(changes)


def _input_scale(node: ir.Node) -> np.float32 | None:
    source = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    if source is None or source.op_type != DEQUANTIZE:
        return None
    scale = constant(source.inputs[1])
    return np.float32(scale.reshape(())) if scale is not None and scale.size == 1 else None


def _make_room(graph: ir.Graph, weight: QuantizedWeight, bias: np.ndarray, input_scale: np.float32) -> tuple[int, QuantizedWeight]:
    least = np.abs(bias).astype(np.float64) / (float(input_scale) * LARGEST)
    if np.all(weight.scales >= least):
        return 0, weight
    # nextafter: the float32 scale must not round below what is needed.
    scales = np.where(weight.scales >= least, weight.scales, np.nextafter(least.astype(np.float32), np.float32(np.inf)))
    raised = weight.on_scales(scales)
    raised.store(graph)
    return int(np.count_nonzero(scales != weight.scales)), raised


def _quantize(graph: ir.Graph, weight: QuantizedWeight, bias: np.ndarray, input_scale: np.float32, raised: int) -> Change:
    node = weight.node
    name = value_name(node.outputs[0])
    # In float32, as the kernel multiplies them.
    scales = (input_scale * weight.scales.astype(np.float32)).astype(np.float32)
    integers = np.rint(bias / scales.astype(np.float64)).astype(np.int32)
    inputs = [
        initializer(graph, f"{name}.bias", integers),
        initializer(graph, f"{name}.bias.scale", scales),
        initializer(graph, f"{name}.bias.zero_point", np.zeros(scales.shape, np.int32)),
    ]
    dequantize = ir.node(DEQUANTIZE, inputs, {"axis": 0}, name=f"{name}.bias.dequantize")
    dequantize.outputs[0].name = f"{name}.bias.dequantized"
    graph.insert_before(node, dequantize)
    node.replace_input_with(2, dequantize.outputs[0])
    detail = f"int32, {raised} scales of its weight raised" if raised else "int32"
    return Change("quantize_bias", name, detail)
