import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import validation_fakes as fakes
from skimage.metrics import structural_similarity

from instantstyle.model.graph import Arrays, Run, Scenario
from instantstyle.recipe.latency import LatencySettings
from instantstyle.recipe.limits import Limits
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import ExecutionError
from instantstyle.validation.judge.verdict import judge
from instantstyle.validation.measure import parity
from instantstyle.validation.measure.built import Built
from instantstyle.validation.measure.hard import hard_samples
from instantstyle.validation.measure.memory import Request
from instantstyle.validation.measure.parity import Task, measure
from instantstyle.validation.measure.reference import Reference
from instantstyle.validation.results.measurements import Measurements

MEMORY_BYTES = 54_321
SETTINGS = LatencySettings(threads=3, warmup=1, runs=30, patience_s=0)


@pytest.fixture(autouse=True)
def memory_requests(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Memory has tests of its own; here it costs no process."""
    requests: list[Request] = []

    def peak(request: Request) -> int:
        requests.append(request)
        return MEMORY_BYTES

    monkeypatch.setattr(parity, "peak_over_baseline", peak)
    return requests


def run(behaviour: str, photos: int = 2, styles: int = 2, notes: list[tuple[int, int, str]] | None = None) -> Measurements:
    return run_with(fakes.FakeTarget(behaviour), photos, styles, notes)


def run_with(
    target: fakes.FakeTarget,
    photos: int = 2,
    styles: int = 2,
    notes: list[tuple[int, int, str]] | None = None,
    scenario: Scenario = fakes.scenario,
) -> Measurements:
    model, samples = replace(fakes.model(), scenario=scenario), fakes.samples(photos, styles)
    built = Built(fakes.artifact(), Path("built"), target)
    ort_float = Built(fakes.artifact(Precision.FLOAT32), Path("float"), fakes.FakeTarget())

    def report(done: int, total: int, note: str) -> None:
        if notes is not None:
            notes.append((done, total, note))

    with Reference(model, fakes.SIZE) as reference:
        hard = hard_samples(model, fakes.SIZE, samples[0])
        return measure(
            Task(model, fakes.SIZE, samples, hard, reference, ort_float, SETTINGS, fakes.SAMPLES, "a" * 64, reference), built, report
        )


def expected_image(inputs: dict[str, np.ndarray]) -> np.ndarray:
    alpha, code = inputs["alpha"], inputs["style"].astype(np.float64).mean((2, 3))
    return inputs["photo"] * (1 - alpha / 2) + code[:, :, None, None] * alpha / 2


def test_quality_is_that_of_the_noise_that_was_added() -> None:
    found = run("noise")
    noise = fakes.noise((1, 3, *fakes.SIZE)).astype(np.float64)
    samples = fakes.samples(2, 2)
    assert [score.sample for score in found.end_to_end.scores] == ["p0 x s0", "p0 x s1", "p1 x s0", "p1 x s1"]
    for sample, score in zip(samples, found.end_to_end.scores, strict=True):
        clean = expected_image(sample.inputs)[0] + 1
        ssim = structural_similarity(
            clean, clean + noise[0], channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=2.0
        )
        assert score.ssim == pytest.approx(ssim, abs=1e-6)
        assert score.psnr_db == pytest.approx(10 * math.log10(4 / (noise**2).mean()), abs=1e-4)
        assert score.max_abs == pytest.approx(np.abs(noise).max(), abs=1e-6)


def test_hard_samples_are_apart_and_named() -> None:
    found = run("noise")
    names = [score.sample for score in found.end_to_end.hard_scores]
    assert names[:2] == ["flat black", "flat white"] and names[-2:] == ["alpha 0.75", "alpha 1"] and len(names) == 14
    assert [score.sample for score in dict(found.graphs)["painter"].hard_scores] == names


def test_each_graph_alone_gets_the_references_inputs() -> None:
    """A target whose encoder is off by 0.1 is wrong end to end, and its painter alone is not."""

    class OffRunner(fakes.FakeRunner):
        def run(self, inputs):
            outputs = super().run(inputs)
            return {name: value + (0.1 if name == "code" else 0) for name, value in outputs.items()}

    class OffTarget(fakes.FakeTarget):
        def open(self, artifact, folder, graph, threads):
            return OffRunner(artifact.graph(graph), artifact.size, "")

    found = run_with(OffTarget())
    graphs = dict(found.graphs)
    assert [score.max_abs for score in found.end_to_end.scores] == pytest.approx([0.05] * 4, abs=1e-6)
    assert [score.max_abs for score in graphs["encoder"].scores] == pytest.approx([0.1] * 4, abs=1e-6)
    assert [score.max_abs for score in graphs["painter"].scores] == pytest.approx([0.0] * 4, abs=1e-6)
    assert graphs["encoder"].scores[0].ssim is None


def test_a_perfect_artifact() -> None:
    found = run("")
    assert all(score.ssim == pytest.approx(1, abs=1e-9) and score.max_abs < 1e-6 for score in found.end_to_end.scores)
    assert (found.artifact, found.precision, found.hot_graph) == ("fake-int8-32x48", Precision.INT8, "painter")
    assert (found.peak_memory_bytes, found.shipped_bytes) == (MEMORY_BYTES, 1234)


def test_what_executed_is_set_against_what_was_asked() -> None:
    encoder, painter = run("").executions
    assert (encoder.graph, encoder.provider, encoder.convolutions, encoder.int8_convolutions, encoder.int8_convolutions_asked) == (
        *("encoder", "FakeProvider"),
        *(5, 5, 4),
    )
    assert painter.int8_convolutions_asked == 5


def test_every_graph_is_timed_the_hot_one_most() -> None:
    encoder, painter = run("").latency
    assert (encoder.graph, painter.graph) == ("encoder", "painter")
    assert (encoder.artifact.runs, painter.artifact.runs, painter.pytorch.runs) == (18, 36, 36)
    assert encoder.artifact.p90_ms is None and painter.artifact.p90_ms is not None


def test_a_style_runs_once_however_many_photos() -> None:
    """4 photos x 2 styles and 5 hard photos: 2 styles; the latency's passes come on top."""
    target = fakes.FakeTarget()
    run_with(target, photos=4, styles=2)
    turns = 6  # 10 timed passes at least, in rounds of 3, every order of three contestants once
    assert target.opened["encoder"].ran == 2 + SETTINGS.warmup + turns * (1 + 3)


def test_runners_get_the_threads_and_are_closed(memory_requests: list[Request]) -> None:
    target = fakes.FakeTarget()
    run_with(target)
    assert target.threads == {3} and all(runner.closed for runner in target.opened.values())
    request, = memory_requests  # fmt: skip
    assert (request.target, request.folder, request.threads) == (target, Path("built"), 3)
    assert {name: sorted(inputs) for name, inputs in request.inputs.items()} == {
        "encoder": ["style"],
        "painter": ["alpha", "code", "photo"],
    }


def test_pytorch_is_timed_with_the_same_threads_and_gets_its_own_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last passes of the painter are the timed ones."""
    seen: list[int] = []

    def forward(self: fakes.Painter, photo: torch.Tensor, code: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return photo * (1 - alpha / 2) + code[:, :, None, None] * alpha / 2

    monkeypatch.setattr(fakes.Painter, "forward", forward)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        run("")
        assert seen[0] == 2 and set(seen[-30:]) == {3} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_progress_reaches_its_total() -> None:
    notes: list[tuple[int, int, str]] = []
    run("", notes=notes)
    assert [done for done, _, _ in notes] == list(range(1, 4 + 14 + 1 + 2 + 1))
    assert {total for _, total, _ in notes} == {21}
    assert notes[0][2] == "p0 x s0" and notes[-2][2] == "latency of painter"


def test_nan_is_measured_and_judged_as_a_failure() -> None:
    found = run("nan")
    assert not any(score.is_finite for score in found.end_to_end.scores + found.end_to_end.hard_scores)
    failures = {failure.limit: failure.sentence for failure in judge(found, Limits(min_ssim_mean=-1))}
    assert "min_ssim_mean" in failures
    # 4 + 14 of them
    assert failures["finite"] == "fake-int8-32x48: NaN or Inf in samples 'p0 x s0', 'p0 x s1', 'p1 x s0' and 15 more, first end to end"


@pytest.mark.parametrize(
    "behaviour,message",
    [
        ("crash", "fake-int8-32x48: graph 'painter' crashed: RuntimeError: segment 7 of the tensor arena is gone"),
        ("shape", r"fake-int8-32x48: graph 'painter' gave 'image' in shape \(1, 3, 31, 48\), not \(1, 3, 32, 48\)"),
        ("name", "fake-int8-32x48: graph 'painter' gave no output 'image', only picture"),
    ],
)
def test_a_runner_that_fails_is_an_error_that_says_where(behaviour: str, message: str) -> None:
    target = fakes.FakeTarget(behaviour)
    with pytest.raises(ExecutionError, match=rf"{message} \(sample 'p0 x s0', end to end\)"):
        run_with(target)
    assert all(runner.closed for runner in target.opened.values())


def test_a_scenario_that_fails_with_an_artifacts_outputs_is_a_failure_of_the_artifact() -> None:
    def careful(runs: Mapping[str, Run], sample: Arrays) -> np.ndarray:
        image = fakes.scenario(runs, sample)
        if np.isnan(image).any():
            raise ArithmeticError("cannot show NaN")
        return image

    with pytest.raises(
        ExecutionError, match=r"scenario fails with this artifact's outputs: ArithmeticError: cannot show NaN \(sample 'p0 x s0'\)"
    ):
        run_with(fakes.FakeTarget("nan"), scenario=careful)


def test_a_failure_to_measure_memory_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(request: Request) -> int:
        raise ExecutionError("the process that measures its memory ended with code 139")

    monkeypatch.setattr(parity, "peak_over_baseline", crash)
    with pytest.raises(ExecutionError, match="code 139"):
        run("")


def test_an_evaluator_of_a_target_that_runs_here_has_no_latency_and_no_memory() -> None:
    measured = run("evaluator")
    assert (measured.evaluator, measured.latency, measured.peak_memory_bytes) == ("a stand-in", (), 0)


def test_an_artifact_with_other_graphs_is_refused(tmp_path: Path) -> None:
    model, sample = fakes.model(), fakes.samples(1)
    artifact = replace(fakes.artifact(), graphs=fakes.artifact().graphs[1:])
    built = Built(artifact, tmp_path, fakes.FakeTarget())
    refused = pytest.raises(ExecutionError, match="fake-int8-32x48 has the graphs painter; the model has encoder, painter")
    with Reference(model, fakes.SIZE) as reference, refused:
        measure(
            Task(model, fakes.SIZE, sample, [], reference, built, SETTINGS, fakes.SAMPLES, "a" * 64, reference),
            built,
            lambda done, total, note: None,
        )
