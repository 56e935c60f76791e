import math
from dataclasses import replace
from typing import Any

import pytest
from validation_fakes import DEPARTURES, HARD, SCORES, latency, measurements

from instantstyle.recipe.limits import Limits, LimitTable, merge
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import InstantStyleError
from instantstyle.validation.judge.checks import check
from instantstyle.validation.judge.verdict import judge
from instantstyle.validation.results.departure import Departure, Departures
from instantstyle.validation.results.half_range import HalfRange
from instantstyle.validation.results.measurements import GraphExecution, Measurements, Quality, Score

NAN = math.nan
EVERY_LIMIT: dict[str, Any] = {
    "min_ssim_mean": 0.98,
    "min_ssim_worst": 0.97,
    "min_ssim_hard": 0.9,
    "max_colour_hard": 0.9,
    "min_ssim_tile": 0.85,
    "max_block": 0.05,
    "max_colour": 1.5,
    "max_perceptual": 0.2,
    "max_abs": 0.3,
    "max_abs_hard": 0.7,
    "max_bytes": 3_000_000,
    "max_memory_bytes": 90_000_000,
    "min_over_ort_float": 2.4,
    "min_over_pytorch": 3.9,
    "max_p50_ms": 11.01,
    "max_half_share": 0.25,
}


def failed(measured: Measurements, **limits: Any) -> list[str]:
    return [failure.limit for failure in judge(measured, Limits(**limits))]


def with_scores(*scores: Score, hard: tuple[Score, ...] = HARD) -> Measurements:
    return measurements(end_to_end=Quality(scores, hard))


def test_good_measurements_pass_every_limit_at_once() -> None:
    assert EVERY_LIMIT.keys() == Limits.model_fields.keys()
    assert judge(measurements(half_range=QUARTER), Limits(**EVERY_LIMIT)) == ()


TIGHTER = {
    "min_ssim_mean": 0.9805,
    "min_ssim_worst": 0.9713,
    "min_ssim_hard": 0.9001,
    "max_colour_hard": 0.8999,
    "min_ssim_tile": 0.8501,
    "max_block": 0.0499,
    "max_colour": 1.499,
    "max_perceptual": 0.1999,
    "max_abs": 0.2999,
    "max_abs_hard": 0.6999,
    "max_bytes": 2_999_999,
    "max_memory_bytes": 89_999_999,
    "min_over_ort_float": 2.41,
    "min_over_pytorch": 3.91,
    "max_p50_ms": 10.99,
    "max_half_share": 0.2499,
}
QUARTER = HalfRange("painter", "up", "conv2d", 65504 / 4, 0.25, "a")


@pytest.mark.parametrize("limit", TIGHTER)
def test_each_limit_fails_alone_when_it_is_missed(limit: str) -> None:
    assert failed(measurements(half_range=QUARTER), **{**EVERY_LIMIT, limit: TIGHTER[limit]}) == [limit]


@pytest.mark.parametrize(
    "limits",
    [
        {"min_ssim_worst": 0.9712},
        {"min_ssim_hard": 0.90},
        {"max_abs": 0.30},
        {"max_bytes": 3_000_000},
        {"min_over_ort_float": 2.4},
    ],
)
def test_a_value_equal_to_its_limit_passes(limits: dict[str, float]) -> None:
    assert failed(measurements(), **limits) == []


def test_the_sentence_says_which_artifact_which_limit_and_by_how_much() -> None:
    failures = judge(with_scores(Score("b", 0.9712, 35.0, 0.3)), Limits(min_ssim_mean=0.98, min_ssim_worst=0.975))
    assert [failure.sentence for failure in failures] == [
        "android-int8-512x512: SSIM mean 0.9712 is below 0.9800 by 0.0088",
        "android-int8-512x512: SSIM of the worst sample 'b' 0.9712 is below 0.9750 by 0.0038",
    ]
    assert (failures[0].wanted, failures[0].measured) == (0.98, 0.9712)


def test_the_sentence_shows_a_difference_however_small() -> None:
    failure, = judge(with_scores(Score("b", 0.979_996, 35.0, 0.3)), Limits(min_ssim_mean=0.98))  # fmt: skip
    assert failure.sentence.endswith("SSIM mean 0.979996 is below 0.980000 by 0.000004")


def test_the_sentence_of_bytes() -> None:
    failure, = judge(measurements(shipped_bytes=3_412_000), Limits(max_bytes=3_200_000))  # fmt: skip
    assert failure.sentence == "android-int8-512x512: size 3,412,000 bytes is above 3,200,000 bytes by 212,000 bytes"


@pytest.mark.parametrize(
    "scores,hard",
    [
        ((*SCORES, Score("bad", NAN, NAN, NAN)), HARD),
        ((*SCORES, Score("bad", 0.99, NAN, 0.1)), HARD),
        ((*SCORES, Score("bad", 0.99, 40.0, NAN)), HARD),
        ((*SCORES, Score("bad", 0.99, 40.0, math.inf)), HARD),
        (SCORES, (*HARD, Score("bad", NAN, 40.0, 0.1))),
    ],
)
def test_nan_and_inf_fail_without_any_limit(scores: tuple[Score, ...], hard: tuple[Score, ...]) -> None:
    failures = judge(with_scores(*scores, hard=hard), Limits())
    assert [failure.limit for failure in failures] == ["finite"]
    assert failures[0].sentence == "android-int8-512x512: NaN or Inf in sample 'bad', first end to end"


def test_nan_in_one_graph_alone_fails() -> None:
    graphs = (("encoder", Quality((Score("a", None, NAN, NAN),), ())), measurements().graphs[1])
    failures = judge(measurements(graphs=graphs), Limits())
    assert [failure.limit for failure in failures] == ["finite"]
    assert failures[0].sentence.endswith("NaN or Inf in sample 'a', first in graph 'encoder' alone")


def test_an_infinite_psnr_is_that_of_equality_and_passes() -> None:
    assert failed(with_scores(Score("a", 1.0, math.inf, 0.0))) == []


@pytest.mark.parametrize("limit", ["min_ssim_mean", "min_ssim_worst", "max_abs"])
def test_nan_never_meets_a_limit(limit: str) -> None:
    broken = with_scores(*SCORES, Score("bad", NAN, NAN, NAN))
    assert limit in failed(broken, **{limit: -1.0 if limit.startswith("min") else 1e9})
    assert "is NaN" in judge(broken, Limits.model_validate({limit: 1.0}))[-1].sentence


@pytest.mark.parametrize("limit", ["min_over_ort_float", "min_over_pytorch", "max_p50_ms"])
def test_nan_latency_never_meets_a_limit(limit: str) -> None:
    hot = latency("painter", NAN, NAN)
    hot = replace(hot, artifact=replace(hot.artifact, p50_ms=NAN))
    assert limit in failed(measurements(latency=(latency("encoder"), hot)), **{limit: 1e-6 if limit.startswith("min") else 1e9})


def test_what_was_not_measured_fails_where_a_limit_needs_it() -> None:
    empty = measurements(
        precision=Precision.FLOAT32,
        end_to_end=Quality((), ()),
        graphs=(),
        latency=(),
        shipped_bytes=0,
        peak_memory_bytes=0,
        departures=Departures(),
    )
    failures = judge(empty, Limits(**EVERY_LIMIT))
    assert {failure.limit for failure in failures} == {"measured", *EVERY_LIMIT} - {"max_half_share"}
    assert all("was not measured" in failure.sentence and failure.measured is None for failure in failures)


def test_no_scores_fail_without_any_limit() -> None:
    assert failed(measurements(end_to_end=Quality((), HARD))) == ["measured"]
    assert failed(measurements(graphs=(measurements().graphs[0], ("painter", Quality((), ()))))) == ["measured"]
    assert failed(measurements(executions=measurements().executions[:1])) == ["measured"]


def test_hard_samples_have_limits_of_their_own() -> None:
    assert failed(measurements(), min_ssim_worst=0.97, max_abs=0.3) == []
    failure, = judge(measurements(), Limits(min_ssim_hard=0.93))  # fmt: skip
    assert failure.sentence == (
        "android-int8-512x512: SSIM to its own float network in hard sample 'noise' 0.9000 is below 0.9300 by 0.0300"
    )


def test_hard_samples_are_compared_with_the_networks_own_float_self_and_not_with_the_reference() -> None:
    """A pruned network may be far from the reference on noise, and its artifact is still faithful."""
    assert failed(measurements(end_to_end=Quality(SCORES, (Score("noise", 0.2, 10.0, 1.9),)))) == []


@pytest.mark.parametrize("limit", ["min_ssim_hard", "max_colour_hard", "min_ssim_tile", "max_block", "max_colour"])
def test_departures_that_are_missing_or_nan_never_pass(limit: str) -> None:
    value = -1.0 if limit.startswith("min") else 1e9
    assert limit in failed(measurements(departures=Departures()), **{limit: value})
    nothing = (NAN, NAN, NAN, NAN)
    broken = Departures((*DEPARTURES.pictures, Departure("d", *nothing)), (*DEPARTURES.made, Departure("dim", *nothing)))
    assert limit in failed(measurements(departures=broken), **{limit: value})


def test_int8_that_is_slower_than_float_fails_on_any_graph_without_a_limit() -> None:
    slow_side = measurements(latency=(latency("encoder", 0.89), latency("painter")))
    failure, = judge(slow_side, Limits())  # fmt: skip
    assert failure.limit == "int8_faster_than_float:encoder"
    assert failure.sentence == (
        "android-int8-512x512: speed of graph 'encoder' against ONNX Runtime float 0.89x is below 1.00x by 0.11x; ship float here"
    )
    assert failed(measurements(latency=(latency("encoder"), latency("painter", 0.99)))) == ["int8_faster_than_float:painter"]


def test_a_float_artifact_may_be_slower_than_onnx_runtime_float() -> None:
    slow = measurements(precision=Precision.FLOAT32, latency=(latency("encoder", 0.5), latency("painter", 0.9)))
    assert failed(slow) == []
    assert failed(slow, min_over_ort_float=1.0) == ["min_over_ort_float"]


def test_int8_without_latency_fails() -> None:
    failures = judge(measurements(latency=(latency("painter"),)), Limits())
    assert [failure.limit for failure in failures] == ["int8_faster_than_float:encoder"]
    assert "was not measured" in failures[0].sentence and "ship float" not in failures[0].sentence


def test_fewer_int8_convolutions_than_asked_fail() -> None:
    executions = (measurements().executions[0], GraphExecution("painter", "CPU", 8, 6, 7))
    failure, = judge(measurements(executions=executions), Limits())  # fmt: skip
    assert failure.limit == "int8_executed"
    assert failure.sentence.endswith("convolutions that should be int8 are not: graph 'painter' ran 6 of 7")


@pytest.mark.parametrize("ratio", [1.99, 2.01])
def test_a_limit_inside_the_interval_is_undecided_whatever_the_value(ratio: float) -> None:
    measured = measurements(latency=(latency("encoder"), latency("painter", ratio, spread=0.2)))
    failure, = judge(measured, Limits(min_over_ort_float=2.0))  # fmt: skip
    assert (failure.limit, failure.undecided) == ("min_over_ort_float", True)
    assert failure.sentence == (
        f"android-int8-512x512: speed of graph 'painter' against ONNX Runtime float is undecided: {ratio:.2f}x, and the 95% interval "
        f"{ratio - 0.2:.2f}x to {ratio + 0.2:.2f}x has the limit 2.00x inside; release with --remeasure on an idle machine, "
        "or raise latency.processes"
    )


@pytest.mark.parametrize(
    "limit,passes,fails", [("min_over_ort_float", 2.4, 2.61), ("min_over_pytorch", 3.9, 4.11), ("max_p50_ms", 11.0, 8.9)]
)
def test_a_speed_is_decided_by_the_end_of_its_interval(limit: str, passes: float, fails: float) -> None:
    """2.4 to 2.6 times ONNX Runtime float, 3.9 to 4.1 times PyTorch, 9 to 11 ms."""
    assert failed(measurements(), **{limit: passes}) == []
    failure, = judge(measurements(), Limits.model_validate({limit: fails}))  # fmt: skip
    assert (failure.limit, failure.undecided) == (limit, False)
    inside = (passes + fails) / 2
    failure, = judge(measurements(), Limits.model_validate({limit: inside}))  # fmt: skip
    assert (failure.limit, failure.undecided) == (limit, True)


@pytest.mark.parametrize("limit", [{"min_over_ort_float": 1.0}, {"min_over_pytorch": 1.0}, {"max_p50_ms": 1000.0}])
def test_times_taken_on_a_busy_machine_decide_nothing(limit: dict[str, float]) -> None:
    busy = measurements(machine=replace(measurements().machine, busy_elsewhere=0.42))
    result = check(busy, Limits.model_validate(limit))[-1]
    assert (result.limit, result.passed, result.undecided) == (next(iter(limit)), False, True)
    assert "was measured while other processes took 42% of the machine meanwhile, and has to be at" in result.sentence


def test_int8_on_a_busy_machine_is_not_called_slower_than_float() -> None:
    busy = measurements(machine=replace(measurements().machine, busy_elsewhere=0.42))
    failures = judge(busy, Limits())
    assert [(failure.limit, failure.undecided) for failure in failures] == [
        ("int8_faster_than_float:encoder", True),
        ("int8_faster_than_float:painter", True),
    ]
    assert not any("ship float" in failure.sentence for failure in failures)


@pytest.mark.parametrize(
    "limits",
    [{"min_ssim": 0.9}, {"min_ssim_mean": 1.5}, {"min_ssim_mean": NAN}, {"max_bytes": 0}, {"max_bytes": "3200000"}, {"max_bytes": True}]
    + [{"min_over_ort_float": math.inf}, {"min_over_pytorch": 0}],
)
def test_wrong_limits_are_refused(limits: dict[str, object]) -> None:
    with pytest.raises(InstantStyleError, match=rf"limits.toml: \[limits\].*{next(iter(limits))}"):
        LimitTable.parse(limits, "limits.toml")


def test_merge_replaces_what_is_set() -> None:
    merged = merge(Limits(min_ssim_mean=0.9, max_bytes=100), Limits(min_ssim_mean=0.95))
    assert merged == Limits(min_ssim_mean=0.95, max_bytes=100)


def test_limits_of_a_target_and_of_its_precision() -> None:
    table = LimitTable.parse(
        {"min_ssim_mean": 0.9, "max_bytes": 5, "android": {"max_bytes": 4}, "android-int8": {"max_bytes": 3}}, "limits.toml"
    )
    assert table.of("onnx", "int8") == Limits(min_ssim_mean=0.9, max_bytes=5)
    assert table.of("android", "float32") == Limits(min_ssim_mean=0.9, max_bytes=4)
    assert table.of("android", "int8") == Limits(min_ssim_mean=0.9, max_bytes=3)


def test_wrong_limits_of_a_target_are_named() -> None:
    with pytest.raises(InstantStyleError, match=r"limits.toml: \[limits.android\]: unknown key 'max_byte'; known are min_ssim_mean"):
        LimitTable.parse({"android": {"max_byte": 1}}, "limits.toml")
    with pytest.raises(InstantStyleError, match="has to be a table, found 3"):
        LimitTable.parse(3, "limits.toml")
