"""Moves int8 activations to uint8, which is what ONNX Runtime's kernels for x86 want beside int8 weights.

Requires: int8 activations with one scale and zero point a tensor.
Ensures: they are uint8 with the zero point 128 higher.
Exact: every level stands for the same number as before.
"""

import numpy as np
import onnx_ir as ir

from .contract import READ_DEQUANTIZED, UINT8_ACTIVATIONS, Change, rewrite
from .graph import quantized_tensors, value_name


@rewrite(requires=(READ_DEQUANTIZED,), ensures=(UINT8_ACTIVATIONS,))
def uint8_activations(model: ir.Model) -> tuple[Change, ...]:
    """int8 with zero point z becomes uint8 with zero point z + 128."""
    changes = []
    for tensor in tuple(quantized_tensors(model.graph)):
        if tensor.zero_point.dtype != np.int8:
            continue
        zero_point = int(tensor.zero_point) + 128
        tensor.set_grid(model.graph, tensor.scale, np.uint8(zero_point))
        changes.append(Change("uint8_activations", value_name(tensor.value), f"zero point {zero_point}"))
    return tuple(changes)
