"""Where an int8 program leaves float, against programs whose noise is known."""

import numpy as np
import pytest
import torch
from torch import nn

from instantstyle.capture.program import GraphProgram, Program
from instantstyle.model.graph import Graph, Model, Sample, TensorSpec
from instantstyle.validation.measure.module_losses import measure_losses
from instantstyle.validation.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Value, plot, steepest, steps
from instantstyle.validation.results.module_losses import ModuleLoss


class Chain(nn.Module):
    """Two convolutions without bias, and a branch beside them."""

    def __init__(self, first: float = 1.0, last: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.last, self.beside = (nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(3))
        self.first.weight.data *= first
        self.last.weight.data *= last

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(image)) + self.beside(image)


def test_noise_is_that_of_the_scales() -> None:
    """1.1 times too large is a noise of 0.01; 0.9 times of that is 0.99, of 0.0001. What is right has none."""
    spec = TensorSpec("image")
    result = TensorSpec("output")
    example = (torch.zeros(1, 3, 16, 16),)
    with torch.no_grad():
        whole, wrong = (torch.export.export(module.eval(), example, strict=False) for module in (Chain(), Chain(1.1, 0.9)))
    graph = GraphProgram("net", (spec,), (result,), whole, wrong, 3, 3, ())
    module = Chain().eval()
    model = Model("net", (Graph("net", module, (spec,), (result,)),), lambda runs, inputs: runs["net"](inputs)["output"], (spec,), "net")
    images = [np.random.default_rng(seed).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32) for seed in (0, 1)]
    samples = [Sample(str(index), {"image": image}) for index, image in enumerate(images)]
    found = {loss.module_path: loss for loss in measure_losses(model, Program("net", (16, 16), (graph,)), samples, lambda *given: None)}
    assert list(found) == ["first", "last", "beside"]
    assert found["first"].noise == pytest.approx(0.01, rel=1e-4) and found["first"].noise_read == 0
    assert found["last"].noise == pytest.approx(0.0001, rel=1e-2) and found["last"].noise_read == found["first"].noise
    assert found["beside"].noise == 0 and found["beside"].noise_read == 0


def test_the_modules_that_add_most_come_first() -> None:
    noises = {"a": (0.01, 0.0), "b": (0.011, 0.01), "c": (0.1, 0.011), "d": (0.05, 0.1)}
    found = steepest([ModuleLoss("net", path, noise, read) for path, (noise, read) in noises.items()])
    assert [path for path, _, _ in found] == ["c", "a", "b"]
    assert found[0][1:] == pytest.approx((19.586, 10.0), abs=1e-3) and found[1][1:] == pytest.approx((100.0, 20.0))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((0, 10), [0, 2, 4, 6, 8, 10]),
        ((0.969, 1.0), [0.96, 0.97, 0.98, 0.99, 1.0]),
        ((0, 8.83), [0, 2, 4, 6, 8, 10]),
        ((14.5, 47.9), [10, 20, 30, 40, 50]),
        ((5, 5), [5, 6]),
    ],
)
def test_axes_have_round_numbers(given: tuple[float, float], wanted: list[float]) -> None:
    assert steps(*given) == pytest.approx(wanted)


def test_marks_lie_where_their_values_are() -> None:
    values = [Value(x, y, "", "", "passed") for x, y in ((0, 0.0), (10, 1.0), (5, 0.5))]
    marks = plot(values, "x", "y", (0.0, 1.0)).marks
    left, right, low, high = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    assert [mark.x for mark in marks] == pytest.approx([left, right, (left + right) / 2])
    assert [mark.y for mark in marks] == pytest.approx([low, high, (low + high) / 2])
