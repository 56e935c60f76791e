"""Writes PRelu with operators that ONNX Runtime has fast kernels for: its own takes ten times as long as a product and a maximum.

Requires: constant slopes.
Ensures: one slope for all becomes LeakyRelu, which also exists on integers; slopes of at most 1 become Max(x, x * slope); others
Relu(x) + Min(x, 0) * slope. The same numbers.
"""

import numpy as np
import onnx_ir as ir

from .contract import Change, rewrite
from .graph import constant, initializer, replace, value_name


@rewrite()
def plain_prelu(model: ir.Model) -> tuple[Change, ...]:
    """PRelu -> LeakyRelu, or Mul and Max, or four operators."""
    changes: list[Change] = []
    for node in tuple(model.graph):
        slopes = constant(node.inputs[1]) if node.op_type == "PRelu" else None
        if slopes is None:
            continue
        name, (source, slope) = value_name(node.outputs[0]), node.inputs
        if slopes.size == 1:
            made = [ir.node("LeakyRelu", [source], {"alpha": float(slopes.item())})]
        elif slopes.max() <= 1:
            scaled = ir.node("Mul", [source, slope])
            made = [scaled, ir.node("Max", [source, scaled.outputs[0]])]
        else:
            zero = initializer(model.graph, f"{name}.zero", np.array(0, np.float32))
            positive, negative = ir.node("Relu", [source]), ir.node("Min", [source, zero])
            scaled = ir.node("Mul", [negative.outputs[0], slope])
            made = [positive, negative, scaled, ir.node("Add", [positive.outputs[0], scaled.outputs[0]])]
        for index, each in enumerate(made):
            each.name, each.outputs[0].name = f"{name}.{index}", f"{name}.{index}.value"
            each.outputs[0].type, each.outputs[0].shape = node.outputs[0].type, node.outputs[0].shape
            model.graph.insert_before(node, each)
        replace(model.graph, node, made[-1])
        changes.append(Change("plain_prelu", name, " ".join(each.op_type for each in made)))
    return tuple(changes)
