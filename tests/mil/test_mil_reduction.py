"""Reductions against loops over Python numbers."""

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random

# From the list of all elements that one element of the result comes from.
FORMULAS: dict[str, Callable[[list[float]], float]] = {
    "reduce_sum": math.fsum,
    "reduce_mean": lambda v: math.fsum(v) / len(v),
    "reduce_max": max,
    "reduce_min": min,
    "reduce_prod": math.prod,
    "reduce_l1_norm": lambda v: math.fsum(abs(e) for e in v),
    "reduce_l2_norm": lambda v: math.sqrt(math.fsum(e * e for e in v)),
    "reduce_sum_square": lambda v: math.fsum(e * e for e in v),
    "reduce_log_sum": lambda v: math.log(math.fsum(v)),
    "reduce_log_sum_exp": lambda v: math.log(math.fsum(math.exp(e) for e in v)),
}


def reduced(x: np.ndarray, formula: Callable[[list[float]], float], axes: Sequence[int] | None, keep: bool) -> np.ndarray:
    """One element of the result at a time."""
    gone = {axis % x.ndim for axis in (range(x.ndim) if axes is None else axes)}
    result = np.zeros([1 if axis in gone else size for axis, size in enumerate(x.shape)])
    for place in itertools.product(*map(range, result.shape)):
        region = tuple(slice(None) if axis in gone else index for axis, index in enumerate(place))
        result[place] = formula([float(e) for e in x[region].ravel()])
    return result if keep else result.reshape([size for axis, size in enumerate(x.shape) if axis not in gone])


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("axes", [None, [0], [-1], [1, 2], [-2, 0], [0, 1, 2]])
@pytest.mark.parametrize("name", FORMULAS)
def test_floats(name: str, axes: list[int] | None, keep: bool) -> None:
    x = random(2, 3, 4, low=0.2, high=1.5) if name == "reduce_log_sum" else random(2, 3, 4)
    given = {} if axes is None else {"axes": axes}
    found = only(evaluate("iOS15", {"x": x}, lambda x: getattr(mb, name)(x=x, keep_dims=keep, **given)))
    assert_close(found, reduced(x, FORMULAS[name], axes, keep), 1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_integers_lose_the_fraction(name: str) -> None:
    x = np.array([[3, -4, -2], [5, 1, 2]], np.int32)
    if name == "reduce_log_sum":
        x = np.abs(x)
    found = only(evaluate("iOS15", {"x": x}, lambda x: getattr(mb, name)(x=x, axes=[1])))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, np.trunc(reduced(x, FORMULAS[name], [1], False)))


def test_a_negative_mean_of_integers_is_cut_towards_zero() -> None:
    assert only(evaluate("iOS15", {"x": np.array([[-1, -2]], np.int32)}, lambda x: mb.reduce_mean(x=x, axes=[1]))).tolist() == [-1]


def test_large_exponents_do_not_overflow() -> None:
    x = np.array([[500.0, 500.0], [-500.0, -500.0]], np.float32)
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.reduce_log_sum_exp(x=x, axes=[1])))
    assert_close(found, np.array([500 + math.log(2), -500 + math.log(2)]), 1e-7)


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("name", ["reduce_argmax", "reduce_argmin"])
def test_positions(name: str, axis: int, keep: bool, opset: str) -> None:
    x = np.random.default_rng(3).permutation(60).reshape(3, 4, 5).astype(np.float32)
    pick = max if name == "reduce_argmax" else min
    found = only(evaluate(opset, {"x": x}, lambda x: getattr(mb, name)(x=x, axis=axis, keep_dims=keep)))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, reduced(x, lambda v: v.index(pick(v)), [axis], keep))


@pytest.mark.parametrize("dtype", ["int32", "uint16"])
def test_positions_in_a_type(dtype: str) -> None:
    x = np.array([[5, 9, 1], [7, 2, 3]], np.int32)

    def build(x):
        return mb.cast(x=mb.reduce_argmax(x=x, axis=1, output_dtype=dtype), dtype="int32"), mb.cast(
            x=mb.reduce_argmin(x=x, output_dtype=dtype), dtype="int32"
        )

    assert [result.tolist() for result in evaluate("iOS17", {"x": x}, build)] == [[1, 0], [2, 1]]


def test_saved_package(tmp_path: Path) -> None:
    x = random(1, 3, 4, 5)

    def build(x):
        centred = mb.sub(x=x, y=mb.reduce_mean(x=x, axes=[2, 3], keep_dims=True))
        return mb.reduce_l2_norm(x=centred, axes=[-1, -2])

    expected = np.array([[math.sqrt(sum((e - p.mean()) ** 2 for e in p.ravel())) for p in x[0].astype(np.float64)]])
    assert_close(only(evaluate_saved("iOS17", {"x": x}, build, tmp_path)), expected, 1e-6)
