"""Gives activations that cannot be negative all 256 levels: int8 with scale s becomes uint8 with scale s / 2.

Requires: symmetric int8 activations (zero point 0), as the quantised program has them.
Ensures: every level that such a tensor could have is a level still and there is one more between each two. Tensors that pass values
on to each other unchanged are refined together or not at all: rounded to the fine grid first and to the coarse one after, a value can
end a step away.

Which tensors they are is said in ``non_negative.py``, for ONNX graphs too.
"""

from collections.abc import Iterator

import torch
from torch.fx import GraphModule, Node

from ..capture.program import operator_name
from .non_negative import OF_ATEN, Effect, non_negative, together

aten = torch.ops.aten
QUANTIZE, DEQUANTIZE = "quantize_per_tensor", "dequantize_per_tensor"


def unsigned_activations(module: GraphModule) -> int:
    """Changes the graph in place; how many tensors were refined."""
    quantizers = [node for node in module.graph.nodes if _is(node, QUANTIZE) and _symmetric(node)]
    positive = non_negative(module.graph.nodes, _effect, lambda node: node.all_input_nodes, lambda node: (node,))
    links = [(node, passed) for node in quantizers for passed in _passed_to(node) if node.args[1] == passed.args[1]]
    refined = together((node for node in quantizers if node.all_input_nodes[0] in positive), links)
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


def _effect(node: Node) -> Effect:
    known = node.op == "call_function" and not _has_negative_number(node)
    return OF_ATEN.get(operator_name(node), Effect.UNKNOWN) if known else Effect.UNKNOWN


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
            elif _effect(user) is Effect.SELECTS and user not in seen:
                seen.add(user)
                waiting.append(user)
