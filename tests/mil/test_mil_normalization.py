"""Normalizations against their documented formulas in NumPy, float64."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random
from torch import from_numpy

from instantstyle.system.errors import ExecutionError
from instantstyle.targets.coreml.mil.operators.normalization import layer_norm

SHAPES = {3: (2, 3, 5), 4: (2, 3, 4, 5), 5: (2, 3, 2, 4, 3)}


def per_channel(values: np.ndarray, rank: int) -> np.ndarray:
    return values.astype(np.float64).reshape(1, -1, *[1] * (rank - 2))


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("rank", [3, 4, 5])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("epsilon", [None, 0.25])
def test_batch_norm(opset: str, rank: int, scaled: bool, epsilon: float | None) -> None:
    x, mean, variance = random(*SHAPES[rank]), random(3, seed=1), random(3, seed=2, low=1e-4, high=0.02)
    gamma, beta = random(3, seed=3), random(3, seed=4)
    options: dict[str, Any] = {"gamma": gamma, "beta": beta} if scaled else {}
    options |= {} if epsilon is None else {"epsilon": np.float32(epsilon)}
    expected = (x - per_channel(mean, rank)) / np.sqrt(per_channel(variance, rank) + (1e-5 if epsilon is None else epsilon))
    if scaled:
        expected = per_channel(gamma, rank) * expected + per_channel(beta, rank)
    assert_close(only(evaluate(opset, {"x": x}, lambda x: mb.batch_norm(x=x, mean=mean, variance=variance, **options))), expected)


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize("options", [(), ("gamma",), ("beta",), ("gamma", "beta")])
@pytest.mark.parametrize("epsilon", [None, 0.25])
def test_instance_norm(opset: str, rank: int, options: tuple[str, ...], epsilon: float | None) -> None:
    x = 0.01 * random(*SHAPES[rank]) + 3
    values = {"gamma": random(3, seed=3), "beta": random(3, seed=4)}
    given: dict[str, Any] = {name: values[name] for name in options}
    given |= {} if epsilon is None else {"epsilon": np.float32(epsilon)}
    expected = np.zeros(x.shape)
    for n, c in np.ndindex(*x.shape[:2]):
        plane = x[n, c].astype(np.float64)
        variance = ((plane - plane.mean()) ** 2).mean()
        expected[n, c] = (plane - plane.mean()) / np.sqrt(variance + (1e-5 if epsilon is None else epsilon))
        expected[n, c] = expected[n, c] * (values["gamma"][c] if "gamma" in options else 1) + (
            values["beta"][c] if "beta" in options else 0
        )
    assert_close(only(evaluate(opset, {"x": x}, lambda x: mb.instance_norm(x=x, **given))), expected, tolerance=3e-4)


def test_instance_norm_of_one_element() -> None:
    """PyTorch's own refuses it."""
    beta = random(3, seed=4)
    found = only(evaluate("iOS15", {"x": random(1, 3, 1, 1)}, lambda x: mb.instance_norm(x=x, beta=beta)))
    assert_close(found, beta.reshape(1, 3, 1, 1))


def test_instance_norm_of_a_large_mean() -> None:
    """The variance is computed from differences, so that it does not drown."""
    x = random(1, 2, 64, 64, low=-1, high=1) + 1000
    exact = x.astype(np.float64)
    expected = (exact - exact.mean((2, 3), keepdims=True)) / np.sqrt(exact.var((2, 3), keepdims=True) + 1e-5)
    assert_close(only(evaluate("iOS17", {"x": x}, lambda x: mb.instance_norm(x=x))), expected, tolerance=1e-3)


def test_instance_norm_of_rank_5() -> None:
    with pytest.raises(ExecutionError, match="rank 5"):
        evaluate("iOS15", {"x": random(1, 2, 2, 3, 4)}, lambda x: mb.instance_norm(x=x))


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (3, 2, 2, 3, 4)])
@pytest.mark.parametrize("epsilon", [None, 5.5])
def test_l2_norm(opset: str, shape: tuple[int, ...], epsilon: float | None) -> None:
    x = (0.001 if epsilon is None else 1) * random(*shape)
    options: dict[str, Any] = {} if epsilon is None else {"epsilon": np.float32(epsilon)}
    rows = x.astype(np.float64).reshape(-1, int(np.prod(shape[-3:])))
    expected = np.stack([row / np.sqrt(sum(value**2 for value in row) + (epsilon or 1e-6)) for row in rows]).reshape(shape)
    assert_close(only(evaluate(opset, {"x": x}, lambda x: mb.l2_norm(x=x, **options))), expected)


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3,), (-1,), (2, 3), (3, 2), (-2, -1), (1,), (0, 2), (1, 2, 3), (-4, -1)])
@pytest.mark.parametrize("scaled", [True, False])
def test_layer_norm(opset: str, axes: tuple[int, ...], scaled: bool) -> None:
    x = random(2, 3, 4, 5)
    over = sorted(axis % 4 for axis in axes)
    gamma, beta = (random(*[x.shape[axis] for axis in over], seed=seed) for seed in (1, 2))
    options: dict[str, Any] = {"gamma": gamma, "beta": beta, "epsilon": np.float32(0.1)} if scaled else {}
    options["axes"] = axes
    # The other dimensions first, and those in question as one.
    others = [axis for axis in range(4) if axis not in over]
    moved = x.astype(np.float64).transpose(others + over)
    rows = moved.reshape(*[x.shape[axis] for axis in others], -1)
    centred = rows - rows.mean(axis=-1, keepdims=True)
    rows = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + (0.1 if scaled else 1e-5))
    if scaled:
        rows = gamma.ravel() * rows + beta.ravel()
    expected = rows.reshape(moved.shape).transpose(np.argsort(others + over))
    assert_close(only(evaluate(opset, {"x": x}, lambda x: mb.layer_norm(x=x, **options))), expected)


def test_layer_norm_without_axes() -> None:
    """All of them; coremltools cannot build such an operation."""
    x = random(2, 3, 4)
    found = layer_norm(from_numpy(x)).numpy()
    assert_close(found, (x - x.mean(dtype=np.float64)) / np.sqrt(x.var(dtype=np.float64) + 1e-5))


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("options", [{}, {"alpha": 0.7, "beta": 0.5, "k": 2.0}, {"alpha": 1.5}])
def test_local_response_norm(opset: str, size: int, options: dict[str, float]) -> None:
    x = random(2, 7, 2, 3, low=-3, high=3)
    alpha, beta, k = options.get("alpha", 1e-4), options.get("beta", 0.75), options.get("k", 1.0)
    exact, expected = x.astype(np.float64), np.zeros(x.shape)
    for c in range(7):
        around = exact[:, max(0, c - size // 2) : c + size // 2 + 1]
        expected[:, c] = exact[:, c] / (k + alpha / size * (around**2).sum(axis=1)) ** beta
    given = {name: np.float32(value) for name, value in options.items()}
    assert_close(only(evaluate(opset, {"x": x}, lambda x: mb.local_response_norm(x=x, size=size, **given))), expected)


@pytest.mark.parametrize(
    ("shape", "size", "message"), [((2, 4, 3, 3), 2, "size 2 is even"), ((2, 4, 3), 3, "rank 3"), ((1, 2, 2, 2, 2), 3, "rank 5")]
)
def test_local_response_norm_that_is_not_defined(shape: tuple[int, ...], size: int, message: str) -> None:
    with pytest.raises(ExecutionError, match=message):
        evaluate("iOS15", {"x": random(*shape)}, lambda x: mb.local_response_norm(x=x, size=size))


def test_float16_parameters() -> None:
    """iOS17 lets the parameters be of another type than the input."""
    x, gamma = random(1, 2, 3, 4), np.array([0.1, 3.0], np.float16)
    found = only(evaluate("iOS17", {"x": x}, lambda x: mb.instance_norm(x=x, gamma=gamma, beta=gamma, epsilon=np.float16(0.1))))
    exact = x.astype(np.float64)
    expected = (exact - exact.mean((2, 3), keepdims=True)) / np.sqrt(exact.var((2, 3), keepdims=True) + float(np.float16(0.1)))
    assert_close(found, expected * gamma.reshape(1, 2, 1, 1) + gamma.reshape(1, 2, 1, 1))


def test_saved_normalization(tmp_path: Path) -> None:
    x, gamma, mean = random(2, 3, 4, 5), random(3, seed=1), random(3, seed=2)

    def build(x: Any) -> Any:
        return mb.instance_norm(x=x, gamma=gamma), mb.batch_norm(x=x, mean=mean, variance=mean**2), mb.layer_norm(x=x, axes=[1])

    instance, batch, layer = evaluate_saved("iOS15", {"x": x}, build, tmp_path)
    exact = x.astype(np.float64)

    def standardized(axes: tuple[int, ...]) -> np.ndarray:
        return (exact - exact.mean(axes, keepdims=True)) / np.sqrt(exact.var(axes, keepdims=True) + 1e-5)

    assert_close(instance, standardized((2, 3)) * per_channel(gamma, 4))
    assert_close(batch, (x - per_channel(mean, 4)) / np.sqrt(per_channel(mean, 4) ** 2 + 1e-5))
    assert_close(layer, standardized((1,)))
