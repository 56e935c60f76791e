"""Comparing calibration tables."""

import dataclasses

import pytest

from instantstyle.calibration.diff import FieldChange, describe, diff_tables
from instantstyle.calibration.table import CalibrationTable, TensorRange


def table(ranges: dict[str, tuple[float, float]], **changes: object) -> CalibrationTable:
    entries = [TensorRange.of("net", tensor, limits, "mse") for tensor, limits in ranges.items()]
    return dataclasses.replace(CalibrationTable.of("m", (64, 32), "mse", "a" * 64, entries), **changes)


A = {"both": (-1.0, 1.0), "half": (-2.0, 2.0), "more": (0.0, 3.0), "near": (-4.0, 4.0), "old": (0.0, 1.0), "sign": (0.0, 5.0)}
B = {"both": (-1.0, 1.0), "half": (-1.0, 0.5), "more": (0.0, 4.5), "near": (-4.0, 4.03), "new": (0.0, 1.0), "sign": (-0.1, 5.0)}


def test_identical_tables() -> None:
    difference = diff_tables(table(A), table(A), tolerance=0)
    assert difference.identical
    assert describe(difference) == "The tables are identical: 6 tensors."


def test_all_kinds_of_differences() -> None:
    difference = diff_tables(table(A), table(B), tolerance=0.01)
    assert not difference.identical
    assert difference.only_in_a == (("net", "old"),)
    assert difference.only_in_b == (("net", "new"),)
    assert [(change.a.tensor, change.ratio) for change in difference.changed] == [("half", 0.5), ("more", pytest.approx(1.5))]
    assert [change.a.tensor for change in difference.sign_changed] == ["sign"]
    assert [change.a.tensor for change in difference.within_tolerance] == ["near"]
    assert difference.compared == 5
    assert describe(difference).splitlines() == [
        "only in a: net old",
        "only in b: net new",
        "scale x0.5: net half (0.015748 -> 0.00787402)",
        "scale x1.5: net more (0.023622 -> 0.0354331)",
        "sign: net sign (range 0..5 -> -0.1..5)",
        "5 tensors in both: 2 scales differ by more than 0.01, 1 signs differ, 1 more differ by less.",
    ]


def test_the_order_is_by_ratio_whatever_its_direction() -> None:
    base = {"a": (0.0, 1.0), "b": (0.0, 1.0), "c": (0.0, 1.0)}
    other = {"a": (0.0, 0.6), "b": (0.0, 1.9), "c": (0.0, 0.5)}
    assert [change.a.tensor for change in diff_tables(table(base), table(other)).changed] == ["c", "b", "a"]
    assert [change.a.tensor for change in diff_tables(table(other), table(base)).changed] == ["c", "b", "a"]


@pytest.mark.parametrize(("tolerance", "changed"), [(0.0, 1), (0.0074, 1), (0.0076, 0)])
def test_tolerance(tolerance: float, changed: int) -> None:
    for first, second in ((A, B), (B, A)):
        near = [{"near": ranges["near"]} for ranges in (first, second)]
        difference = diff_tables(table(near[0]), table(near[1]), tolerance)
        assert (len(difference.changed), len(difference.within_tolerance)) == (changed, 1 - changed)
        assert not difference.identical


@pytest.mark.parametrize("tolerance", [-0.1, float("nan")])
def test_a_tolerance_that_makes_no_sense(tolerance: float) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        diff_tables(table(A), table(A), tolerance)


def test_fields_of_the_whole_table() -> None:
    other = table(A, model="n", size=(64, 64), observer="entropy", image_set_sha256="b" * 64, libraries=(("torch", "9.9"),))
    base = table(A, libraries=(("torch", "2.13"), ("torchao", "0.18")))
    difference = diff_tables(base, other)
    assert difference.fields == (
        FieldChange("model", "m", "n"),
        FieldChange("size", "64x32", "64x64"),
        FieldChange("observer", "mse", "entropy"),
        FieldChange("image set", "a" * 64, "b" * 64),
        FieldChange("version of torch", "2.13", "9.9"),
        FieldChange("version of torchao", "0.18", "none"),
    )
    assert not difference.identical
    assert describe(difference).splitlines()[3] == f"image set: {'a' * 64} -> {'b' * 64}"
