"""The quantised weight of a convolution or linear layer."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from .graph import DEQUANTIZE, axis_of, constant, initializer, value_name


@dataclass(frozen=True)
class QuantizedWeight:
    """An int8 weight with one scale for each output channel, zero points 0.

    Attributes:
        node: the Conv or Gemm.
        values: (O, I, kH, kW) or, for a Gemm with ``transB``, (O, I).
        scales: (O,).
    """

    node: ir.Node
    values: np.ndarray
    scales: np.ndarray

    @property
    def dequantize(self) -> ir.Node:
        """The node that reads the integers."""
        found = self.node.inputs[1].producer() if self.node.inputs[1] is not None else None
        assert found is not None
        return found

    def on_scales(self, scales: np.ndarray) -> "QuantizedWeight":
        """The weight rounded to scales (O,) that are nowhere smaller than its own."""
        ratio = (self.scales / scales).reshape(-1, *[1] * (self.values.ndim - 1))
        return QuantizedWeight(self.node, np.rint(self.values * ratio).astype(np.int8), scales)

    def store(self, graph: ir.Graph) -> None:
        """Gives the node a weight of its own, so that another node that shares the old one keeps it."""
        name = value_name(self.node.outputs[0])
        integers = initializer(graph, f"{name}.weight", self.values)
        scale = initializer(graph, f"{name}.weight.scale", self.scales.astype(np.float32))
        zero_point = initializer(graph, f"{name}.weight.zero_point", np.zeros(self.scales.shape, np.int8))
        dequantize = ir.node(DEQUANTIZE, [integers, scale, zero_point], {"axis": 0}, name=f"{name}.weight.dequantize")
        dequantize.outputs[0].name = f"{name}.weight.dequantized"
        graph.insert_before(self.node, dequantize)
        self.node.replace_input_with(1, dequantize.outputs[0])


def quantized_weight(node: ir.Node) -> QuantizedWeight | None:
    """The int8 weight of a Conv or a Gemm with ``transB``; None if it has another form."""
    if node.op_type == "Gemm":
        transposed = node.attributes.get("transB")
        if transposed is None or transposed.as_int() != 1:
            return None
    elif node.op_type != "Conv":
        return None
    dequantize = node.inputs[1].producer() if node.inputs[1] is not None else None
    if dequantize is None or dequantize.op_type != DEQUANTIZE:
        return None
    values, scales = constant(dequantize.inputs[0]), constant(dequantize.inputs[1])
    zero_points = constant(dequantize.inputs[2]) if len(dequantize.inputs) > 2 else np.int8(0)
    if values is None or scales is None or values.dtype != np.int8 or zero_points is None or np.any(zero_points):
        return None
    if scales.size == 1:
        scales = np.repeat(scales.reshape(1), values.shape[0])
    elif axis_of(dequantize) != 0:
        return None
    return QuantizedWeight(node, values, scales)


def take_outputs(graph: ir.Graph, weight: QuantizedWeight, channels: np.ndarray) -> bool:
    """Gives a layer other output channels: those of the numbers in ``channels``, and new ones of zeros for -1.

    Returns:
        False, and nothing is changed, if the bias is neither constant nor dequantised integers.
    """
    if not _take_bias(graph, weight.node, channels):
        return False
    # Of a new channel any scale does; a copy keeps the products of scales in a sane range.
    QuantizedWeight(weight.node, _taken(weight.values, channels), weight.scales[channels]).store(graph)
    return True


def _take_bias(graph: ir.Graph, node: ir.Node, channels: np.ndarray) -> bool:
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        return True
    name, floats, dequantize = value_name(bias), constant(bias), bias.producer()
    if floats is not None:
        node.replace_input_with(2, initializer(graph, f"{name}.taken", _taken(floats, channels)))
        return True
    parts = [constant(value) for value in dequantize.inputs] if dequantize is not None and dequantize.op_type == DEQUANTIZE else []
    arrays = [part for part in parts if part is not None and part.ndim == 1]
    if len(arrays) != 3 or len(parts) != 3:
        return False
    taken = {"integers": _taken(arrays[0], channels), "scale": arrays[1][channels], "zero_point": _taken(arrays[2], channels)}
    inputs = [initializer(graph, f"{name}.taken.{key}", array) for key, array in taken.items()]
    bias_node = ir.node(DEQUANTIZE, inputs, {"axis": 0}, name=f"{name}.taken.dequantize")
    bias_node.outputs[0].name = f"{name}.taken.dequantized"
    graph.insert_before(node, bias_node)
    node.replace_input_with(2, bias_node.outputs[0])
    return True


def _taken(array: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Rows by their numbers, zeros for -1."""
    rows = array[channels]
    rows[channels < 0] = 0
    return rows
