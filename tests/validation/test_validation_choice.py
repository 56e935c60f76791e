"""The precision that ships, where the recipe leaves it to measurement."""

from dataclasses import replace
from pathlib import Path

import validation_fakes as fakes

from instantstyle.recipe.limits import Limits
from instantstyle.recipe.precision import Precision
from instantstyle.validation.judge.choice import choose
from instantstyle.validation.judge.gate import exit_code, gate
from instantstyle.validation.judge.verdict import judge
from instantstyle.validation.report.report import markdown
from instantstyle.validation.results.bundle import Bundle, BundleArtifact, Choice
from instantstyle.validation.results.half_range import HalfRange
from instantstyle.validation.results.measurements import Status
from instantstyle.validation.results.timing import Latency

SIZE = (512, 512)
HALF_RANGE = HalfRange("painter", "up", "conv2d", 65504 / 4, 0.25, "a")
INT8, HALF = "android-int8-512x512", "android-float16-512x512"


def timed(latency: Latency, p50_ms: float) -> Latency:
    return replace(latency, artifact=replace(latency.artifact, p50_ms=p50_ms))


def entry(bundle: Bundle, precision: Precision, p50_ms: float, limits: Limits | None = None) -> BundleArtifact:
    limits = limits or Limits()
    name = f"android-{precision}-512x512"
    latency = (fakes.latency("encoder", 1.5), timed(fakes.latency("painter", 2.5), p50_ms))
    half_range = HALF_RANGE if precision is Precision.FLOAT16 else None
    measured = fakes.measurements(artifact=name, precision=precision, latency=latency, half_range=half_range)
    failures = judge(measured, limits)
    status = Status.FAILED if failures else Status.PASSED
    own = bundle.artifacts[0]
    return replace(own, name=name, precision=precision, measurements=measured, limits=limits, failures=failures, status=status)


def pair(folder: Path, int8_ms: float, half_ms: float, int8_limits: Limits | None = None) -> Bundle:
    bundle = fakes.bundle_in(folder)
    artifacts = entry(bundle, Precision.INT8, int8_ms, int8_limits), entry(bundle, Precision.FLOAT16, half_ms)
    return replace(bundle, artifacts=artifacts, choices=choose("android", artifacts))


def test_the_fastest_ships_and_the_reason_has_both_times(tmp_path: Path) -> None:
    (choice,) = pair(tmp_path / "a", 2.0, 3.5).choices
    assert choice == Choice("android", SIZE, INT8, f"{INT8} 2.00 ms against {HALF} 3.50 ms")
    (choice,) = pair(tmp_path / "b", 4.0, 3.5).choices
    assert choice.artifact == HALF


def test_what_did_not_pass_is_never_chosen(tmp_path: Path) -> None:
    bundle = pair(tmp_path, 2.0, 3.5, Limits(min_ssim_mean=0.99))
    (choice,) = bundle.choices
    assert choice.artifact == HALF and choice.reason == f"{HALF} 3.50 ms against {INT8} did not pass"
    assert exit_code(bundle) == 0
    # Asked for by its own name it is still held to its limits.
    assert exit_code(replace(bundle, required=("android-int8",))) == 1
    assert f"- android 512x512 ships {HALF}: " in markdown(bundle)


def test_without_a_choice_all_have_to_pass(tmp_path: Path) -> None:
    bundle = pair(tmp_path, 2.0, 3.5, Limits(min_ssim_mean=0.99))
    assert exit_code(replace(bundle, choices=())) == 1


def test_nothing_is_chosen_among_what_was_not_executed(tmp_path: Path) -> None:
    bundle = pair(tmp_path, 2.0, 3.5)
    evaluated = tuple(
        replace(
            artifact,
            status=Status.GRAPH_PARITY,
            measurements=replace(artifact.measurements, evaluator="a stand-in", latency=(), peak_memory_bytes=0),
        )
        for artifact in bundle.artifacts
        if artifact.measurements is not None
    )
    choices = choose("android", evaluated)
    assert choices == (Choice("android", SIZE, "", "none was executed and passed, so none could be chosen by its speed"),)
    bundle = replace(bundle, artifacts=evaluated, choices=choices)
    assert len(gate(bundle)) == 2
    assert exit_code(replace(bundle, graph_parity_suffices=("android",))) == 0


def test_a_choice_that_did_not_pass_is_refused(tmp_path: Path) -> None:
    bundle = pair(tmp_path, 2.0, 3.5, Limits(min_ssim_mean=0.99))
    assert exit_code(replace(bundle, choices=(Choice("android", SIZE, INT8, "because I say so"),))) == 1
    assert exit_code(replace(bundle, choices=(Choice("android", SIZE, "no such artifact", ""),))) == 1
