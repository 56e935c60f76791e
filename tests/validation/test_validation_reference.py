from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import validation_fakes as fakes
from torch import nn

from instantstyle.model.cached_run import CachedRun, content_key
from instantstyle.model.graph import Arrays, Model, Run, Sample
from instantstyle.model.runs import runs_from_modules
from instantstyle.system.errors import InstantStyleError
from instantstyle.validation.measure.reference import Reference


def with_painter(module: nn.Module) -> Model:
    model = fakes.model()
    return replace(model, graphs=(model.graphs[0], replace(model.graphs[1], module=module)))


def test_end_to_end_and_every_graph() -> None:
    sample = fakes.samples(1)[0]
    code = sample.inputs["style"].astype(np.float64).mean((2, 3))
    image = sample.inputs["photo"] / 2 + code[:, :, None, None] / 2
    with Reference(fakes.model(), fakes.SIZE) as reference:
        found = reference.of(sample)
        np.testing.assert_allclose(found.output, image, atol=1e-6)
        encoder, painter = found.calls
        assert (encoder.graph, painter.graph) == ("encoder", "painter")
        np.testing.assert_array_equal(encoder.inputs["style"], sample.inputs["style"])
        np.testing.assert_allclose(encoder.outputs["code"], code, atol=1e-6)
        np.testing.assert_array_equal(painter.inputs["code"], encoder.outputs["code"])
        np.testing.assert_array_equal(painter.outputs["image"], found.output)


def test_modules_run_in_eval_mode_without_gradients() -> None:
    class Dropping(fakes.Painter):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.9)
            self.gain = nn.Parameter(torch.ones(1))

        def forward(self, photo: torch.Tensor, code: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
            return self.gain * self.drop(super().forward(photo, code, alpha))

    sample = fakes.samples(1)[0]
    inputs = {"photo": sample.inputs["photo"], "code": np.zeros((1, 3), np.float32), "alpha": np.ones((1, 1), np.float32)}
    image = runs_from_modules(with_painter(Dropping().train()))["painter"](inputs)["image"]
    np.testing.assert_allclose(image, sample.inputs["photo"] / 2)


def test_a_style_is_encoded_once_and_a_sample_computed_once() -> None:
    counted: list[str] = []
    painted: list[str] = []

    class Counted(fakes.Encoder):
        def forward(self, style: torch.Tensor) -> torch.Tensor:
            counted.append("encoder")
            return super().forward(style)

    class CountedPainter(fakes.Painter):
        def forward(self, photo: torch.Tensor, code: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
            painted.append("painter")
            return super().forward(photo, code, alpha)

    model = with_painter(CountedPainter())
    model = replace(model, graphs=(replace(model.graphs[0], module=Counted()), model.graphs[1]))
    samples = fakes.samples(photos=4, styles=2)
    with Reference(model, fakes.SIZE) as reference:
        first = [reference.of(sample).output for sample in samples]
        encoded = len(counted)
        again = [reference.of(Sample("another name", dict(sample.inputs))).output for sample in samples]
        np.testing.assert_array_equal(first, again)
    assert (encoded, len(counted), len(painted)) == (2, 2, 8)


def test_arrays_live_in_files_that_equal_ones_share_and_that_go_away(tmp_path: Path) -> None:
    with Reference(fakes.model(), fakes.SIZE, tmp_path) as reference:
        for sample in fakes.samples(photos=3, styles=2):
            found = reference.of(sample)
            assert not found.output.flags.writeable
        files = list(tmp_path.rglob("*.npy"))
        # 3 photos, 2 styles, 2 codes, 1 alpha, 6 images
        assert len(files) == 14
        assert sum(file.stat().st_size for file in files) == 14 * 128 + 4 * (9 * 3 * 32 * 48 + 2 * 3 * 16 * 16 + 7)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_the_reference_is_an_error_of_its_own(value: float) -> None:
    class Broken(fakes.Painter):
        def forward(self, photo: torch.Tensor, code: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
            return super().forward(photo, code, alpha) + value

    refused = pytest.raises(InstantStyleError, match="'p0 x s0': output 'image' of graph 'painter' has NaN or Inf in the float reference")
    with Reference(with_painter(Broken()), fakes.SIZE) as reference, refused:
        reference.of(fakes.samples(1)[0])


def test_a_shape_that_was_not_declared_is_an_error() -> None:
    class Larger(fakes.Painter):
        def forward(self, photo: torch.Tensor, code: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
            return super().forward(photo, code, alpha).repeat(1, 1, 2, 2)

    with (
        Reference(with_painter(Larger()), fakes.SIZE) as reference,
        pytest.raises(
            InstantStyleError, match=r"\(1, 3, 64, 96\); by the model's declaration and the recipe's size it is \(1, 3, 32, 48\)"
        ),
    ):
        reference.of(fakes.samples(1)[0])


def test_another_number_of_outputs_than_declared_is_an_error() -> None:
    class Two(fakes.Painter):
        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
            return inputs[0], inputs[0]

    with pytest.raises(InstantStyleError, match="graph 'painter' returns 2 outputs, the model declares 1: image"):
        runs_from_modules(with_painter(Two()))["painter"](
            {"photo": np.zeros((1, 3, 32, 48), np.float32), "code": np.zeros((1, 3), np.float32), "alpha": np.ones((1, 1), np.float32)}
        )


def test_a_graph_that_runs_twice_is_kept_twice() -> None:
    def mixing(runs: Mapping[str, Run], sample: Arrays) -> np.ndarray:
        codes = [runs["encoder"]({"style": style})["code"] for style in (sample["style"], -sample["style"])]
        return runs["painter"]({"photo": sample["photo"], "code": codes[0] + codes[1], "alpha": sample["alpha"]})["image"]

    with Reference(replace(fakes.model(), scenario=mixing), fakes.SIZE) as reference:
        calls = reference.of(fakes.samples(1)[0]).calls
        assert [call.graph for call in calls] == ["encoder", "encoder", "painter"]
        np.testing.assert_array_equal(calls[0].outputs["code"], -calls[1].outputs["code"])


def double(inputs: Arrays) -> dict[str, np.ndarray]:
    return {"y": 2 * inputs["x"]}


def test_cached_run_runs_once_and_gives_copies() -> None:
    run = CachedRun(double)
    x = np.arange(4.0)
    run({"x": x})["y"][:] = 0
    np.testing.assert_array_equal(run({"x": x.copy()})["y"], 2 * x)
    run({"x": x + 1})
    assert run.executed == 2


def test_cached_run_forgets_the_oldest() -> None:
    run = CachedRun(double, capacity_bytes=2 * 32)
    a, b, c = (np.full(4, value) for value in (1.0, 2.0, 3.0))
    for x in (a, b, a, c, a):
        run({"x": x})
    assert run.executed == 3
    run({"x": b})
    assert run.executed == 4


def test_cached_run_serves_a_result_that_is_larger_than_its_memory() -> None:
    run = CachedRun(double, capacity_bytes=1)
    for _ in range(2):
        np.testing.assert_array_equal(run({"x": np.ones(4)})["y"], 2 * np.ones(4))
    assert run.executed == 2


def test_content_key_sees_values_shapes_types_and_names_and_no_order() -> None:
    a, b = np.zeros((2, 3), np.float32), np.ones(2, np.float32)
    keys = [
        content_key(arrays) for arrays in ({"a": a}, {"b": a}, {"a": a.reshape(3, 2)}, {"a": a.view(np.int32)}, {"a": a, "b": b}, {"a": b})
    ]
    assert len(set(keys)) == len(keys)
    assert content_key({"b": b, "a": a}) == content_key({"a": a, "b": b})
    strided = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]
    assert content_key({"a": strided}) == content_key({"a": strided.copy()})
