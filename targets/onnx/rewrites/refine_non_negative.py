"""Gives activations that cannot be negative all 256 levels.

A symmetric int8 grid with scale s wastes its negative half on the output of a ReLU. Here such a tensor gets the zero
point -128 and scale s / 2.

Requires: symmetric int8 activations (zero point 0) on their first grid: none is uint8 yet, and no bias is in units of it.
Ensures: every level that the tensor could have is a level still, there is one more between each two, and the range
grows by half a step: 0, s, …, 127 s become 0, s / 2, …, 127.5 s. It also lets ONNX Runtime fold the ReLU into the
convolution before it: the grid clips at 0 by itself, which a grid with negative levels does not.
Finer, never coarser: tensors that pass values on to each other unchanged on one grid (MaxPool, Resize, Concat …) are refined
together or not at all, because a value that is rounded to the fine grid first and to the coarse one after can end a step away.
Where one of them can be negative (a ReLU's output beside others in a Concat), those that cannot keep their scale s and get the zero
point -128 alone: the same levels, only that what calibration did not see is cut off at 255 s, and the ReLU can be folded all the same.
"""

from collections.abc import Collection, Iterator
from functools import partial

import numpy as np
import onnx_ir as ir

from ...non_negative import OF_ONNX, Effect, non_negative, together
from .contract import FLOAT_BIASES, INT8_ACTIVATIONS, READ_DEQUANTIZED, Change, Condition, Rewrite
from .graph import DEQUANTIZE, QUANTIZE, QuantizedTensor, constant, quantized_tensors, value_name

EVERY_INPUT = frozenset({"Concat", "Add", "Mul"})


def refine_non_negative_of(inputs: Collection[str]) -> Rewrite:
    """The rewrite for a model whose inputs of these names cannot be negative."""

    def left(graph: ir.Graph) -> Iterator[str]:
        positive, tensors = _non_negative(graph, inputs), filter(_symmetric_int8, quantized_tensors(graph))
        return (value_name(each.value) for each in tensors if each.quantize.inputs[0] in positive)

    refined = Condition("activations that cannot be negative use all levels", left)
    before = (INT8_ACTIVATIONS, READ_DEQUANTIZED, FLOAT_BIASES)
    return Rewrite("refine_non_negative", partial(_refine, inputs=inputs), requires=before, ensures=(refined,))


def _refine(model: ir.Model, inputs: Collection[str]) -> tuple[Change, ...]:
    """int8 with zero point 0 and scale s gets -128 and s / 2 (or s, see above) wherever the tensor cannot be negative."""
    tensors = {tensor.quantize: tensor for tensor in quantized_tensors(model.graph) if _symmetric_int8(tensor)}
    positive = _non_negative(model.graph, inputs)
    unsigned = [node for node in tensors if node.inputs[0] in positive]
    refinable = together(unsigned, tuple(_same_scale_links(model.graph, tensors)))
    changes = []
    for node in unsigned:
        tensor, steps = tensors[node], 2 if node in refinable else 1
        tensor.set_grid(model.graph, np.float32(tensor.scale / steps), np.int8(-128))
        changes.append(Change("refine_non_negative", value_name(tensor.value), f"zero point -128, scale {tensor.scale:.6g} / {steps}"))
    return tuple(changes)


refine_non_negative = refine_non_negative_of(())


def _symmetric_int8(tensor: QuantizedTensor) -> bool:
    return tensor.zero_point.dtype == np.int8 and tensor.zero_point == 0


def _effect(node: ir.Node) -> Effect:
    attribute = node.attributes.get("mode")
    mode = attribute.as_string() if attribute is not None and node.op_type in ("Resize", "Pad") else ""
    if node.op_type == "Resize" and mode == "cubic":
        return Effect.UNKNOWN  # a cubic filter overshoots
    if node.op_type == "Pad" and mode in ("", "constant") and len(node.inputs) > 2 and node.inputs[2] is not None:
        value = constant(node.inputs[2])
        return Effect.SELECTS if value is not None and not value.any() else Effect.UNKNOWN
    return OF_ONNX.get(node.op_type, Effect.UNKNOWN)


def _data_inputs(node: ir.Node) -> tuple[ir.Value | None, ...]:
    return tuple(node.inputs) if node.op_type in EVERY_INPUT else tuple(node.inputs[:1])


def _non_negative(graph: ir.Graph, inputs: Collection[str]) -> set[ir.Value | None]:
    known = [value for value in graph.inputs if value.name in inputs]
    return non_negative(graph, _effect, _data_inputs, lambda node: node.outputs, known)


def _same_scale_links(graph: ir.Graph, tensors: dict[ir.Node, QuantizedTensor]) -> Iterator[tuple[ir.Node, ir.Node]]:
    """Pairs of QuantizeLinears of one scale with nothing but selecting nodes between them."""
    for node in graph:
        if node.op_type != QUANTIZE:
            continue
        for source in _sources(node.inputs[0]):
            both = tensors.get(source), tensors.get(node)
            if both[0] is None or both[1] is None or both[0].scale == both[1].scale:
                yield source, node


def _sources(value: ir.Value | None) -> Iterator[ir.Node]:
    producer = value.producer() if value is not None else None
    if producer is None:
        return
    if producer.op_type == DEQUANTIZE and producer.inputs[0] is not None:
        quantize = producer.inputs[0].producer()
        if quantize is not None and quantize.op_type == QUANTIZE:
            yield quantize
    elif _effect(producer) is Effect.SELECTS:
        for data in _data_inputs(producer):
            yield from _sources(data)
