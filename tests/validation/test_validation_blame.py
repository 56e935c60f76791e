"""Which module of an int8 graph is to blame, and what its fix costs."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from instantstyle.compression.quantization.quantize import PreparedGraph, prepare
from instantstyle.compression.quantization.ranges import fix_ranges
from instantstyle.model.graph import Graph, Model, Sample, single_graph
from instantstyle.recipe.settings import QuantizeSettings
from instantstyle.validation.measure.blame import Blame, advice, blame, quantisers_by_module, with_times

SIZE = (32, 32)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.head = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 3, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(torch.relu(self.stem(image))))) + image


@pytest.fixture(scope="module")
def case() -> tuple[Model, Graph, PreparedGraph, list[Sample]]:
    torch.manual_seed(0)
    model = single_graph(Net().eval(), "net")
    graph = model.graph("net")
    generator = np.random.default_rng(0)
    samples = [Sample(str(index), {"image": generator.uniform(-1, 1, (1, 3, *SIZE)).astype(np.float32)}) for index in range(2)]
    settings = QuantizeSettings(method="ptq", observer="min_max")
    prepared = prepare(graph, SIZE, settings)
    fix_ranges(prepared, graph, [sample.inputs for sample in samples], settings)
    # A range 60 times too wide leaves two levels of the body's result.
    (fake,) = (fake for name, fake in prepared.activations.items() if name == "relu#2")
    fake.scale *= 60  # type: ignore[operator]
    return model, graph, prepared, samples


def test_the_module_that_spoils_the_picture_comes_first(case: tuple[Model, Graph, PreparedGraph, list[Sample]]) -> None:
    model, graph, prepared, samples = case
    seen: list[tuple[int, int]] = []
    losses = blame(model, graph, prepared, samples, lambda done, total, note: seen.append((done, total)))
    assert set(quantisers_by_module(prepared)) == {"inputs", "stem", "body", "head"}
    assert seen == [(count, 4) for count in range(1, 5)]
    first, second = losses.modules[:2]
    assert first.module_path == "body"
    assert losses.ssim_worst <= losses.ssim_mean < 0.9995 < losses.ssim_mean + first.ssim_gained
    assert abs(second.ssim_gained) < 0.1 * first.ssim_gained
    weights = {row.module_path: row.more_bytes for row in losses.modules}
    assert (weights["stem"], weights["body"], weights["inputs"]) == (8 * 27, 8 * 72, 0)


def test_the_advice_has_the_gain_and_its_price(case: tuple[Model, Graph, PreparedGraph, list[Sample]]) -> None:
    rows = (Blame("inputs", 0.5), Blame("body", 0.0125, more_bytes=1200), Blame("stem", 0.001, more_bytes=10))
    losses = type("", (), {"modules": rows})()
    timed = with_times(losses, {"body": 1.5, "head": 0.25}, {"body": 4.0})  # type: ignore[arg-type]
    assert [(row.module_path, row.int8_ms, row.float_ms) for row in timed] == [
        ("inputs", None, None),
        ("body", 1.5, 4.0),
        ("stem", None, None),
        ("head", 0.25, None),
    ]
    assert advice(timed, "net") == (
        'quantize.keep_float = ["net.body"] would help most: +0.0125 mean SSIM in PyTorch, +2.50 ms, +1,200 bytes'
    )
    assert advice(rows[:1], "net") == advice((Blame("a", -0.1), Blame("(add)", 0.2)), "net") == ""
