"""Gives activations that cannot be negative all 256 levels.

A symmetric int8 grid with scale s wastes its negative half on the output of a ReLU. Here such a tensor gets the zero
point -128 and scale s / 2.

Requires: symmetric int8 activations (zero point 0).
Ensures: every level that the tensor could have is a level still, there is one more between each two, and the range
grows by half a step: 0, s, …, 127 s become 0, s / 2, …, 127.5 s. It also lets ONNX Runtime fold the ReLU into the
convolution before it: the grid clips at 0 by itself, which a grid with negative levels does not.
Finer, never coarser: tensors that pass values on to each other unchanged on one grid (MaxPool, Resize, Concat …) are refined
together or not at all, because a value that is rounded to the fine grid first and to the coarse one after can end a step away.
Where one of them can be negative (a ReLU's output beside others in a Concat), those that cannot keep their scale s and get the zero
point -128 alone: the same levels, only that what calibration did not see is cut off at 255 s, and the ReLU can be folded all the same.
"""

from collections.abc import Collection, Iterator

import numpy as np
import onnx_ir as ir

from .graph import DEQUANTIZE, QUANTIZE, Change, QuantizedTensor, constant, quantized_tensors, value_name

NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax", "Sqrt", "Abs", "Exp", "HardSigmoid"})
# Their outputs are values of their inputs, or lie between them.
SELECTING = frozenset("MaxPool Pad DepthToSpace SpaceToDepth Slice Split Reshape Transpose Squeeze Unsqueeze Flatten Identity".split())
JOINING = frozenset({"Concat"})
# Not negative if no input is.
KEEPING_SIGN = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean", "Add", "Mul"})


def refine_non_negative(model: ir.Model, inputs: Collection[str] = ()) -> tuple[Change, ...]:
    """int8 with zero point 0 and scale s gets -128 and s / 2 (or s, see above) wherever the tensor cannot be negative.

    Args:
        inputs: names of the model's inputs that cannot.
    """
    tensors = {tensor.quantize: tensor for tensor in quantized_tensors(model.graph) if _symmetric_int8(tensor)}
    positive = _non_negative(model.graph, inputs)
    unsigned = [node for node in tensors if node.inputs[0] in positive]
    refinable = set(unsigned)
    links = tuple(_same_scale_links(model.graph, tensors))
    while broken := {node for pair in links for node in pair if len(refinable.intersection(pair)) == 1} & refinable:
        refinable -= broken
    changes = []
    for node in unsigned:
        tensor, steps = tensors[node], 2 if node in refinable else 1
        tensor.set_grid(model.graph, np.float32(tensor.scale / steps), np.int8(-128))
        changes.append(Change("refine_non_negative", value_name(tensor.value), f"zero point -128, scale {tensor.scale:.6g} / {steps}"))
    return tuple(changes)


def _symmetric_int8(tensor: QuantizedTensor) -> bool:
    return tensor.zero_point.dtype == np.int8 and tensor.zero_point == 0


def _selects(node: ir.Node) -> bool:
    attribute = node.attributes.get("mode")
    mode = attribute.as_string() if attribute is not None and node.op_type in ("Resize", "Pad") else ""
    if node.op_type == "Resize":
        return mode != "cubic"  # a cubic filter overshoots
    if node.op_type == "Pad" and mode in ("", "constant") and len(node.inputs) > 2 and node.inputs[2] is not None:
        value = constant(node.inputs[2])
        return value is not None and not value.any()
    return node.op_type in SELECTING or node.op_type in JOINING


def _data_inputs(node: ir.Node) -> tuple[ir.Value | None, ...]:
    every_input = node.op_type in JOINING or node.op_type in ("Add", "Mul")
    return tuple(node.inputs) if every_input else tuple(node.inputs[:1])


def _non_negative(graph: ir.Graph, inputs: Collection[str]) -> set[ir.Value | None]:
    """Float values that can have no negative element, whatever the other inputs of the graph."""
    found: set[ir.Value | None] = {value for value in graph.inputs if value.name in inputs}
    integers: set[ir.Value | None] = set()
    for node in graph:
        data = _data_inputs(node)
        keeps_sign = _selects(node) or node.op_type in KEEPING_SIGN
        if node.op_type in NEVER_NEGATIVE or (keeps_sign and all(value in found for value in data)):
            found.update(node.outputs)
        elif node.op_type == QUANTIZE and data[0] in found:
            integers.add(node.outputs[0])
        elif node.op_type == DEQUANTIZE and data[0] in integers:
            found.update(node.outputs)
    return found


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
    elif _selects(producer):
        for data in _data_inputs(producer):
            yield from _sources(data)
