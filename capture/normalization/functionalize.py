"""Changes in place become new values: what quantises a graph gives every reader a copy of its own, and a change would be lost.

An operator that changes a value nobody reads afterwards becomes its counterpart that returns a new one. Where views are
involved, the whole graph goes through PyTorch's functionalisation, which also builds in what depends on height and width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from .nodes import calls, mutates, replace

aten = torch.ops.aten


def functionalize(module: GraphModule, inputs: Sequence[Tensor]) -> GraphModule:
    """The same function without changes in place; what it left behind in buffers and inputs is dropped.

    Args:
        inputs: of the shapes that the graph was captured with.
    """
    for node in [node for node in module.graph.nodes if mutates(node)]:
        target = _counterpart(node.target)
        if target is not None and _is_last_reader(node):
            node.target = target
    if any(map(mutates, module.graph.nodes)):
        with torch.no_grad():
            captured = torch.export.export(module, tuple(inputs), strict=False)
            module = captured.run_decompositions({}).module(check_guards=False)  # type: ignore[assignment]
        for node in calls(module, (aten.copy_.default,)):
            # How PyTorch writes back what the graph changed: a buffer or an input. An artifact keeps nothing between two runs.
            module.graph.erase_node(node)
        for node in calls(module, (aten.alias.default,)):
            replace(node, node.all_input_nodes[0])
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _counterpart(target: Any) -> Any:
    """``relu.default`` of ``relu_.default``; None if there is none."""
    name = target._schema.name.removeprefix("aten::")
    found = getattr(getattr(aten, name.removesuffix("_"), None), target._overloadname, None) if name.endswith("_") else None
    if found is None or found._schema.is_mutable:
        return None
    declared, wanted = ([(each.name, str(each.type)) for each in operator._schema.arguments] for operator in (found, target))
    return found if declared == wanted else None


def _is_last_reader(node: Node) -> bool:
    """Whether nothing that is read after ``node`` shares memory with what it changes."""
    changed = node.args[0]
    if not isinstance(changed, Node) or changed.op != "call_function" or _may_alias(changed):
        return False
    order = {each: position for position, each in enumerate(node.graph.nodes)}
    others = [user for user in changed.users if user is not node]
    return all(order[user] < order[node] and not _may_alias(user) for user in others)


def _may_alias(node: Node) -> bool:
    """Whether a value may share memory with an argument of its operator."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return True
    returns = node.target._schema.returns
    return torch.Tag.maybe_aliasing_or_mutating in node.target.tags or any(value.alias_info is not None for value in returns)
