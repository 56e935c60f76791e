"""Pads convolutions whose number of output channels ONNX Runtime's int8 kernels are slow with.

Measured on x86 with VNNI, 3x3 on 48 channels at 96x96: 12 outputs take 1.0 ms, 16 take 0.47; 17 take 1.31, 20 take 0.76; at 256x256 the
last convolution of a network, 48 -> 12, went from 13.7 ms to under 1.9.

Requires: Conv with one group and dequantised int8 weights, its output quantised (a ReLU may come before that)
on its final grid.
Ensures: it has at least 16 output channels, and a multiple of 4; those added have zero weights and biases, and a Slice of the
integers removes them.
Exact: no output that existed changes.
"""

from typing import Literal

import numpy as np
import onnx_ir as ir

from .graph import DEQUANTIZE, QUANTIZE, Change, constant, initializer, insert_after, only_reader, value_name
from .weights import QuantizedWeight, quantized_weight

FEWEST_CHANNELS, MULTIPLE = 16, 4


def fast_channels(channels: int) -> int:
    """The next number of output channels that the kernels are fast with."""
    return max(FEWEST_CHANNELS, -(-channels // MULTIPLE) * MULTIPLE)


def pad_narrow_convolutions(model: ir.Model) -> tuple[Change, ...]:
    """Conv with a slow number of output channels -> Conv with a few more, Slice."""
    changes: list[Change] = []
    for node in tuple(model.graph):
        weight = quantized_weight(node) if node.op_type == "Conv" else None
        quantize = _quantize_after(node)
        if weight is None or quantize is None or _groups(node) != 1:
            continue
        channels, wanted = weight.values.shape[0], fast_channels(weight.values.shape[0])
        if wanted == channels or not _pad_bias(model.graph, node, wanted):
            continue
        _pad_weight(model.graph, weight, wanted)
        _slice_after(model.graph, quantize, channels)
        _widen_shapes(node, quantize, wanted)
        changes.append(Change("pad_narrow_convolutions", value_name(node.outputs[0]), f"{channels} to {wanted} output channels"))
    return tuple(changes)


def _groups(node: ir.Node) -> int:
    attribute = node.attributes.get("group")
    return 1 if attribute is None else attribute.as_int()


def _quantize_after(node: ir.Node) -> ir.Node | None:
    """The QuantizeLinear (one scale) that alone reads a node, possibly behind a ReLU."""
    reader = only_reader(node.outputs[0])
    if reader is not None and reader.op_type == "Relu":
        reader = only_reader(reader.outputs[0])
    if reader is None or reader.op_type != QUANTIZE or reader.outputs[0].is_graph_output():
        return None
    scale = constant(reader.inputs[1])
    return reader if scale is not None and scale.size == 1 else None


def _pad_weight(graph: ir.Graph, weight: QuantizedWeight, wanted: int) -> None:
    extra = wanted - weight.values.shape[0]
    values = np.pad(weight.values, [(0, extra), *[(0, 0)] * (weight.values.ndim - 1)])
    # Any scale does; a copy keeps the products of scales in a sane range.
    QuantizedWeight(weight.node, values, np.pad(weight.scales, (0, extra), mode="edge")).store(graph)


def _pad_bias(graph: ir.Graph, node: ir.Node, wanted: int) -> bool:
    """Pads the bias, float or dequantised int32; False if it has another form."""
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        return True
    name, floats, dequantize = value_name(bias), constant(bias), bias.producer()
    if floats is not None:
        node.replace_input_with(2, initializer(graph, f"{name}.padded", _padded(floats, wanted)))
        return True
    parts = [constant(value) for value in dequantize.inputs] if dequantize is not None and dequantize.op_type == DEQUANTIZE else []
    arrays = [part for part in parts if part is not None and part.ndim == 1]
    if len(arrays) != 3 or len(parts) != 3:
        return False
    padded_arrays = (_padded(arrays[0], wanted), _padded(arrays[1], wanted, "edge"), _padded(arrays[2], wanted))
    keys = ("integers", "scale", "zero_point")
    inputs = [initializer(graph, f"{name}.padded.{key}", array) for key, array in zip(keys, padded_arrays, strict=True)]
    padded = ir.node(DEQUANTIZE, inputs, {"axis": 0}, name=f"{name}.padded.dequantize")
    padded.outputs[0].name = f"{name}.padded.dequantized"
    graph.insert_before(node, padded)
    node.replace_input_with(2, padded.outputs[0])
    return True


def _padded(array: np.ndarray, wanted: int, mode: Literal["constant", "edge"] = "constant") -> np.ndarray:
    return np.pad(array, (0, wanted - array.size), mode=mode)


def _slice_after(graph: ir.Graph, quantize: ir.Node, channels: int) -> None:
    value = quantize.outputs[0]
    name = value_name(value)
    bounds = [
        initializer(graph, f"{name}.{key}", np.array([number], np.int64)) for key, number in (("start", 0), ("end", channels), ("axis", 1))
    ]
    kept = ir.node("Slice", [value, *bounds], name=f"{name}.slice")
    kept.outputs[0].name = f"{name}.sliced"
    kept.outputs[0].type, kept.outputs[0].shape = value.type, value.shape
    insert_after(value, kept)


def _widen_shapes(node: ir.Node, quantize: ir.Node, wanted: int) -> None:
    reader: ir.Node | None = node
    while reader is not None:
        value = reader.outputs[0]
        if value.shape is not None:
            value.shape = ir.Shape([value.shape[0], wanted, *value.shape[2:]])
        reader = None if reader is quantize else only_reader(value)
