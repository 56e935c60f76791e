"""Gives activations that cannot be negative all 256 levels: int8 with scale s becomes uint8 with scale s / 2.

Requires: symmetric int8 activations (zero point 0), as the quantised program has them.
Ensures: every level that such a tensor could have is a level still and there is one more between each two. Tensors that pass values
on to each other unchanged are refined together or not at all: rounded to the fine grid first and to the coarse one after, a value can
end a step away.

The same idea as ``targets/onnx/rewrites/refine_non_negative.py``, on the captured program instead of an ONNX graph.
"""

from collections.abc import Iterator

import torch
from torch.fx import GraphModule, Node

aten = torch.ops.aten
NEVER_NEGATIVE = {aten.relu.default, aten.relu_.default, aten.sigmoid.default, aten.softmax.int, aten.sqrt.default, aten.abs.default}
# Their outputs are values of their inputs, or lie between them.
SELECTING = {
    aten.max_pool2d.default,
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
    aten.slice.Tensor,
    aten.reshape.default,
    aten.view.default,
    aten.flatten.using_ints,
    aten.clone.default,
    aten.upsample_nearest2d.vec,
    aten.upsample_nearest2d.default,
    aten.upsample_bilinear2d.vec,
    aten.upsample_bilinear2d.default,
    aten.reflection_pad2d.default,
    aten.pad.default,
    aten.cat.default,
}
# Not negative if no input is.
KEEPING_SIGN = {aten.avg_pool2d.default, aten.adaptive_avg_pool2d.default, aten.mean.dim, aten.add.Tensor, aten.mul.Tensor}
QUANTIZE, DEQUANTIZE = "quantize_per_tensor", "dequantize_per_tensor"


def unsigned_activations(module: GraphModule) -> int:
    """Changes the graph in place; how many tensors were refined."""
    quantizers = [node for node in module.graph.nodes if _is(node, QUANTIZE) and _symmetric(node)]
    positive = _non_negative(module)
    refined = {node for node in quantizers if node.all_input_nodes[0] in positive}
    while broken := {node for node in refined if any(target not in refined for target in _passed_to(node))}:
        refined -= broken
    for node in refined:
        for each in (node, *node.users):
            scale = each.args[1]
            assert isinstance(scale, float)
            each.args = (each.args[0], scale / 2, 0, 0, 255, torch.uint8)
    module.recompile()
    return len(refined)


def _is(node: Node, name: str) -> bool:
    return node.op == "call_function" and str(node.target) == f"quantized_decomposed.{name}.default"


def _symmetric(node: Node) -> bool:
    return (node.args[2], node.args[5]) == (0, torch.int8) and all(_is(user, DEQUANTIZE) for user in node.users)


def _non_negative(module: GraphModule) -> set[Node]:
    found: set[Node] = set()
    for node in module.graph.nodes:
        inputs = node.all_input_nodes
        carries = _is(node, QUANTIZE) or _is(node, DEQUANTIZE) or node.target in SELECTING or node.target in KEEPING_SIGN
        if node.target in NEVER_NEGATIVE or (carries and inputs and not _has_negative_number(node) and found.issuperset(inputs)):
            found.add(node)
    return found


def _has_negative_number(node: Node) -> bool:
    """Whether a sum or product is with a number, which may be negative, or a padding fills with a negative one."""
    if node.target is aten.pad.default:
        filling = node.args[3] if len(node.args) > 3 else None
        return isinstance(filling, (int, float)) and filling < 0
    return node.target in (aten.add.Tensor, aten.mul.Tensor) and (len(node.all_input_nodes) != len(node.args) or bool(node.kwargs))


def _passed_to(node: Node) -> Iterator[Node]:
    """The quantisers that a quantiser's values reach unchanged."""
    waiting = [user for user in node.users if _is(user, DEQUANTIZE)]
    seen = set(waiting)
    while waiting:
        for user in waiting.pop().users:
            if _is(user, QUANTIZE):
                yield user
            elif user.target in SELECTING and user not in seen:
                seen.add(user)
                waiting.append(user)
