"""What a pruned graph of several learns from: codes that another graph made come from a pool, photos are drawn for every step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training_nets import tiny_network

from instantstyle.calibration.imageset import ImageSet
from instantstyle.compression.distillation import student
from instantstyle.compression.distillation.draws import SampleDraws
from instantstyle.compression.distillation.recover import recover
from instantstyle.model.graph import Model
from instantstyle.model.reference import STYLE_ENCODER, STYLIZER, to_model
from instantstyle.recipe.settings import RecoverSettings

STEPS = 3


@pytest.fixture
def draws(tmp_path: Path) -> SampleDraws:
    random = np.random.default_rng(0)
    for name in ("photos", "styles"):
        (tmp_path / name).mkdir()
        for index in range(3):
            pixels = random.integers(0, 256, (90, 80, 3), np.uint8)
            Image.fromarray(pixels).resize((640, 720)).save(tmp_path / name / f"{index}.png")
    sets = [ImageSet.from_patterns([name], tmp_path) for name in ("photos", "styles")]
    return SampleDraws(to_model(tiny_network().eval()), (64, 64), sets, 3)


def with_stylizer_of(model: Model, other: Model) -> Model:
    graphs = tuple(graph if graph.name != STYLIZER else replace(graph, module=other.graph(STYLIZER).module) for graph in model.graphs)
    return replace(model, graphs=graphs)


def test_codes_are_of_the_pool_and_photos_of_the_step(draws: SampleDraws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student, "POOL", 2)
    reference = draws.model
    seen: list[dict[str, np.ndarray]] = []
    real = student.Student.batch_arrays

    def noted(self: student.Student, step: int) -> dict[str, np.ndarray]:
        seen.append(real(self, step))
        return seen[-1]

    monkeypatch.setattr(student.Student, "batch_arrays", noted)
    settings = RecoverSettings(steps={STYLIZER: STEPS}, batch=4, crop=64, learning_rate=1e-4)
    pruned = with_stylizer_of(reference, to_model(tiny_network(1).eval()))
    weights = recover(pruned, reference, draws=draws, settings=settings, state_file=tmp_path / "s.pt", report=lambda *_: None)
    assert set(weights) == {STYLIZER} and all(value.is_contiguous() for value in weights[STYLIZER].values())
    pool = [draws.draw(STEPS, index).inputs["style"] for index in range(2)]
    with torch.no_grad():
        codes = torch.cat([reference.graph(STYLE_ENCODER).module(torch.from_numpy(style)) for style in pool]).numpy()
    assert len(seen) == STEPS and np.abs(codes[0] - codes[1]).max() > 1e-3
    nearest = np.array([np.abs(batch["code"][:, None] - codes[None]).max(axis=2) for batch in seen])  # (steps, batch, pool)
    assert nearest.min(axis=2).max() < 1e-5 and len(set(nearest.argmin(axis=2).ravel())) == 2
    for step, batch in enumerate(seen):
        for name in ("photo", "alpha"):
            wanted = np.concatenate([draws.draw_input(name, step, at) for at in range(4)])
            assert np.array_equal(batch[name], wanted)


def test_one_input_is_that_of_the_whole_sample(draws: SampleDraws) -> None:
    sample = draws.draw(5, 1)
    assert all(np.array_equal(draws.draw_input(name, 5, 1), array) for name, array in sample.inputs.items())
    assert not np.array_equal(sample.inputs["photo"], draws.draw_input("photo", 5, 2))
