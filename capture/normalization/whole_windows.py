"""Average pooling whose last windows reach over the edge, or whose divisor is not its window, as pooling of whole windows and a factor.

ONNX Runtime's int8 kernel divides what is left of a window by the whole (6% of a net's signal were lost where quantisation cost
0.06%), and exporters pass over ``divisor_override``.
"""

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from .nodes import argument, call_before, calls, new_parameter, replace, shape_of

aten = torch.ops.aten


def pool_whole_windows(module: GraphModule) -> None:
    """Writes out ``ceil_mode`` and ``divisor_override`` of two-dimensional average pooling."""
    for node in calls(module, (aten.avg_pool2d.default,)):
        if not argument(node, "ceil_mode") and argument(node, "divisor_override") is None:
            continue
        source = node.args[0]
        assert isinstance(source, Node)
        kernel, padding = _pair(node, "kernel_size"), _pair(node, "padding")
        stride = _pair(node, "stride") or kernel
        size, wanted = shape_of(source)[-2:], shape_of(node)[-2:]
        beyond = [max(0, (w - 1) * s + k - n - 2 * p) for w, s, k, n, p in zip(wanted, stride, kernel, size, padding, strict=True)]
        factors = _factors(node, size, beyond, (kernel, stride, padding))
        if any(beyond):
            source = call_before(node, aten.pad.default, (source, [0, beyond[1], 0, beyond[0]]))
            source.meta["val"] = aten.pad.default(node.args[0].meta["val"], [0, beyond[1], 0, beyond[0]])  # type: ignore[union-attr]
        made = call_before(node, aten.avg_pool2d.default, (source, kernel, stride, padding, False, True))
        first = float(factors.flatten()[0])
        if not torch.allclose(factors, torch.full_like(factors, first)):
            made = call_before(node, aten.mul.Tensor, (made, new_parameter(module, node, f"{node.name}_windows", factors, trainable=False)))
        elif abs(first - 1) > 1e-6:
            made = call_before(node, aten.mul.Tensor, (made, first))
        made.meta = dict(node.meta)
        replace(node, made)
    module.recompile()


def _pair(node: Node, name: str) -> list[int]:
    numbers = list(argument(node, name))
    return numbers * 2 if len(numbers) == 1 else numbers


def _factors(node: Node, size: tuple[int, ...], beyond: list[int], window: tuple[list[int], list[int], list[int]]) -> Tensor:
    """(1, 1, H, W) of the result: the window's size over the divisor, as the operator itself has them of ones."""
    ones = torch.ones(1, 1, *size)
    rest = {"ceil_mode", "count_include_pad", "divisor_override"}
    wanted = aten.avg_pool2d.default(ones, *window, **{name: argument(node, name) for name in rest})
    return wanted / aten.avg_pool2d.default(torch.nn.functional.pad(ones, (0, beyond[1], 0, beyond[0])), *window)
