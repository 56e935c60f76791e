"""A split of channels becomes slices: operators of one value, through which quantisation, rewrites and targets can pass integers."""

import operator
from itertools import accumulate
from typing import Any

import torch
from torch.fx import GraphModule

from .nodes import argument, call_before, calls, origin, replace, set_origin

aten = torch.ops.aten
SPLITS = (aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default, aten.unsafe_chunk.default, aten.unsafe_split.Tensor)
CHANNELS = 1


def slice_channels(module: GraphModule) -> None:
    """Writes out splits along axis 1, whose parts do not depend on height and width; others stay."""
    for node in calls(module, SPLITS):
        source = node.args[0]
        parts: Any = node.meta["val"]
        axis = argument(node, "dim") % parts[0].dim()
        if axis != CHANNELS or not all(user.target is operator.getitem for user in node.users):
            continue
        ends = list(accumulate(int(part.shape[axis]) for part in parts))
        for part in list(node.users):
            index: Any = part.args[1]
            start, end = ends[index] - int(parts[index].shape[axis]), ends[index]
            sliced = call_before(part, aten.slice.Tensor, (source, axis, start, end))
            set_origin(sliced, origin(part))
            replace(part, sliced)
        module.graph.erase_node(node)
    module.recompile()
