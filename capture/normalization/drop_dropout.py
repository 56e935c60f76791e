"""Dropout of a model in eval mode does nothing, and is taken out."""

import torch
from torch.fx import GraphModule

from ...system.errors import CaptureError
from ..program import module_path
from .nodes import argument, calls, replace

aten = torch.ops.aten
DROPOUTS = (aten.dropout.default, aten.feature_dropout.default, aten.alpha_dropout.default, aten.feature_alpha_dropout.default)


def drop_dropout(module: GraphModule) -> None:
    """Takes dropout out.

    Raises:
        CaptureError: one draws random numbers although the model is in eval mode; names its module.
    """
    for node in calls(module, DROPOUTS):
        if argument(node, "train") and argument(node, "p") > 0:
            raise CaptureError(
                f"module '{module_path(node)}' drops values at random in eval mode, so that no two runs agree; "
                "pass training=self.training to functional.dropout, or use nn.Dropout"
            )
        replace(node, node.all_input_nodes[0])
