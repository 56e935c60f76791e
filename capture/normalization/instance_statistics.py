"""Norms whose statistics are not where their name says.

A batch norm with the statistics of its batch is an instance norm, because artifacts take one sample at a time. An
instance norm with running statistics is a batch norm; converters ignore its flag.
"""

import torch
from torch.fx import GraphModule

from ...system.errors import CaptureError
from ..program import module_path
from .nodes import argument, call_before, calls, origin, replace, set_origin, shape_of

aten = torch.ops.aten
BATCH_NORM, INSTANCE_NORM = aten.batch_norm.default, aten.instance_norm.default


def place_statistics(module: GraphModule) -> None:
    """After it a batch norm has running statistics, and an instance norm has none.

    Raises:
        CaptureError: a batch norm over a batch of vectors, whose statistics one sample does not have; names its module.
    """
    for node in calls(module, (BATCH_NORM, INSTANCE_NORM)):
        source, weight, bias, mean, variance, of_input, momentum, eps, cudnn = node.args
        wanted, statistics = (INSTANCE_NORM, (None, None)) if of_input else (BATCH_NORM, (mean, variance))
        if node.target is wanted and (argument(node, "running_mean"), argument(node, "running_var")) == statistics:
            continue
        if of_input and len(shape_of(node)) < 3:
            raise CaptureError(
                f"module '{module_path(node)}' normalises vectors by the statistics of their batch, which one sample does not have; "
                "give the batch norm running statistics (track_running_stats=True) and put it into eval mode"
            )
        made = call_before(node, wanted, (source, weight, bias, *statistics, of_input, momentum, eps, cudnn))
        set_origin(made, origin(node))
        replace(node, made)
