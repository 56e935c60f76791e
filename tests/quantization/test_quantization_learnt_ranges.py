"""Learnt steps against the formulas of Esser et al. 2020 in float64, and the levels that tensors have while they are trained."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from instantstyle.calibration.tensor_range import TensorRange
from instantstyle.compression.quantization.learnt_ranges import RATE, learn_ranges
from instantstyle.compression.quantization.plan.plan import Plan
from instantstyle.compression.quantization.quantize import PreparedGraph, prepare, set_mode
from instantstyle.compression.quantization.ranges import as_runtimes_do, fix_ranges
from instantstyle.model.graph import Graph, single_graph
from instantstyle.recipe.settings import QuantizeSettings

SIZE = (16, 16)
INPUT, RELU = "input image", "relu"


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(image)))


def gridded() -> tuple[Graph, PreparedGraph, dict[str, TensorRange]]:
    torch.manual_seed(0)
    graph, settings = single_graph(Small().eval()).graphs[0], QuantizeSettings(observer="min_max")
    prepared = prepare(graph, SIZE, settings)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, *SIZE)).astype(np.float32)
    ranges = fix_ranges(prepared, graph, [{"image": image}], settings)
    as_runtimes_do(prepared, ranges)
    return graph, prepared, ranges


def test_grids_have_the_levels_that_artifacts_have() -> None:
    _, prepared, ranges = gridded()
    grids = learn_ranges(prepared)
    set_mode(prepared, fake_quantize=True)
    values = torch.linspace(-3, 3, 100_001)
    seen = {name: torch.unique(grids[name](values).detach()) for name in (INPUT, RELU)}
    assert len(seen[INPUT]) == 255
    assert len(seen[RELU]) == 256
    assert seen[RELU].min() == 0
    # The largest level of 127 halves is half a step above what calibration saw.
    assert seen[RELU].max().item() == pytest.approx(ranges[RELU].maximum * 127.5 / 127, rel=1e-5)
    assert grids[RELU].half_range == pytest.approx(ranges[RELU].maximum, rel=1e-5)
    assert grids[INPUT].half_range == pytest.approx(max(-ranges[INPUT].minimum, ranges[INPUT].maximum), rel=1e-5)


@pytest.mark.parametrize("name", [INPUT, RELU])
def test_the_gradient_of_a_step_is_the_papers(name: str) -> None:
    _, prepared, _ = gridded()
    grid = learn_ranges(prepared)[name]
    set_mode(prepared, fake_quantize=True)
    random = np.random.default_rng(1)
    values, upstream = random.normal(0, 1.5, 4000).astype(np.float32), random.normal(size=4000).astype(np.float32)
    taken = torch.from_numpy(values).requires_grad_()
    grid(taken).backward(torch.from_numpy(upstream))

    step = float(grid.step.item())
    low, high = (0, 255) if name == RELU else (-127, 127)
    scaled = values.astype(np.float64) / step
    inside = (np.rint(scaled) >= low) & (np.rint(scaled) <= high)
    by_step = np.where(inside, np.rint(scaled) - scaled, np.where(scaled < 0, low, high))
    expected = np.sum(by_step * upstream) / np.sqrt(values.size * high)
    assert grid.logarithm.grad is not None
    assert taken.grad is not None
    assert grid.logarithm.grad.item() == pytest.approx(expected * RATE * step, rel=2e-3)
    assert np.array_equal(taken.grad.numpy() != 0, inside & (upstream != 0))


def test_without_fake_quantisation_nothing_is_rounded() -> None:
    graph, prepared, _ = gridded()
    learn_ranges(prepared)
    set_mode(prepared, fake_quantize=False)
    image = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, *SIZE)
    with torch.no_grad():
        assert torch.allclose(prepared.module(image), graph.module(image), atol=1e-6)


def test_a_plan_puts_learnt_ranges_in_the_place_of_observed_ones() -> None:
    plan = Plan(learnt={"g": {"a": 2.0}}, limits={"g": {"b": 3.0}})
    observed = [TensorRange.of("g", "a", (0.0, 5.0), "mse"), TensorRange.of("g", "a", (-1.0, 5.0), "mse")]
    never_negative, signed = map(plan.fixed, observed)
    assert (never_negative.minimum, never_negative.maximum, never_negative.observer) == (0.0, 2.0, "learnt")
    assert (signed.minimum, signed.maximum) == (-2.0, 2.0)
    assert plan.fixed(TensorRange.of("g", "c", (0.0, 5.0), "mse")).maximum == 5.0
