"""Writing into a slice becomes joining what is left of it with the new values.

Exporters write it as scattering to places, with a table of as many places as there are values: 100 kB for a row of a picture of
64x64, and megabytes at 512x512.
"""

from typing import Any

import torch
from torch.fx import GraphModule, Node

from .nodes import argument, call_before, calls, replace, shape_of

aten = torch.ops.aten


def join_slices(module: GraphModule) -> None:
    """Rewrites ``slice_scatter`` without steps and ``select_scatter``. Requires a graph without changes in place."""
    for node in calls(module, (aten.slice_scatter.default, aten.select_scatter.default)):
        whole, written = node.args[0], node.args[1]
        assert isinstance(whole, Node) and isinstance(written, Node)
        axis = argument(node, "dim") % len(shape_of(node))
        length = shape_of(node)[axis]
        if node.target is aten.select_scatter.default:
            start = argument(node, "index") % length
            end = start + 1
            written = _call(node, aten.unsqueeze.default, written, axis)
        elif argument(node, "step") == 1:
            start, end, _ = slice(argument(node, "start"), argument(node, "end")).indices(length)
        else:
            continue
        before = [_call(node, aten.slice.Tensor, whole, axis, 0, start)] if start > 0 else []
        after = [_call(node, aten.slice.Tensor, whole, axis, end, length)] if end < length else []
        if end <= start:
            replace(node, whole)
        elif not before and not after:
            replace(node, written)
        else:
            made = call_before(node, aten.cat.default, ([*before, written, *after], axis))
            made.meta = dict(node.meta)
            replace(node, made)
    module.graph.eliminate_dead_code()
    module.recompile()


def _call(node: Node, target: Any, source: Node, *numbers: int) -> Node:
    """A call that makes something of another shape than ``node`` has."""
    made = call_before(node, target, (source, *numbers))
    made.meta["val"] = target(source.meta["val"], *numbers)
    return made
