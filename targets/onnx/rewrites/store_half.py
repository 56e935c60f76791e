"""Stores the weights of what an int8 model computes in float as float16.

Requires: float32 initializers as weights of convolutions and matrix products.
Ensures: such a weight is a float16 initializer behind a Cast; it moves by at most 2^-11 of its value. Weights beyond the range of
float16 stay, and so do small ones, whose Cast would cost more than it saves. On a runtime that folds constants the Cast is gone after
loading; in an ``.ort`` file it runs, once an inference.
"""

import numpy as np
import onnx_ir as ir

from .contract import Change, rewrite
from .graph import constant, initializer, value_name

READERS = ("Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")
SMALLEST = 512
LARGEST = float(np.finfo(np.float16).max)


@rewrite()
def store_half(model: ir.Model) -> tuple[Change, ...]:
    """float32 weight -> Cast(float16 weight)."""
    changes: list[Change] = []
    for node in tuple(model.graph):
        weight = node.inputs[1] if node.op_type in READERS and len(node.inputs) > 1 else None
        values = constant(weight)
        if weight is None or values is None or values.dtype != np.float32 or values.size < SMALLEST or np.abs(values).max() > LARGEST:
            continue
        name = value_name(weight)
        half = initializer(model.graph, f"{name}.half", values.astype(np.float16))
        cast = ir.node("Cast", [half], {"to": ir.DataType.FLOAT}, name=f"{name}.cast")
        cast.outputs[0].name = f"{name}.float"
        model.graph.insert_before(node, cast)
        node.replace_input_with(1, cast.outputs[0])
        if not weight.uses():
            model.graph.initializers.pop(name)
        changes.append(Change("store_half", value_name(node.outputs[0]), f"{values.size} weights"))
    return tuple(changes)
