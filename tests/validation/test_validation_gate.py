import math
from dataclasses import replace
from pathlib import Path

import pytest
import validation_fakes as fakes

from instantstyle.recipe.limits import Limits
from instantstyle.recipe.precision import Precision
from instantstyle.targets.base import Artifact
from instantstyle.validation.judge.checks import unjudged
from instantstyle.validation.judge.entries import judged, not_emitted
from instantstyle.validation.judge.gate import exit_code, gate
from instantstyle.validation.judge.verdict import judge
from instantstyle.validation.report.report import markdown
from instantstyle.validation.results.bundle import Bundle, BundleArtifact, Failure
from instantstyle.validation.results.departure import Departure, Departures
from instantstyle.validation.results.measurements import Quality, Score, Status, UnitMeasurements

NAME = "android-int8-512x512"


@pytest.fixture
def passed(tmp_path: Path) -> Bundle:
    return fakes.bundle_in(tmp_path)


def other(
    bundle: Bundle, name: str, target: str, precision: Precision = Precision.INT8, size: tuple[int, int] = (512, 512)
) -> BundleArtifact:
    """Another artifact that passed."""
    measured = fakes.measurements(artifact=name, precision=precision)
    return replace(bundle.artifacts[0], name=name, target=target, precision=precision, size=size, measurements=measured)


def with_artifacts(bundle: Bundle, *artifacts: BundleArtifact, **changes) -> Bundle:
    return replace(bundle, artifacts=artifacts, **changes)


@pytest.mark.parametrize("required", ["android", "android-int8", NAME])
def test_what_is_required_and_passed_passes(passed: Bundle, required: str) -> None:
    bundle = replace(passed, required=(required,))
    assert gate(bundle) == () and exit_code(bundle) == 0


def test_nothing_required_is_no_pass(passed: Bundle) -> None:
    bundle = replace(passed, required=())
    assert exit_code(bundle) == 1 and "nothing is required" in gate(bundle)[0]


@pytest.mark.parametrize("required", ["coreml", "android-float32", "android-int8-256x256", "Android", "andro", ""])
def test_what_is_missing_is_refused(passed: Bundle, required: str) -> None:
    bundle = replace(passed, required=("android", required))
    assert exit_code(bundle) == 1
    assert gate(bundle) == (f"{required}: is required, and there is no such artifact",)


def test_every_size_that_was_asked_for_is_required(passed: Bundle) -> None:
    bundle = replace(passed, sizes=((512, 512), (256, 384)))
    assert gate(bundle) == ("android: is required, and there is no artifact of it in 256x384",)
    small = other(passed, "android-int8-256x384", "android", size=(256, 384))
    assert exit_code(with_artifacts(bundle, passed.artifacts[0], small)) == 0
    assert exit_code(replace(bundle, required=(NAME,))) == 0


def test_all_artifacts_of_a_required_target_have_to_pass(passed: Bundle) -> None:
    failing = replace(other(passed, "android-float32-512x512", "android", Precision.FLOAT32), limits=Limits(max_bytes=1))
    bundle = with_artifacts(passed, *passed.artifacts, failing)
    assert gate(bundle) == ("android-float32-512x512: size 3,000,000 bytes is above 1 bytes by 2,999,999 bytes",)
    assert exit_code(replace(bundle, required=("android-int8",))) == 0
    assert exit_code(replace(bundle, required=("android-int8", "android-float32"))) == 1


def test_what_is_not_required_may_fail(passed: Bundle) -> None:
    absent = not_emitted("coreml", Precision.FLOAT16, size=(512, 512), limits=Limits(), status=Status.NOT_EXECUTED, reason="no macOS")
    assert exit_code(with_artifacts(passed, *passed.artifacts, absent)) == 0


@pytest.mark.parametrize("status", [Status.NOT_EXECUTED, Status.FAILED])
def test_what_was_not_executed_or_crashed_is_refused_with_its_reason(passed: Bundle, status: Status) -> None:
    bundle = with_artifacts(passed, replace(passed.artifacts[0], status=status, measurements=None, reason="the runtime is gone"))
    assert exit_code(bundle) == 1
    assert gate(bundle)[0].startswith(f"{NAME}: ") and gate(bundle)[0].endswith("the runtime is gone")


@pytest.mark.parametrize("status", list(Status))
def test_without_measurements_nothing_passes_whatever_is_written(passed: Bundle, status: Status) -> None:
    assert exit_code(with_artifacts(passed, replace(passed.artifacts[0], status=status, measurements=None))) == 1


def test_a_status_of_not_executed_is_refused_even_with_measurements(passed: Bundle) -> None:
    assert exit_code(with_artifacts(passed, replace(passed.artifacts[0], status=Status.NOT_EXECUTED))) == 1


def test_a_pass_that_its_measurements_do_not_support_is_refused(passed: Bundle) -> None:
    """NaN, or a missed limit, under a status that says passed."""
    nan = fakes.measurements(end_to_end=Quality((Score("a", math.nan, math.nan, math.nan),), ()))
    bundle = with_artifacts(passed, replace(passed.artifacts[0], measurements=nan))
    assert exit_code(bundle) == 1 and "NaN or Inf" in gate(bundle)[0]
    bundle = with_artifacts(passed, replace(passed.artifacts[0], limits=Limits(min_ssim_worst=0.98)))
    assert gate(bundle) == (f"{NAME}: SSIM of the worst sample 'b' 0.9712 is below 0.9800 by 0.0088",)


def test_nan_is_one_sentence_that_names_the_samples(passed: Bundle) -> None:
    """What is NaN because of it, such as SSIM or a difference in colour, says nothing more; what is not, does."""
    nan, fine = math.nan, Score("e", 0.99, 40.0, 0.1)
    broken = tuple(Score(sample, nan, nan, nan) for sample in "abcd")
    apart = Departures((Departure("a", nan, nan, nan, nan),), ())
    measured = fakes.measurements(end_to_end=Quality((*broken, fine), ()), departures=apart)
    limits = Limits(min_ssim_mean=0.9, min_ssim_worst=0.9, max_abs=0.5, max_block=0.25, max_colour=5, max_bytes=1)
    assert sum(math.isnan(failure.measured or 0.0) for failure in judge(measured, limits)) >= 4
    found = gate(
        with_artifacts(passed, replace(passed.artifacts[0], measurements=measured, limits=limits, failures=judge(measured, limits)))
    )
    assert found[0] == f"{NAME}: NaN or Inf in samples 'a', 'b', 'c' and 1 more, first end to end"
    assert len([sentence for sentence in found if "NaN" in sentence]) == 1
    assert any("size" in sentence for sentence in found)


def test_a_recorded_failure_is_refused(passed: Bundle) -> None:
    failure = Failure("signature", None, None, f"{NAME}: is not signed")
    assert gate(with_artifacts(passed, replace(passed.artifacts[0], failures=(failure,)))) == (failure.sentence,)
    assert exit_code(with_artifacts(passed, replace(passed.artifacts[0], status=Status.FAILED))) == 1


@pytest.mark.parametrize("change", [{"artifact": "onnx-int8-512x512"}, {"precision": Precision.FLOAT32}, {"shipped_bytes": 1}])
def test_measurements_of_something_else_are_refused(passed: Bundle, change: dict[str, object]) -> None:
    bundle = with_artifacts(passed, replace(passed.artifacts[0], measurements=fakes.measurements(**change)))
    assert exit_code(bundle) == 1 and "its measurements are not its own" in gate(bundle)[0]


def test_each_reason_is_said_once(passed: Bundle) -> None:
    failing = replace(passed.artifacts[0], limits=Limits(max_bytes=1, min_ssim_mean=0.99))
    sentences = gate(with_artifacts(passed, failing, required=("android", "android-int8")))
    assert len(sentences) == 2 and all(sentence.startswith(NAME) for sentence in sentences)


EVALUATOR = "reference evaluator; not executed on Apple hardware"


def evaluated(bundle: Bundle, limits: Limits | None = None, **changes) -> BundleArtifact:
    """The artifact as something else than its runtime has computed it: no latency, no memory."""
    measured = fakes.measurements(evaluator=EVALUATOR, latency=(), peak_memory_bytes=0, **changes)
    built = Artifact("android", Precision.INT8, (512, 512), (), bundle.artifacts[0].files, 3_000_000)
    return judged(built, bundle.artifacts[0].folder, measured, limits or Limits())


def test_graph_parity_is_no_pass_unless_the_recipe_says_so(passed: Bundle) -> None:
    artifact = evaluated(passed)
    assert artifact.status is Status.GRAPH_PARITY and artifact.reason == f"graph parity, {EVALUATOR}"
    bundle = with_artifacts(passed, artifact)
    assert exit_code(bundle) == 1
    assert gate(bundle) == (
        f"{NAME}: graph parity only, {EVALUATOR}: run it where it belongs, or set its targets.level to graph_parity",
    )  # fmt: skip
    assert exit_code(replace(bundle, graph_parity_suffices=("android",))) == 0
    assert exit_code(replace(bundle, graph_parity_suffices=("android-int8",))) == 1  # which is not what is required
    assert exit_code(replace(bundle, required=("android-int8", "android"), graph_parity_suffices=("android-int8",))) == 1


def test_graph_parity_that_calls_itself_passed_is_refused(passed: Bundle) -> None:
    artifact = replace(evaluated(passed), status=Status.PASSED)
    assert exit_code(with_artifacts(passed, artifact)) == 1
    assert exit_code(with_artifacts(passed, artifact, graph_parity_suffices=("android",))) == 1


def test_graph_parity_has_to_keep_the_limits_of_quality_and_size(passed: Bundle) -> None:
    for limits in (Limits(min_ssim_mean=0.99), Limits(min_ssim_worst=0.98), Limits(max_bytes=1)):
        artifact = evaluated(passed, limits)
        assert artifact.status is Status.FAILED
        bundle = with_artifacts(passed, artifact, graph_parity_suffices=("android",))
        assert exit_code(bundle) == 1
        assert f"- {NAME}: failed, {EVALUATOR}" in markdown(bundle) and "graph parity" not in markdown(bundle)


VENDOR = "the vendor's library; not executed on its processor"


def by_vendor(bundle: Bundle, limits: Limits | None = None) -> BundleArtifact:
    """The artifact as the vendor's own library has executed it on a CPU."""
    measured = fakes.measurements(evaluator=VENDOR, by_vendor=True, latency=(), peak_memory_bytes=0)
    built = Artifact("android", Precision.INT8, (512, 512), (), bundle.artifacts[0].files, 3_000_000)
    return judged(built, bundle.artifacts[0].folder, measured, limits or Limits())


def test_each_level_suffices_for_itself_and_for_those_below_it(passed: Bundle) -> None:
    artifacts = {Status.GRAPH_PARITY: evaluated(passed), Status.VENDOR_CPU: by_vendor(passed), Status.PASSED: passed.artifacts[0]}
    assert {artifact.status for artifact in artifacts.values()} == set(artifacts)
    wanted = {
        Status.GRAPH_PARITY: {"graph_parity_suffices": ("android",)},
        Status.VENDOR_CPU: {"vendor_cpu_suffices": ("android",)},
        Status.PASSED: {},
    }
    codes = {
        (level, status): exit_code(with_artifacts(passed, artifact, **changes))
        for level, changes in wanted.items()
        for status, artifact in artifacts.items()
    }
    below = {(Status.VENDOR_CPU, Status.GRAPH_PARITY), (Status.PASSED, Status.GRAPH_PARITY), (Status.PASSED, Status.VENDOR_CPU)}
    assert {pair for pair, code in codes.items() if code} == below


def test_vendor_code_on_a_cpu_is_said_by_that_name(passed: Bundle) -> None:
    artifact = by_vendor(passed, Limits(max_p50_ms=9.0))
    assert artifact.reason == f"vendor code on this CPU, {VENDOR}"
    bundle = with_artifacts(passed, artifact)
    assert gate(bundle) == (
        f"{NAME}: vendor code on this CPU only, {VENDOR}: run it where it belongs, or set its targets.level to vendor_cpu",
    )  # fmt: skip
    report = markdown(replace(bundle, vendor_cpu_suffices=("android",)))
    assert f"- {NAME}: vendor code on this CPU, {VENDOR}; not judged: max_p50_ms" in report and f"| {NAME} | vendor CPU |" in report


@pytest.mark.parametrize("claimed", [Status.VENDOR_CPU, Status.PASSED])
def test_a_level_that_was_not_reached_is_refused_whatever_suffices(passed: Bundle, claimed: Status) -> None:
    artifact = replace(evaluated(passed), status=claimed)
    assert exit_code(with_artifacts(passed, artifact, graph_parity_suffices=("android",), vendor_cpu_suffices=("android",))) == 1


def test_vendor_code_has_to_keep_the_limits_of_quality_and_size(passed: Bundle) -> None:
    for limits in (Limits(min_ssim_mean=0.99), Limits(min_ssim_worst=0.98), Limits(max_bytes=1)):
        artifact = by_vendor(passed, limits)
        assert artifact.status is Status.FAILED
        assert exit_code(with_artifacts(passed, artifact, vendor_cpu_suffices=("android",))) == 1


def test_limits_of_speed_and_memory_wait_for_the_artifact_itself(passed: Bundle) -> None:
    limits = Limits(min_over_pytorch=3.0, max_p50_ms=9.0, max_memory_bytes=1, min_ssim_mean=0.9)
    artifact = evaluated(passed, limits)
    assert artifact.status is Status.GRAPH_PARITY
    assert artifact.measurements is not None
    assert unjudged(artifact.measurements, limits) == ("max_memory_bytes", "min_over_pytorch", "max_p50_ms")
    assert unjudged(fakes.measurements(), limits) == ()
    report = markdown(with_artifacts(passed, artifact, graph_parity_suffices=("android",)))
    assert f"- {NAME}: graph parity, {EVALUATOR}; not judged: max_memory_bytes, min_over_pytorch, max_p50_ms" in report
    assert f"| {NAME} | graph parity |" in report


def test_every_compute_unit_has_to_keep_the_picture(passed: Bundle) -> None:
    bad = (Score("a", 0.5, 20.0, 0.9), Score("b", math.nan, math.nan, math.nan))
    other_unit = UnitMeasurements("CPU_ONLY", Quality(bad, ()), (), (), (), fakes.DEPARTURES)
    failures = judge(fakes.measurements(other_units=(other_unit,)), Limits(min_ssim_worst=0.9))
    assert [failure.limit for failure in failures] == ["finite:CPU_ONLY", "min_ssim_worst:CPU_ONLY"]
    assert failures[0].sentence == f"{NAME} on CPU_ONLY: NaN or Inf in sample 'b'"


def test_every_compute_unit_is_judged_beside_its_own_float_network(passed: Bundle) -> None:
    """A tint, or a hard sample lost, on one unit alone."""
    apart = replace(fakes.DEPARTURES, pictures=(Departure("a", 0.99, 0.95, 0.02, 7.0),), made=(Departure("noise", 0.2, 0.1, 0.04, 0.9),))
    other_unit = UnitMeasurements("CPU_ONLY", Quality(fakes.SCORES, fakes.HARD), (), (), (), apart)
    failures = judge(fakes.measurements(other_units=(other_unit,)), Limits())
    assert [failure.limit for failure in failures] == ["min_ssim_hard:CPU_ONLY", "max_colour:CPU_ONLY"]
