"""Pads convolutions whose number of output channels ONNX Runtime's int8 kernels are slow with.

Measured on x86 with VNNI, 3x3 on 48 channels at 96x96: 12 outputs take 1.0 ms, 16 take 0.47; 17 take 1.31, 20 take 0.76; at 256x256 the
last convolution of a network, 48 -> 12, went from 13.7 ms to under 1.9.

Requires: Conv with one group and dequantised int8 weights, its output quantised (a ReLU may come before that)
on its final grid.
Ensures: it has at least 16 output channels, and a multiple of 4; those added have zero weights and biases, and a Slice of the
integers removes them.
Exact: no output that existed changes.
"""

import numpy as np
import onnx_ir as ir

from .contract import Change, rewrite
from .graph import groups, initializer, insert_after, only_reader, quantize_after, value_name
from .weights import quantized_weight, take_outputs

FEWEST_CHANNELS, MULTIPLE = 16, 4


def fast_channels(channels: int) -> int:
    """The next number of output channels that the kernels are fast with."""
    return max(FEWEST_CHANNELS, -(-channels // MULTIPLE) * MULTIPLE)


@rewrite()
def pad_narrow_convolutions(model: ir.Model) -> tuple[Change, ...]:
    """Conv with a slow number of output channels -> Conv with a few more, Slice."""
    changes: list[Change] = []
    for node in tuple(model.graph):
        weight = quantized_weight(node) if node.op_type == "Conv" else None
        quantize = quantize_after(node)
        if weight is None or quantize is None or groups(node) != 1:
            continue
        channels, wanted = weight.values.shape[0], fast_channels(weight.values.shape[0])
        added = np.full(wanted - channels, -1)
        if wanted == channels or not take_outputs(model.graph, weight, np.concatenate((np.arange(channels), added))):
            continue
        slice_after(model.graph, quantize.outputs[0], channels)
        widen_shapes(node, quantize, wanted)
        changes.append(Change("pad_narrow_convolutions", value_name(node.outputs[0]), f"{channels} to {wanted} output channels"))
    return tuple(changes)


def slice_after(graph: ir.Graph, value: ir.Value, channels: int) -> None:
    """Lets whatever reads ``value`` read its first channels alone."""
    name = value_name(value)
    bounds = [
        initializer(graph, f"{name}.{key}", np.array([number], np.int64)) for key, number in (("start", 0), ("end", channels), ("axis", 1))
    ]
    kept = ir.node("Slice", [value, *bounds], name=f"{name}.slice")
    kept.outputs[0].name = f"{name}.sliced"
    kept.outputs[0].type, kept.outputs[0].shape = value.type, value.shape
    insert_after(value, kept)


def widen_shapes(node: ir.Node, quantize: ir.Node, wanted: int) -> None:
    """Gives the values from a layer to the QuantizeLinear behind it another number of channels."""
    reader: ir.Node | None = node
    while reader is not None:
        value = reader.outputs[0]
        if value.shape is not None:
            value.shape = ir.Shape([value.shape[0], wanted, *value.shape[2:]])
        reader = None if reader is quantize else only_reader(value)
