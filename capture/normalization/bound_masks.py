"""Attention masks of -1e9 become -1e4: float16 ends at 65504, and a softmax makes the same of both.

Powers of e below -104 are 0 in float32, so that a masked score is as far away at -1e4 as at -1e9. Where that is not so (rows that are
masked as a whole, to which scores are added) the graph stays as it is.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ..program import operator_name
from .nodes import argument, copied, new_parameter, set_origin, tensor_of

BOUND = 1e4
RELATIVE = 1e-6

aten = torch.ops.aten
SOFTMAXES = (aten.softmax.int, aten._softmax.default)
# They pass values on, or add scores to them.
ON_THE_WAY = frozenset(
    ("add", "sub", "masked_fill", "where", "fill", "copy", "cat", "stack", "slice_scatter", "select_scatter")
    + ("view", "_unsafe_view", "reshape", "flatten", "unflatten", "permute", "transpose", "unsqueeze", "squeeze", "expand", "repeat")
    + ("slice", "select", "clone", "contiguous", "to", "_to_copy", "type_as", "alias", "lift_fresh_copy", "detach", "detach_")
)  # fmt: skip
# The number that an operator puts into its result. A factor counts only beside what no input has a part in.
NUMBERS = {"full": "fill_value", "full_like": "fill_value", "new_full": "fill_value", "scalar_tensor": "s"} | {
    "masked_fill": "value", "fill": "value", "where": "other", "mul": "other",
}  # fmt: skip


def bound_masks(module: GraphModule, inputs: Sequence[Tensor]) -> GraphModule:
    """The same function with all finite numbers that softmax alone reads between -1e4 and 1e4. Requires a graph without changes in place.

    Args:
        inputs: of the shapes that the graph was captured with.
    """
    if not any(_number(node) or _is_too_large(module, node) for node in _read_by_softmax_alone(module)):
        return module
    bounded = copied(module)
    for node in _read_by_softmax_alone(bounded):
        name = _number(node)
        if _is_too_large(bounded, node):
            value = tensor_of(bounded, node)
            value = torch.where(value.isfinite(), value.clamp(-BOUND, BOUND), value)
            node.replace_all_uses_with(new_parameter(bounded, node, f"{node.name}_bounded", value, trainable=False))
        elif name is not None:
            _set_argument(node, name, max(-BOUND, min(BOUND, argument(node, name))))
        if operator_name(node) in ON_THE_WAY or name is not None:
            set_origin(node, None)
    bounded.graph.eliminate_dead_code()
    bounded.recompile()
    return bounded if _agree(bounded, module, inputs) else module


def _read_by_softmax_alone(module: GraphModule) -> list[Node]:
    """Values that go nowhere but into softmax, on ways that keep them; in order."""
    found: set[Node] = set()
    for node in reversed(module.graph.nodes):
        if node.users and node.op in ("call_function", "get_attr") and all(_is_read(node, user, found) for user in node.users):
            found.add(node)
    return [node for node in module.graph.nodes if node in found]


def _is_read(node: Node, user: Node, found: set[Node]) -> bool:
    if user.target in SOFTMAXES:
        return True
    if user.target is aten.scaled_dot_product_attention.default:
        return argument(user, "attn_mask") is node and node not in user.args[:3]
    return user in found and operator_name(user) in ON_THE_WAY


def _number(node: Node) -> str | None:
    """The argument that is a finite number beyond the bounds."""
    name = NUMBERS.get(operator_name(node)) if isinstance(node.target, torch._ops.OpOverload) else None
    if name is None or not any(each.name == name for each in node.target._schema.arguments):  # type: ignore[union-attr]
        return None
    value = argument(node, name)
    if not isinstance(value, (int, float)) or not BOUND < abs(value) < float("inf"):
        return None
    return None if operator_name(node) == "mul" and _depends_on_inputs(node) else name


def _depends_on_inputs(node: Node) -> bool:
    seen, waiting = {node}, [node]
    while waiting:
        sources = set(waiting.pop().all_input_nodes) - seen
        seen |= sources
        waiting += sources
    return any(each.op == "placeholder" for each in seen)


def _is_too_large(module: GraphModule, node: Node) -> bool:
    if node.op != "get_attr":
        return False
    value = tensor_of(module, node)
    return bool(value.is_floating_point() and (value.isfinite() & (value.abs() > BOUND)).any())


def _set_argument(node: Node, name: str, value: Any) -> None:
    names = [each.name for each in node.target._schema.arguments]  # type: ignore[union-attr]
    if names.index(name) < len(node.args):
        node.update_arg(names.index(name), value)
    else:
        node.update_kwarg(name, value)


@torch.no_grad()
def _agree(one: GraphModule, other: GraphModule, inputs: Sequence[Tensor]) -> bool:
    """Whether both make the same of noise around ``inputs``."""
    generator = torch.Generator().manual_seed(0)
    noise = [value + torch.rand(value.shape, generator=generator) - 0.5 for value in inputs]
    results = (_results(module(*(value.clone() for value in noise))) for module in (one, other))
    return all(float((mine - theirs).abs().max()) <= RELATIVE * float(theirs.abs().max()) for mine, theirs in zip(*results, strict=True))


def _results(result: Any) -> Sequence[Tensor]:
    return (result,) if isinstance(result, Tensor) else result
