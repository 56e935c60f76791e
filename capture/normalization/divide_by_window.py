"""Average pooling whose divisor is not its window: exporters pass over ``divisor_override``, so it becomes a factor behind the pooling."""

import torch
from torch.fx import GraphModule

from ...system.errors import CaptureError
from ..program import module_path
from .nodes import argument, calls, set_origin

aten = torch.ops.aten


def divide_by_window(module: GraphModule) -> None:
    """Writes out ``divisor_override``: the mean over the whole window, padding included, times window / divisor.

    Raises:
        CaptureError: with ``ceil_mode`` windows are cut off at the edge, and no one factor says by how much; names the module.
    """
    for node in calls(module, (aten.avg_pool2d.default,)):
        divisor = argument(node, "divisor_override")
        if divisor is None:
            continue
        if argument(node, "ceil_mode"):
            raise CaptureError(
                f"module '{module_path(node)}' pools with divisor_override and ceil_mode, which no exporter has; pad instead"
            )
        kernel = list(argument(node, "kernel_size"))
        area = kernel[0] * kernel[-1]
        readers = list(node.users)
        strides, padding = argument(node, "stride") or kernel, argument(node, "padding")
        node.args, node.kwargs = (node.args[0], kernel, list(strides), padding, False, True), {}
        with module.graph.inserting_after(node):
            scaled = module.graph.call_function(aten.mul.Tensor, (node, area / divisor))
        scaled.meta = dict(node.meta)
        set_origin(node, None)
        for reader in readers:
            reader.replace_input_with(node, scaled)
    module.recompile()
