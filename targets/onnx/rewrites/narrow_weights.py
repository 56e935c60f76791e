"""Rounds weights of given layers to a slightly coarser grid, so that no two products of neighbours leave 16 bits.

Requires: int8 weights as ``quantized_weight`` knows them; biases in float (before ``quantize_bias``, whose scale follows theirs).
Ensures: of two neighbours in the order in which the kernels add up, the weights of one sign sum to at most 128: 255 * 128 fits 16 bits.
Not exact: a channel's scale grows by what its worst pair needs, at most by 2, and its weights are rounded again. Weights of uint8
would be exact, but take slow kernels: on x86 with VNNI such a layer took up to 10 times as long, and on Arm there is no direct one.
"""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from .graph import Change, Rewrite, value_name
from .weights import QuantizedWeight, quantized_weight

# Rounding moves both weights of a pair by half a step, so that 128 is kept.
LARGEST_PAIR = 127


def narrow_weights(names: Collection[str]) -> Rewrite:
    """The rewrite for layers (``Conv`` or ``Gemm`` nodes) of these names; layers that share a weight with one of them share the new one."""

    def rewrite(model: ir.Model) -> tuple[Change, ...]:
        weights = [weight for node in tuple(model.graph) if (weight := quantized_weight(node)) is not None]
        stored = {_integers(weight) for weight in weights if weight.node.name in names}
        first: dict[ir.Value, QuantizedWeight] = {}
        changes: list[Change] = []
        for weight, integers in tuple((weight, _integers(weight)) for weight in weights):
            if integers in first:
                weight.node.replace_input_with(1, first[integers].node.inputs[1])
            elif integers in stored:
                changes.append(_narrow(model.graph, weight))
                first[integers] = weight
        return tuple(changes)

    return rewrite


def neighbours(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(O, I, ...) weights as pairs that x86 kernels add up in 16 bits: rows, columns, then channels; two of (O, pairs) int32."""
    rows = np.moveaxis(values, 1, -1).reshape(len(values), -1).astype(np.int32)
    rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    return rows[:, 0::2], rows[:, 1::2]


def _integers(weight: QuantizedWeight) -> ir.Value:
    integers = weight.dequantize.inputs[0]
    assert integers is not None
    return integers


def _narrow(graph: ir.Graph, weight: QuantizedWeight) -> Change:
    first, second = neighbours(weight.values)
    positive = np.maximum(first, 0) + np.maximum(second, 0)
    negative = np.minimum(first, 0) + np.minimum(second, 0)
    growth = np.maximum(1.0, np.maximum(positive, -negative).max(axis=1) / LARGEST_PAIR)
    raised = weight.on_scales(weight.scales * growth.astype(np.float32))
    raised.store(graph)
    return Change("narrow_weights", value_name(weight.node.outputs[0]), f"scales up to {growth.max():.2f} times as large")
