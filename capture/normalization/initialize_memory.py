"""Memory that nobody wrote to becomes zeros, so that every run and every artifact agrees on what a model then fills it with."""

from typing import Any

import torch
from torch.fx import GraphModule

from .nodes import calls, set_origin

aten = torch.ops.aten
ZEROS: dict[Any, Any] = {
    aten.empty.memory_format: aten.zeros.default,
    aten.empty_like.default: aten.zeros_like.default,
    aten.new_empty.default: aten.new_zeros.default,
}


def initialize_memory(module: GraphModule) -> None:
    """Replaces ``empty`` and its like. Their own values were anything, so that the zeros have no origin."""
    for node in calls(module, ZEROS):
        zeros = ZEROS[node.target]
        accepted = {argument.name for argument in zeros._schema.arguments}
        node.target = zeros
        node.kwargs = {key: value for key, value in node.kwargs.items() if key in accepted}
        set_origin(node, None)
