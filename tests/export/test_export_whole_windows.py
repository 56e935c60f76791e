"""Average pooling is of whole windows, with a factor where a window was cut off or divided by something else."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional

from instantstyle.capture.normalization.normalize import normalize


class Pooled(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, **self.options) + 1


def normal(module: nn.Module, x: Tensor) -> GraphModule:
    captured = torch.export.export(module.eval(), (x,), strict=False).module(check_guards=False)
    assert isinstance(captured, GraphModule)
    return normalize(captured, (x,))


POOLING: dict[str, dict[str, Any]] = {
    "a divisor of its own": {"kernel_size": (3, 2), "stride": 1, "padding": 1, "divisor_override": 5},
    "windows over the edge": {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    "over one edge": {"kernel_size": (3, 2), "stride": (2, 2), "ceil_mode": True},
    "over no edge": {"kernel_size": (3, 2), "stride": (3, 2), "ceil_mode": True},
    "over the edge and the padding": {"kernel_size": 4, "stride": 3, "padding": 1, "ceil_mode": True},
    "padding that does not count": {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True, "count_include_pad": False},
    "both": {"kernel_size": (3, 2), "stride": 2, "padding": 1, "ceil_mode": True, "divisor_override": 5},
}


@pytest.mark.parametrize("name", POOLING)
def test_what_is_not_a_mean_of_whole_windows_gets_a_factor(name: str) -> None:
    x = torch.rand(1, 4, 9, 8, generator=torch.Generator().manual_seed(0))
    module = Pooled(**POOLING[name])
    found = normal(module, x)
    pools = [node for node in found.graph.nodes if node.target is torch.ops.aten.avg_pool2d.default]
    assert [node.args[4:] for node in pools] == [(False, True)]
    torch.testing.assert_close(found(x), module(x))


def test_other_pooling_stays() -> None:
    x = torch.rand(1, 4, 9, 8)
    found = normal(Pooled(kernel_size=3, stride=2, count_include_pad=False), x)
    assert len([node for node in found.graph.nodes if node.op == "call_function"]) == 2
