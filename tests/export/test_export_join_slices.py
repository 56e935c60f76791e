"""Writing into slices: joined, not scattered."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from instantstyle.capture.trace import capture_float
from instantstyle.model.graph import single_graph

SIZE = (12, 16)


class Net(nn.Module):
    def __init__(self, change: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.first, self.last, self.change = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1), change

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        self.change(x)
        return self.last(x)


def assigned(*index: slice | int | type(...)) -> Callable[[Tensor], None]:  # type: ignore[valid-type]
    def change(x: Tensor) -> None:
        x[index] = x[index].clamp(0, 0.5) * 2

    return change


def twice(x: Tensor) -> None:
    x[:, :4] *= 0.5
    x[:, 2:6].add_(1)


CHANGES: dict[str, Callable[[Tensor], None]] = {
    "first": assigned(slice(None), slice(None, 3)),
    "last": assigned(slice(None), slice(-2, None)),
    "inside": assigned(..., slice(3, -4), slice(None)),
    "one": assigned(..., -1),
    "one in the middle": assigned(slice(None), 3),
    "a box": assigned(slice(None), slice(1, 4), slice(2, 5), slice(0, 7)),
    "all": assigned(slice(None), slice(None)),
    "nothing": assigned(slice(None), slice(3, 3)),
    "twice": twice,
}


@pytest.mark.parametrize("name", CHANGES)
def test_slices_are_joined(name: str) -> None:
    torch.manual_seed(0)
    net = Net(CHANGES[name]).eval()
    program = capture_float(single_graph(net).graphs[0], SIZE)
    assert not [node.name for node in program.graph.nodes if "scatter" in node.name or "index" in node.name]
    image = torch.rand(1, 3, *SIZE)
    with torch.no_grad():
        assert torch.equal(program.module()(image), net(image))


def test_every_second_row_is_scattered() -> None:
    net = Net(assigned(..., slice(None, None, 2), slice(None))).eval()
    program = capture_float(single_graph(net).graphs[0], SIZE)
    assert any("scatter" in node.name for node in program.graph.nodes)
    image = torch.rand(1, 3, *SIZE)
    with torch.no_grad():
        assert torch.equal(program.module()(image), net(image))
