"""Equal calls on equal arguments become one: runtimes merge them, and convolutions are to be counted as they run."""

from typing import Any

import torch
from torch.fx import GraphModule, Node

from .nodes import is_random, mutates, tensor_of


def merge_equal_calls(module: GraphModule) -> None:
    """Lets readers of a repeated call read the first. Requires a graph without changes in place."""
    first: dict[Any, Node] = {}
    for node in list(module.graph.nodes):
        key = _key(module, node)
        if key is None:
            continue
        if key in first:
            node.replace_all_uses_with(first[key])
            module.graph.erase_node(node)
        else:
            first[key] = node
    module.recompile()


def _key(module: GraphModule, node: Node) -> Any:
    """What a node computes; None if two that look the same may differ."""
    if node.op == "get_attr":
        return "get_attr", id(tensor_of(module, node))
    if node.op != "call_function" or mutates(node) or is_random(node):
        return None
    return node.target, _frozen(node.args), _frozen(sorted(node.kwargs.items()))


def _frozen(value: Any) -> Any:
    """An argument as something hashable; 1, 1.0 and True are three arguments."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    return value if isinstance(value, Node) else (type(value), repr(value) if isinstance(value, (slice, torch.Tensor)) else value)
