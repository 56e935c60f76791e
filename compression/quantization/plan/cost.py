"""What a graph's kernels take in int8 and in float, from their sizes.

An estimate, so that equal inputs give equal plans on every machine; artifacts are timed later, for the limits. The rates are those of ONNX
Runtime 1.32 on one thread of a server processor with AVX512-VNNI: a 3x3 convolution of 128 to 128 channels at 128x128 takes
43.5 ms in float and 11.8 ms in int8, copying operators take 0.11 ns for each element that they write, norms 0.34 ns. Only their
ratios matter, since results are shares of the time in float.
"""

from math import prod

from torch.fx import GraphModule, Node

from ....capture.normalization.nodes import LINEAR, shape_of
from ....capture.program import CONVOLUTIONS
from ..operators import reads_integers

FLOAT_MAC_NS, INT8_MAC_NS = 0.018, 0.0049
ELEMENT_NS, NORM_NS = 0.11, 0.34
# Of a sum or concatenation in float: its inputs are dequantised, and its output is quantised.
JOIN_NS = 3 * ELEMENT_NS
# Kernels compute at least that many output channels: 9x9 from 32 to 3 takes 5.3 times as long for each product in float, too.
FEWEST_CHANNELS = 16


def is_layer(node: Node) -> bool:
    """Whether a node has a weight that can be int8."""
    return node.op == "call_function" and (node.target in CONVOLUTIONS or node.target is LINEAR)


def layer_ns(layer: Node, int8: bool) -> float:
    """Time of a convolution or linear layer."""
    made, weight = shape_of(layer), _weight_shape(layer)
    elements = prod(made)
    inputs = prod(weight[1:]) if layer.target is LINEAR or "transpose" not in str(layer.target) else weight[0] * prod(weight[2:])
    channels = made[-1] if layer.target is LINEAR else made[1]
    return elements * inputs * (INT8_MAC_NS if int8 else FLOAT_MAC_NS) * max(1.0, FEWEST_CHANNELS / channels)


def graph_ns(module: GraphModule, int8: bool = False) -> float:
    """Time of a prepared graph, its quantised layers in int8 or in float."""
    total = 0.0
    for node in module.graph.nodes:
        if is_layer(node):
            total += layer_ns(node, int8 and reads_integers(node))
        elif node.op == "call_function" and "norm" in str(node.target):
            total += prod(shape_of(node)) * NORM_NS
        elif node.op == "call_function" and "val" in node.meta and hasattr(node.meta["val"], "shape"):
            total += prod(shape_of(node)) * ELEMENT_NS
    return total


def _weight_shape(layer: Node) -> tuple[int, ...]:
    weight = layer.args[1]
    source = weight.all_input_nodes[0] if isinstance(weight, Node) and weight.op == "call_module" else weight
    return shape_of(source)  # type: ignore[arg-type]
