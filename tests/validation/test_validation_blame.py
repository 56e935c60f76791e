"""Which module of an int8 graph is to blame, and what its fix costs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import validation_fakes as fakes
from torch import Tensor, nn

from instantstyle.compression.quantization.quantize import PreparedGraph, prepare
from instantstyle.compression.quantization.ranges import fix_ranges
from instantstyle.model.graph import Graph, Model, Sample, single_graph
from instantstyle.recipe.settings import QuantizeSettings
from instantstyle.validation.measure.advice import advice, with_times
from instantstyle.validation.measure.blame import blame, quantisers_by_module
from instantstyle.validation.page import page
from instantstyle.validation.report.blame import blamed
from instantstyle.validation.report.report import markdown
from instantstyle.validation.results.blame import BLAMES, FILE, Blame, GraphBlame
from instantstyle.validation.results.measurements import Status

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
    gains = [row.ssim_gained or 0 for row in losses.modules]
    assert losses.modules[0].module_path == "body"
    assert losses.ssim_worst <= losses.ssim_mean < 0.9995 < losses.ssim_mean + gains[0]
    assert abs(gains[1]) < 0.1 * gains[0]
    weights = {row.module_path: row.more_bytes for row in losses.modules}
    assert (weights["stem"], weights["body"], weights["inputs"]) == (8 * 27, 8 * 72, 0)


def test_the_advice_has_the_gain_and_its_price(case: tuple[Model, Graph, PreparedGraph, list[Sample]]) -> None:
    rows = (Blame("inputs", 0.5), Blame("body", 0.0125, more_bytes=1200), Blame("stem", 0.001, more_bytes=10))
    timed = with_times(rows, {"head": 0.25, "body": 1.5, "tail": 2.0}, {"body": 4.0, "tail": 1.5})
    assert [(row.module_path, row.int8_ms, row.float_ms) for row in timed] == [
        ("inputs", None, None),
        ("body", 1.5, 4.0),
        ("stem", None, None),
        ("tail", 2.0, 1.5),
        ("head", 0.25, None),
    ]
    assert advice(timed, "net") == (
        'quantize.keep_float = ["net.body"] would help most: +0.0125 mean SSIM in PyTorch, +2.50 ms, +1,200 bytes',
        'quantize.keep_float = ["net.tail"] would save most time: -0.50 ms',
    )
    assert advice(rows[:1], "net") == advice((Blame("a", -0.1), Blame("(add)", 0.2)), "net") == ()


def test_the_report_shows_what_failed_artifacts_lose_and_nothing_of_others(tmp_path: Path) -> None:
    bundle = fakes.bundle_in(tmp_path)
    name = bundle.artifacts[0].name
    rows = (Blame("body", 0.0125, 1.5, 4.0, 1200), Blame("head", None, 0.25))
    found = GraphBlame(name, "painter", 4, 0.9, 0.8, rows, advice(rows, "painter"))
    (tmp_path / FILE).write_bytes(BLAMES.dump_json((found,)))
    assert blamed(bundle, tmp_path) == ()
    failed = replace(bundle, artifacts=(replace(bundle.artifacts[0], status=Status.FAILED), *bundle.artifacts[1:]))
    assert blamed(failed, tmp_path) == (found,)
    text = markdown(failed, blamed(failed, tmp_path))
    assert f"| {name} | painter | body | +0.0125 | 1.50 | 4.00 | 1,200 |" in text
    assert f"| {name} | painter | head | - | 0.25 | - | - |" in text
    sentence = 'quantize.keep_float = ["painter.body"] would help most: +0.0125 mean SSIM in PyTorch, +2.50 ms, +1,200 bytes'
    assert f"- {name}: {sentence}" in text
    assert "would help most" in page(failed, "", tmp_path) and "would help most" not in page(bundle, "", tmp_path)
