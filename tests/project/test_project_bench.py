"""The table of `make bench`: what counts as reached, and what never does."""

import math

import pytest
from bench_rows import WholeRelease, speed, whole_release
from bench_table import Number, as_markdown, as_text

from instantstyle.recipe.limits import Limits
from instantstyle.recipe.precision import Precision
from instantstyle.validation.judge.entries import not_emitted
from instantstyle.validation.results.bundle import BundleArtifact
from instantstyle.validation.results.measurements import Status
from instantstyle.validation.results.timing import Latency, Timing

REACHED, WITHIN, MISSED = "aim reached", "within the limit", "LIMIT MISSED"


@pytest.mark.parametrize(("measured", "standing"), [(3.0, REACHED), (2.999, WITHIN), (2.0, WITHIN), (1.999, MISSED), (math.nan, MISSED)])
def test_standing_where_more_is_better(measured: float, standing: str) -> None:
    assert Number("speed", "x", measured, 2, 3).standing == standing


@pytest.mark.parametrize(("measured", "standing"), [(5.0, REACHED), (5.1, WITHIN), (10.1, MISSED), (math.nan, MISSED)])
def test_standing_where_less_is_better(measured: float, standing: str) -> None:
    assert Number("time", " min", measured, 10, 5, more_is_better=False).standing == standing


def test_what_was_not_measured_reaches_nothing() -> None:
    assert Number("time", " min", None, 10, 5, more_is_better=False).standing == "not measured"


def test_a_number_without_limit_has_no_standing() -> None:
    assert Number("bytes", "", 3.0).standing == ""


def test_markdown_and_text_show_the_same_cells() -> None:
    number = Number("size", " bytes", 12_345_678, 20_000_000, 13_000_000, more_is_better=False, note="all graphs", digits=0)
    cells = ("size", "12,345,678 bytes", "20,000,000 bytes", "13,000,000 bytes", "aim reached", "all graphs")
    assert number.cells() == cells
    assert as_markdown([number], "title").splitlines()[-1] == f"| {' | '.join(cells)} |"
    assert as_text([number]).splitlines()[-1].split("  ") == list(cells)


def android(status: Status, reason: str) -> BundleArtifact:
    return not_emitted("android", Precision.INT8, size=(512, 512), limits=Limits(), status=status, reason=reason)


def timing(name: str, p50_ms: float) -> Timing:
    return Timing(name, 30, p50_ms, p50_ms, p50_ms, None)


def test_speed_has_the_limits_of_the_project() -> None:
    contestants = timing("artifact", 40.0), timing("ort_float", 100.0), timing("pytorch", 220.0)
    latency = Latency("stylizer", *contestants, 2.5, 5.5, 2.4, 2.6, 5.4, 5.6)
    rows = list(speed(android(Status.FAILED, "too big"), latency))
    assert [row.cells()[1:] for row in rows] == [
        ("2.50x", "2.00x", "3.00x", "within the limit", "95%: 2.40 to 2.60"),
        ("5.50x", "3.00x", "5.00x", "aim reached", "95%: 5.40 to 5.60"),
    ]


def test_an_artifact_that_did_not_run_keeps_its_rows() -> None:
    rows = speed(android(Status.NOT_EXECUTED, "no runtime here"), None)
    assert [(row.standing, row.note) for row in rows] == [("not measured", "no runtime here")] * 2


def test_release_is_measured_only_when_it_was_run_whole() -> None:
    assert [row.standing for row in whole_release(None)] == ["not measured", "not measured"]
    rows = list(whole_release(WholeRelease(seconds=360.0, peak_memory_bytes=2_500_000_000)))
    assert [(row.measured, row.standing) for row in rows] == [(6.0, "within the limit"), (2.5, "aim reached")]
