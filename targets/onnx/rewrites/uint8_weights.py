"""Stores the weights of given layers as uint8, whose kernels add up in 32 bits on every processor.

Requires: int8 weights of constant scales and zero points, which only DequantizeLinears read.
Ensures: they are uint8 with the zero point 128 higher, for all readers of the same numbers, so that nothing is stored twice.
Exact: every weight stands for the same number as before.
"""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from .contract import Change, Rewrite
from .graph import DEQUANTIZE, constant, initializer, value_name
from .weights import quantized_weight


def uint8_weights(names: Collection[str]) -> Rewrite:
    """The rewrite for layers (``Conv`` or ``Gemm`` nodes) of these names."""

    def change(model: ir.Model) -> tuple[Change, ...]:
        changes: list[Change] = []
        for node in tuple(model.graph):
            dequantize = node.inputs[1].producer() if node.name in names and quantized_weight(node) is not None and node.inputs[1] else None
            integers = dequantize.inputs[0] if dequantize is not None else None
            if integers is not None and _move(model.graph, integers):
                changes.append(Change("uint8_weights", value_name(integers), "zero point 128"))
        return tuple(changes)

    return Rewrite("uint8_weights", change)


def _move(graph: ir.Graph, integers: ir.Value) -> bool:
    values, readers = constant(integers), tuple(integers.consumers())
    if values is None or not all(reader.op_type == DEQUANTIZE for reader in readers):
        return False
    name = value_name(integers)
    moved = initializer(graph, f"{name}.uint8", _raised(values))
    for reader in readers:
        zero_point = constant(reader.inputs[2]) if len(reader.inputs) > 2 else None
        scale = constant(reader.inputs[1])
        old = zero_point if zero_point is not None else np.zeros(scale.shape if scale is not None else (), np.int8)
        reader.resize_inputs(3)
        reader.replace_input_with(0, moved)
        reader.replace_input_with(2, initializer(graph, f"{name}.uint8.zero_point", _raised(old)))
    return True


def _raised(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.int16) + 128).astype(np.uint8)
