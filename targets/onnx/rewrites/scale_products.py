"""Gives a linear layer whose output stays in float one scale for its whole int8 weight, and multiplies its products by the rest.

QNN takes int8 weights with a scale for each output channel where the output is quantised as well. A layer whose output is not, such as
that which makes the style's code, would be left to the CPU; its weight in float16 would have twice the bytes.

Requires: Gemm with ``transB``, dequantised int8 weights and no factors of its own, whose output nothing quantises.
Ensures: MatMul with the same integers, transposed, on the largest of the scales; then the products times scale over largest scale, and
the bias.
Exact but for the rounding of one product more.
"""

import numpy as np
import onnx_ir as ir

from .contract import Change, rewrite
from .graph import DEQUANTIZE, initializer, quantize_after, replace, value_name
from .weights import QuantizedWeight, quantized_weight


@rewrite()
def scale_products(model: ir.Model) -> tuple[Change, ...]:
    """Gemm(x, q * scales) + bias -> MatMul(x, q * largest) * (scales / largest) + bias."""
    found = ((node, quantized_weight(node)) for node in tuple(model.graph) if node.op_type == "Gemm" and _is_plain(node))
    layers = [(node, weight) for node, weight in found if weight is not None and quantize_after(node) is None]
    return tuple(_rewritten(model.graph, node, weight) for node, weight in layers)


def _is_plain(node: ir.Node) -> bool:
    factors = [node.attributes.get(name) for name in ("alpha", "beta")]
    transposed = node.attributes.get("transA")
    return all(each is None or each.as_float() == 1 for each in factors) and (transposed is None or transposed.as_int() == 0)


def _rewritten(graph: ir.Graph, node: ir.Node, weight: QuantizedWeight) -> Change:
    output, name = node.outputs[0], value_name(node.outputs[0])
    largest = np.float32(weight.scales.max())
    # Of a weight that is all zeros any scale does.
    ratios = (weight.scales / largest).astype(np.float32) if largest > 0 else np.ones_like(weight.scales, np.float32)
    integers = initializer(graph, f"{name}.weight", np.ascontiguousarray(weight.values.T))
    grid = [
        initializer(graph, f"{name}.weight.scale", np.asarray(largest)),
        initializer(graph, f"{name}.weight.zero_point", np.asarray(0, np.int8)),
    ]
    steps = [ir.node(DEQUANTIZE, [integers, *grid], name=f"{name}.weight.dequantize")]
    steps.append(ir.node("MatMul", [node.inputs[0], steps[0].outputs[0]], name=node.name))
    steps.append(ir.node("Mul", [steps[1].outputs[0], initializer(graph, f"{name}.ratios", ratios)], name=f"{name}.scaled"))
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        steps.append(ir.node("Add", [steps[2].outputs[0], node.inputs[2]], name=f"{name}.biased"))
    for step in steps:
        step.outputs[0].name = f"{step.name}.value"
        graph.insert_before(node, step)
    steps[-1].outputs[0].type, steps[-1].outputs[0].shape = output.type, output.shape
    replace(graph, node, steps[-1])
    return Change("scale_products", name, f"{weight.values.size} weights")
