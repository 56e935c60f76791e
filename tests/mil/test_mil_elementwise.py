"""Elementwise operators against NumPy and Python's own arithmetic, float64."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random
from scipy import special

from instantstyle.system.errors import ExecutionError


def each(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """A function of Python numbers, element by element with broadcasting."""
    return np.vectorize(function, otypes=[np.float64])


def floor_of_quotient(x: float, y: float) -> float:
    return float(math.floor(x / y))


BINARY = {
    "add": each(lambda x, y: x + y),
    "sub": each(lambda x, y: x - y),
    "mul": each(lambda x, y: x * y),
    "floor_div": each(floor_of_quotient),
    "mod": each(lambda x, y: x - y * math.floor(x / y)),
    "maximum": each(lambda x, y: x if x > y else y),
    "minimum": each(lambda x, y: y if x > y else x),
}
COMPARISONS = {
    "equal": each(lambda x, y: x == y),
    "not_equal": each(lambda x, y: x != y),
    "greater": each(lambda x, y: x > y),
    "greater_equal": each(lambda x, y: x >= y),
    "less": each(lambda x, y: x < y),
    "less_equal": each(lambda x, y: x <= y),
}
SHAPES = [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (3, 1)), ((1, 4), (3, 1)), ((3,), (2, 3))]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", [*BINARY, "real_div"])
def test_binary_of_floats(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    x, y = random(*shapes[0]), random(*shapes[1], seed=1)
    reference = {**BINARY, "real_div": each(lambda x, y: x / y)}[name]
    found = only(evaluate("iOS15", {"x": x, "y": y}, lambda x, y: getattr(mb, name)(x=x, y=y)))
    assert found.dtype == np.float32
    assert_close(found, reference(x, y))


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", BINARY)
def test_binary_of_integers_stays_integer(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 10, shapes[0], dtype=np.int32)
    y = rng.choice(np.array([-4, -3, -2, -1, 1, 2, 3], np.int32), shapes[1])
    found = only(evaluate("iOS15", {"x": x, "y": y}, lambda x, y: getattr(mb, name)(x=x, y=y)))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, BINARY[name](x, y))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(name: str, dtype: type) -> None:
    x = np.random.default_rng(0).integers(-2, 3, (4, 6)).astype(dtype)
    y = np.random.default_rng(1).integers(-2, 3, (4, 6)).astype(dtype)
    found = only(evaluate("iOS15", {"x": x, "y": y}, lambda x, y: getattr(mb, name)(x=x, y=y)))
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, COMPARISONS[name](x, y))


@pytest.mark.parametrize(
    ("name", "table"), [("logical_and", [0, 0, 0, 1]), ("logical_or", [0, 1, 1, 1]), ("logical_xor", [0, 1, 1, 0])]
)  # fmt: skip
def test_logic(name: str, table: list[int]) -> None:
    x, y = np.array([[False], [True]]), np.array([False, True])
    found = only(evaluate("iOS15", {"x": x, "y": y}, lambda x, y: getattr(mb, name)(x=x, y=y)))
    np.testing.assert_array_equal(found.ravel(), np.array(table, bool))


def test_not() -> None:
    x = np.array([True, False, True])
    assert only(evaluate("iOS15", {"x": x}, lambda x: mb.logical_not(x=x))).tolist() == [False, True, False]


@pytest.mark.parametrize("exponent", [-1.5, 0.0, 0.5, 2.0, 3.0])
def test_pow(exponent: float) -> None:
    x = random(3, 4, low=0.1, high=3.0)
    assert_close(only(evaluate("iOS15", {"x": x}, lambda x: mb.pow(x=x, y=np.float32(exponent)))), each(lambda v: v**exponent)(x))


def test_pow_of_integers() -> None:
    x, y = np.array([-2, 3, 0, 5], np.int32), np.array([3, 4, 0, 1], np.int32)
    found = only(evaluate("iOS15", {"x": x, "y": y}, lambda x, y: mb.pow(x=x, y=y)))
    assert found.dtype == np.int32
    assert found.tolist() == [-8, 81, 1, 5]


def test_real_div_of_integers_is_exact_or_refused() -> None:
    x = np.array([[6, -6], [0, 9]], np.int32)
    assert only(evaluate("iOS15", {"x": x}, lambda x: mb.real_div(x=x, y=np.int32(-3)))).tolist() == [[-2, 2], [0, -3]]
    with pytest.raises(ExecutionError, match="real_div of integers"):
        evaluate("iOS15", {"x": x}, lambda x: mb.real_div(x=x, y=np.int32(2)))


@pytest.mark.parametrize("name", ["floor_div", "mod"])
def test_division_by_integer_zero_is_refused(name: str) -> None:
    x, y = np.array([1], np.int32), np.array([0], np.int32)
    with pytest.raises(ExecutionError):
        evaluate("iOS15", {"x": x, "y": y}, lambda x, y: getattr(mb, name)(x=x, y=y))


def test_negative_integer_exponents_are_refused() -> None:
    x, y = np.array([2], np.int32), np.array([-1], np.int32)
    with pytest.raises(ExecutionError, match="negative exponent"):
        evaluate("iOS15", {"x": x, "y": y}, lambda x, y: mb.pow(x=x, y=y))
    with pytest.raises(ExecutionError, match="exp2"):
        evaluate("iOS15", {"y": y}, lambda y: mb.exp2(x=y))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_maximum_and_minimum_let_nan_through(name: str) -> None:
    x, y = np.array([np.nan, 1.0], np.float32), np.array([0.0, np.nan], np.float32)
    assert np.isnan(only(evaluate("iOS15", {"x": x, "y": y}, lambda x, y: getattr(mb, name)(x=x, y=y)))).all()


# Each with the range of its argument.
UNARY: dict[str, tuple[Callable[[float], float], float, float]] = {
    "abs": (lambda v: v if v > 0 else -v, -3, 3),
    "acos": (math.acos, -1, 1),
    "asin": (math.asin, -1, 1),
    "atan": (math.atan, -5, 5),
    "atanh": (lambda v: 0.5 * math.log((1 + v) / (1 - v)), -0.95, 0.95),
    "ceil": (lambda v: float(-math.floor(-v)), -4, 4),
    "cos": (math.cos, -7, 7),
    "cosh": (lambda v: (math.exp(v) + math.exp(-v)) / 2, -3, 3),
    "erf": (lambda v: float(2 * special.ndtr(v * math.sqrt(2)) - 1), -3, 3),
    "exp": (lambda v: math.e**v, -4, 4),
    "exp2": (lambda v: 2.0**v, -6, 6),
    "floor": (lambda v: float(math.floor(v)), -4, 4),
    "sign": (lambda v: math.copysign(1.0, v), -1, 1),
    "sin": (math.sin, -7, 7),
    "sinh": (lambda v: (math.exp(v) - math.exp(-v)) / 2, -3, 3),
    "sqrt": (lambda v: v**0.5, 0.01, 9),
    "square": (lambda v: v * v, -3, 3),
    "tan": (lambda v: math.sin(v) / math.cos(v), -1.3, 1.3),
    "tanh": (lambda v: 1 - 2 / (math.exp(2 * v) + 1), -4, 4),
}


@pytest.mark.parametrize("shape", [(50,), (2, 3, 5, 4)])
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, shape: tuple[int, ...]) -> None:
    reference, low, high = UNARY[name]
    x = random(*shape, low=low, high=high)
    assert_close(only(evaluate("iOS15", {"x": x}, lambda x: getattr(mb, name)(x=x))), each(reference)(x), 1e-5)


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("abs", [-3, 0, 4], [3, 0, 4]),
        ("sign", [-3, 0, 4], [-1, 0, 1]),
        ("square", [-3, 0, 4], [9, 0, 16]),
        ("exp2", [0, 3, 30], [1, 8, 2**30]),
    ],
)
def test_unary_of_integers(name: str, x: list[int], expected: list[int]) -> None:
    found = only(evaluate("iOS15", {"x": np.array(x, np.int32)}, lambda x: getattr(mb, name)(x=x)))
    assert found.dtype == np.int32
    assert found.tolist() == expected


def test_round_takes_ties_to_the_even_neighbour() -> None:
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.4999, 2.5001], np.float32)
    assert only(evaluate("iOS15", {"x": x}, lambda x: mb.round(x=x))).tolist() == [-2, -2, 0, 0, 2, 2, 0, 3]


def test_sign_of_zero() -> None:
    assert only(evaluate("iOS15", {"x": np.array([0.0, -0.0], np.float32)}, lambda x: mb.sign(x=x))).tolist() == [0, 0]


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_clip(opset: str) -> None:
    x = random(4, 5)
    expected = each(lambda v: min(max(v, -0.5), 1.25))(x)
    assert_close(only(evaluate(opset, {"x": x}, lambda x: mb.clip(x=x, alpha=np.float32(-0.5), beta=np.float32(1.25)))), expected)


def test_clip_with_crossed_limits_gives_the_upper_one() -> None:
    x = np.array([-3.0, 0.0, 3.0], np.float32)
    assert only(evaluate("iOS15", {"x": x}, lambda x: mb.clip(x=x, alpha=np.float32(2), beta=np.float32(1)))).tolist() == [1, 1, 1]


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("epsilon", [None, 0.5])
@pytest.mark.parametrize(
    ("name", "formula", "default"),
    [("inverse", lambda v: 1 / v, 1e-4), ("log", math.log, 1e-45), ("rsqrt", lambda v: 1 / math.sqrt(v), 1e-12)],
)
def test_epsilon_is_added_to_the_input(
    name: str, formula: Callable[[float], float], default: float, epsilon: float | None, opset: str
) -> None:
    x = random(4, 5, low=0.001, high=2)
    given = {} if epsilon is None else {"epsilon": np.float32(epsilon)}
    expected = each(lambda v: formula(v + (default if epsilon is None else epsilon)))(x)
    assert_close(only(evaluate(opset, {"x": x}, lambda x: getattr(mb, name)(x=x, **given))), expected)


def test_log_of_zero_is_that_of_epsilon() -> None:
    found = only(evaluate("iOS17", {"x": np.zeros(3, np.float32)}, lambda x: mb.log(x=x)))
    assert_close(found, np.full(3, math.log(2.0**-149)))
    halves = only(evaluate("iOS15", {"x": np.zeros(3, np.float16)}, lambda x: mb.log(x=x)))
    assert np.isneginf(halves).all()


def test_epsilon_in_float32_of_a_float16_input() -> None:
    x = np.array([0.0, 1.0], np.float16)
    found = only(evaluate("iOS17", {"x": x}, lambda x: mb.rsqrt(x=x, epsilon=np.float32(1e-8))))
    assert found.tolist() == [10000.0, 1.0]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_threshold(dtype: type) -> None:
    x = np.array([-3, 1, 2, 5], dtype)
    assert only(evaluate("iOS15", {"x": x}, lambda x: mb.threshold(x=x, alpha=dtype(2)))).tolist() == [2, 2, 2, 5]


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_])
def test_select(dtype: type) -> None:
    cond = np.array([[True], [False]])
    a, b = np.array([[1, 0, 1]] * 2).astype(dtype), np.array([[0, 1, 1]] * 2).astype(dtype)
    found = only(evaluate("iOS15", {"cond": cond, "a": a, "b": b}, lambda cond, a, b: mb.select(cond=cond, a=a, b=b)))
    np.testing.assert_array_equal(found, np.array([[1, 0, 1], [0, 1, 1]]).astype(dtype))


def test_select_ignores_nan_on_the_other_side() -> None:
    cond, a = np.array([True, False]), np.array([1.0, np.nan], np.float32)
    assert only(evaluate("iOS15", {"cond": cond, "a": a}, lambda cond, a: mb.select(cond=cond, a=a, b=np.float32(7)))).tolist() == [1, 7]


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_cast_of_floats_drops_the_fraction(opset: str) -> None:
    x = np.array([-2.9, -0.5, 0.5, 1.999, 3.0], np.float32)
    found = only(evaluate(opset, {"x": x}, lambda x: mb.cast(x=x, dtype="int32")))
    assert found.dtype == np.int32
    assert found.tolist() == [-2, 0, 0, 1, 3]


@pytest.mark.parametrize(
    ("dtype", "values", "result"),
    [
        ("int8", [-128.0, 127.9], [-128, 127]),
        ("uint8", [-0.5, 255.0], [0, 255]),
        ("int16", [-32768.0, 32767.0], [-32768, 32767]),
        ("uint16", [40000.0, 65535.0], [40000, 65535]),
        ("bool", [0.0, 0.3], [0, 1]),
        ("fp32", [0.1, -7.5], [np.float32(0.1), -7.5]),
        ("fp16", [0.1, 1e6], [np.float16(0.1), np.inf]),
    ],
)
def test_cast_from_float(dtype: str, values: list[float], result: list[float]) -> None:
    x = np.array(values, np.float32)
    found = only(evaluate("iOS17", {"x": x}, lambda x: mb.cast(x=mb.cast(x=x, dtype=dtype), dtype="fp32")))
    assert found.tolist() == [float(value) for value in result]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "bool", "fp16", "fp32"])
def test_cast_from_integers_and_bools(dtype: str) -> None:
    x, flag = np.array([0, 1, 100], np.int32), np.array([False, True, True])

    def build(x, flag):
        narrow, truth = mb.cast(x=x, dtype=dtype), mb.cast(x=flag, dtype=dtype)
        return mb.cast(x=narrow, dtype="int32"), mb.cast(x=truth, dtype="int32")

    numbers, truths = evaluate("iOS17", {"x": x, "flag": flag}, build)
    assert numbers.tolist() == ([0, 1, 1] if dtype == "bool" else [0, 1, 100])
    assert truths.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("dtype", "value"), [("int8", 128.0), ("uint8", -1.0), ("uint16", 65536.0), ("int32", 3e9), ("int32", np.nan), ("int32", np.inf)]
)
def test_cast_of_what_does_not_fit_is_refused(dtype: str, value: float) -> None:
    with pytest.raises(ExecutionError, match="cast"):
        evaluate("iOS17", {"x": np.array([0.0, value], np.float32)}, lambda x: mb.cast(x=x, dtype=dtype))


def test_results_are_rounded_to_float16() -> None:
    x, y = np.array([2048.0], np.float16), np.array([1.0], np.float16)
    assert only(evaluate("iOS15", {"x": x, "y": y}, lambda x, y: mb.add(x=x, y=y))).tolist() == [2048.0]


def test_saved_package(tmp_path: Path) -> None:
    x = random(3, 4)

    def build(x):
        positive = mb.select(cond=mb.greater(x=x, y=np.float32(0)), a=mb.log(x=mb.abs(x=x)), b=mb.mod(x=x, y=np.float32(0.75)))
        return mb.add(x=positive, y=mb.cast(x=mb.cast(x=mb.mul(x=x, y=np.float32(10)), dtype="int32"), dtype="fp32"))

    expected = each(lambda v: (math.log(v) if v > 0 else v - 0.75 * math.floor(v / 0.75)) + math.trunc(10 * v))(x)
    assert_close(only(evaluate_saved("iOS17", {"x": x}, build, tmp_path)), expected)
