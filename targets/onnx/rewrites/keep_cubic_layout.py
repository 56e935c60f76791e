"""Keeps cubic resizing on channels-first data, the only one that ONNX Runtime has it for.

Its optimiser moves Transpose nodes past a Resize where they then have less to move, and such nodes stand around every convolution
on int8, which runs channels-last. The cubic Resize between two of them then fails when it runs. It does not move them past a
Reshape, and channels may be samples to a Resize.

Requires: images with one sample, of known size.
Ensures: Reshape (C, 1, H, W), Resize, Reshape back: the same numbers.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from .contract import Change, rewrite
from .graph import initializer, insert_after, value_name


@rewrite()
def keep_cubic_layout(model: ir.Model) -> tuple[Change, ...]:
    """Resize -> Reshape, Resize, Reshape."""
    changes: list[Change] = []
    for node in tuple(model.graph):
        before, after = _shape(node.inputs[0] if node.inputs else None), _shape(node.outputs[0])
        if _is_cubic(node) and before is not None and after is not None and before[:2] == after[:2]:
            changes.append(_isolate(model.graph, node, before, after))
    return tuple(changes)


def _is_cubic(node: ir.Node) -> bool:
    mode = node.attributes.get("mode") if node.op_type == "Resize" else None
    return mode is not None and mode.as_string() == "cubic" and "axes" not in node.attributes


def _shape(value: ir.Value | None) -> tuple[int, int, int, int] | None:
    """Of one sample with channels, height and width."""
    sides = tuple(value.shape) if value is not None and value.shape is not None else ()
    return sides if len(sides) == 4 and sides[0] == 1 and all(isinstance(side, int) for side in sides) else None  # type: ignore[return-value]


def _isolate(graph: ir.Graph, node: ir.Node, before: Sequence[int], after: Sequence[int]) -> Change:
    output, name = node.outputs[0], value_name(node.outputs[0])
    turned = _reshape(graph, node.inputs[0], f"{name}.source", (before[1], 1, *before[2:]))
    graph.insert_before(node, turned)
    node.replace_input_with(0, turned.outputs[0])
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        node.replace_input_with(3, initializer(graph, f"{name}.sizes", np.array((after[1], 1, *after[2:]), np.int64)))
    back = _reshape(graph, output, name, after)
    back.outputs[0].type = output.type
    output.name, output.shape = f"{name}.cubic", ir.Shape((after[1], 1, *after[2:]))
    insert_after(output, back)
    for index, value in enumerate(graph.outputs):
        if value is output:
            graph.outputs[index] = back.outputs[0]
    return Change("keep_cubic_layout", name, f"{before[1]} channels as samples")


def _reshape(graph: ir.Graph, value: ir.Value | None, name: str, shape: Sequence[int]) -> ir.Node:
    node = ir.node("Reshape", [value, initializer(graph, f"{name}.shape", np.array(shape, np.int64))], name=f"{name}.reshape")
    node.outputs[0].name, node.outputs[0].shape = name, ir.Shape(shape)
    return node
