import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional

from instantstyle.capture.normalization.normalize import normalize
from instantstyle.system.errors import CaptureError


class Pooled(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, (3, 2), 1, 1, divisor_override=5, **self.options) + 1  # type: ignore[arg-type]


def normal(module: nn.Module, x: Tensor) -> GraphModule:
    captured = torch.export.export(module.eval(), (x,), strict=False).module(check_guards=False)
    assert isinstance(captured, GraphModule)
    return normalize(captured, (x,))


def test_a_divisor_of_its_own_becomes_a_factor() -> None:
    x = torch.rand(1, 4, 9, 8, generator=torch.Generator().manual_seed(0))
    found = normal(Pooled(), x)
    assert all(None in node.args[6:] or len(node.args) < 7 for node in found.graph.nodes if "avg_pool2d" in str(node.target))
    torch.testing.assert_close(found(x), Pooled()(x))


def test_with_ceil_mode_it_is_refused() -> None:
    with pytest.raises(CaptureError, match="divisor_override and ceil_mode"):
        normal(Pooled(ceil_mode=True), torch.rand(1, 4, 9, 8))
