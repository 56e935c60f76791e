"""Quantisation to 8 bits and back, in exact rational arithmetic where ties matter."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random

from instantstyle.system.errors import ExecutionError

RANGES = {"int8": (-128, 127), "uint8": (0, 255)}


def quantized(x: np.ndarray, scale: np.ndarray, zero: np.ndarray, dtype: str) -> np.ndarray:
    """Element by element with Python's ``round``, whose ties go to the even number, of exact fractions."""
    low, high = RANGES[dtype]
    values = [
        min(max(round(Fraction(float(v)) / Fraction(float(s))) + int(z), low), high)
        for v, s, z in zip(x.ravel(), np.broadcast_to(scale, x.shape).ravel(), np.broadcast_to(zero, x.shape).ravel(), strict=True)
    ]
    return np.array(values).reshape(x.shape)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("with_zero_point", [True, False])
@pytest.mark.parametrize("dtype", RANGES)
def test_there_and_back(dtype: str, with_zero_point: bool, axis: int | None) -> None:
    x = random(2, 3, 4, low=-3, high=3)
    shape = () if axis is None else (x.shape[axis],)
    rng = np.random.default_rng(5)
    # Powers of two have exact quotients, so that one wrong rounding shows.
    scale = np.array(2.0 ** rng.integers(-6, -3, shape), np.float32)
    kind = np.dtype(dtype).type
    zero = np.array(rng.integers(-20, 20, shape) if dtype == "int8" else rng.integers(100, 150, shape)).astype(kind)
    given = {} if axis is None else {"axis": axis}
    zeros = {"zero_point": kind(zero) if axis is None else zero} if with_zero_point else {}
    wanted = np.float32(scale) if axis is None else scale

    def build(x):
        narrow = mb.quantize(input=x, scale=wanted, output_dtype=dtype, **zeros, **given)
        return mb.cast(x=narrow, dtype="int32"), mb.dequantize(input=narrow, scale=wanted, **zeros, **given)

    found, back = evaluate("iOS17", {"x": x}, build)
    aligned = [1] * 3
    if axis is not None:
        aligned[axis] = -1
    wide_scale, wide_zero = scale.reshape(aligned), (zero if with_zero_point else np.zeros_like(zero)).reshape(aligned).astype(int)
    expected = quantized(x, wide_scale, wide_zero, dtype)
    assert len(np.unique(expected)) > 10
    np.testing.assert_array_equal(found, expected)
    assert_close(back, (expected - wide_zero) * wide_scale.astype(np.float64), 1e-7)


@pytest.mark.parametrize("zero", [0, 3])
def test_ties_go_to_the_even_number_before_the_zero_point_is_added(zero: int) -> None:
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)

    def build(x):
        return mb.cast(x=mb.quantize(input=x, scale=np.float32(1), zero_point=np.int8(zero), output_dtype="int8"), dtype="int32")

    assert only(evaluate("iOS17", {"x": x}, build)).tolist() == [value + zero for value in (-2, -2, 0, 0, 2, 2)]


@pytest.mark.parametrize(("dtype", "zero"), [("int8", 5), ("int8", -128), ("uint8", 0), ("uint8", 255), ("uint8", 128)])
def test_saturation(dtype: str, zero: int) -> None:
    x = np.array([-np.inf, -1e30, -300, 300, 1e30, np.inf], np.float32)

    def build(x):
        narrow = mb.quantize(input=x, scale=np.float32(0.5), zero_point=np.dtype(dtype).type(zero), output_dtype=dtype)
        return mb.cast(x=narrow, dtype="int32")

    low, high = RANGES[dtype]
    assert only(evaluate("iOS17", {"x": x}, build)).tolist() == [low] * 3 + [high] * 3


def test_nan_is_refused() -> None:
    x = np.array([0.0, np.nan], np.float32)
    with pytest.raises(ExecutionError, match="NaN"):
        evaluate(
            "iOS17",
            {"x": x},
            lambda x: mb.dequantize(input=mb.quantize(input=x, scale=np.float32(1), output_dtype="int8"), scale=np.float32(1)),
        )


@pytest.mark.parametrize("seed", range(4))
def test_scales_that_are_no_powers_of_two(seed: int) -> None:
    x, scale = random(500, seed=seed), np.float32(0.0137 + seed / 1000)

    def build(x):
        return mb.cast(x=mb.quantize(input=x, scale=scale, zero_point=np.int8(-7), output_dtype="int8"), dtype="int32")

    found = only(evaluate("iOS17", {"x": x}, build))
    np.testing.assert_array_equal(found, quantized(x, np.array(scale), np.array(-7), "int8"))


def test_float16_results_are_rounded_once() -> None:
    x = random(64, low=-1, high=1).astype(np.float16)
    scale = np.float16(0.0078)

    def build(x):
        return mb.dequantize(input=mb.quantize(input=x, scale=scale, output_dtype="int8"), scale=scale)

    steps = quantized(x, np.array(scale), np.array(0), "int8")
    np.testing.assert_array_equal(
        only(evaluate("iOS17", {"x": x}, build)), (steps * np.float64(scale)).astype(np.float16).astype(np.float32)
    )


def test_saved_package(tmp_path: Path) -> None:
    x = random(1, 3, 8, 8)
    scale, zero = np.array([0.01, 0.02, 0.03], np.float32), np.array([10, 0, 200], np.uint8)

    def build(x):
        narrow = mb.quantize(input=x, scale=scale, zero_point=zero, axis=1, output_dtype="uint8")
        return mb.dequantize(input=mb.reshape(x=narrow, shape=[1, 3, 64]), scale=scale, zero_point=zero, axis=1)

    wide_scale, wide_zero = scale.reshape(1, 3, 1, 1), zero.reshape(1, 3, 1, 1).astype(int)
    expected = ((quantized(x, wide_scale, wide_zero, "uint8") - wide_zero) * wide_scale.astype(np.float64)).reshape(1, 3, 64)
    assert_close(only(evaluate_saved("iOS17", {"x": x}, build, tmp_path)), expected, 1e-6)
