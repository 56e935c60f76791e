"""What cannot be captured: the user's own line, and what to do about it. And what must not break a capture."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from instantstyle.capture.trace import capture_float, trace
from instantstyle.model.graph import single_graph
from instantstyle.system.errors import CaptureError


class Net(nn.Module):
    def __init__(self, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.compute = nn.Conv2d(3, 3, 3, padding=1), compute

    def forward(self, image: Tensor) -> Tensor:
        return self.compute(self.first(image))


def gradient(x: Tensor) -> Tensor:
    given = x.detach().requires_grad_()
    return torch.autograd.grad((given * given).sum(), given)[0]


UNCAPTURABLE: dict[str, tuple[Callable[[Tensor], Tensor], str, str]] = {
    "a branch": (lambda x: x if x.mean() > 0 else -x, "x if x.mean", "torch.where for if"),
    "a number": (lambda x: x / float(x.std()), "x / float", "no .item"),
    "NumPy": (lambda x: torch.as_tensor(np.clip(x, 0, 1)), "np.clip", "no NumPy"),
    "a tensor of numbers": (lambda x: x * torch.tensor([x.mean(), x.std()]).sum(), "torch.tensor", "no new tensor made of numbers"),
    "a gradient": (gradient, "autograd.grad", "write out what autograd computes"),
}


@pytest.mark.parametrize("name", UNCAPTURABLE)
def test_the_line_is_named_with_advice_that_fits(name: str) -> None:
    compute, line, advice = UNCAPTURABLE[name]
    with pytest.raises(CaptureError) as found:
        trace(single_graph(Net(compute).eval()).graphs[0], (16, 16))
    where, *rest = str(found.value).splitlines()
    assert f"{__file__}, line" in where and line in where
    assert advice in rest[-1]


def test_a_grid_that_is_kept_for_each_size_stays_a_tensor() -> None:
    grids: dict[str, Tensor] = {}

    def shifted(x: Tensor) -> Tensor:
        if str(x.shape) not in grids:
            grids[str(x.shape)] = torch.linspace(-1, 1, x.shape[3]).expand(x.shape)
        return x + grids[str(x.shape)]

    net = Net(shifted).eval()
    for size, batch in (((16, 16), 1), ((16, 24), 1), ((16, 16), 2)):
        program = capture_float(single_graph(net).graphs[0], size, batch)
        image = torch.rand(batch, 3, *size)
        with torch.no_grad():
            assert torch.equal(program.module()(image), net(image))
