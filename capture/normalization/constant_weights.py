"""Weights that a forward computes from parameters alone (a scaled, standardised or normalised weight) become parameters.

Only a plain parameter can be quantised per channel, folded with a batch norm and stored as int8.
"""

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from ..program import module_path
from .nodes import CONVOLUTIONS, LINEAR, calls, is_random, mutates, new_parameter, tensor_of


def fold_constant_weights(module: GraphModule) -> None:
    """Computes the weights and biases of convolutions and linear layers that no input has a part in."""
    known: dict[Node, bool] = {}
    for node in calls(module, {*CONVOLUTIONS, LINEAR}):
        for position, name in ((1, "weight"), (2, "bias")):
            source = node.args[position] if position < len(node.args) else None
            if isinstance(source, Node) and source.op != "get_attr" and _is_constant(source, known):
                path = module_path(node)
                value = _compute(module, source)
                made = new_parameter(module, source, f"{path}.{name}" if path else f"{node.name}_{name}", value)
                known[made] = True
                source.replace_all_uses_with(made)
    module.graph.eliminate_dead_code()


def _is_constant(node: Node, known: dict[Node, bool]) -> bool:
    """Whether a value depends on no input, and nothing changes it in place."""
    if node not in known:
        pure = node.op == "get_attr" or (node.op == "call_function" and not mutates(node) and not is_random(node))
        known[node] = pure and not any(map(mutates, node.users)) and all(_is_constant(source, known) for source in node.all_input_nodes)
    return known[node]


@torch.no_grad()
def _compute(module: GraphModule, node: Node) -> torch.Tensor:
    if node.op == "get_attr":
        return tensor_of(module, node)
    args, kwargs = map_arg((node.args, node.kwargs), lambda source: _compute(module, source))
    return node.target(*args, **kwargs)  # type: ignore[operator]
