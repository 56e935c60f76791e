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
