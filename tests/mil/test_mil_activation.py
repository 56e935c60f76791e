"""Activations against their documented formulas in float64."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random
from scipy import special

Formula = Callable[[np.ndarray], np.ndarray]
ALPHA, BETA = 0.3, 1.7
A, B = float(np.float32(ALPHA)), float(np.float32(BETA))


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return 0.5 * special.erfc(-x / np.sqrt(2))


PLAIN: dict[str, Formula] = {
    "relu": lambda x: np.where(x > 0, x, 0),
    "relu6": lambda x: np.where(x > 6, 6, np.where(x < 0, 0, x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
}
PARAMETRIC: dict[str, Formula] = {
    "elu": lambda x: np.where(x > 0, x, A * (np.exp(x) - 1)),
    "leaky_relu": lambda x: np.where(x >= 0, x, A * x),
    "thresholded_relu": lambda x: np.where(x >= A, x, 0),
    "clamped_relu": lambda x: np.minimum(B, np.where(x >= 0, x, A * x)),
    "linear_activation": lambda x: A * x + B,
    "scaled_tanh": lambda x: A * np.tanh(B * x),
    "sigmoid_hard": lambda x: np.minimum(np.maximum(A * x + B, 0), 1),
}
SHAPES = [(40,), (2, 3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PLAIN)
def test_without_parameters(name: str, shape: tuple[int, ...]) -> None:
    x = random(*shape, low=-9, high=9)
    assert_close(only(evaluate("iOS15", {"x": x}, lambda x: getattr(mb, name)(x=x))), PLAIN[name](x.astype(np.float64)), 1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("name", PARAMETRIC)
def test_with_parameters(name: str, opset: str, shape: tuple[int, ...]) -> None:
    x = random(*shape, low=-9, high=9)
    given = {"alpha": np.float32(ALPHA)}
    if name in ("clamped_relu", "linear_activation", "scaled_tanh", "sigmoid_hard"):
        given["beta"] = np.float32(BETA)
    found = only(evaluate(opset, {"x": x}, lambda x: getattr(mb, name)(x=x, **given)))
    assert_close(found, PARAMETRIC[name](x.astype(np.float64)), 1e-6)


def test_thresholded_relu_keeps_the_threshold_itself() -> None:
    x = np.array([1.0, 0.999, 1.001, -2.0], np.float32)
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.thresholded_relu(x=x, alpha=np.float32(1))))
    np.testing.assert_array_equal(found, np.array([1, 0, 1.001, 0], np.float32))


@pytest.mark.parametrize("alpha", [-0.5, 2.0])
def test_leaky_relu_with_unusual_slopes(alpha: float) -> None:
    x = np.array([-2.0, 0.0, 3.0], np.float32)
    assert only(evaluate("iOS15", {"x": x}, lambda x: mb.leaky_relu(x=x, alpha=np.float32(alpha)))).tolist() == [-2 * alpha, 0, 3]


@pytest.mark.parametrize(
    ("mode", "formula"),
    [
        ("EXACT", lambda x: x * normal_cdf(x)),
        ("TANH_APPROXIMATION", lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
        ("SIGMOID_APPROXIMATION", lambda x: x / (1 + np.exp(-1.702 * x))),
    ],
)
def test_gelu(mode: str, formula: Formula) -> None:
    x = random(3, 50, low=-4, high=4)
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.gelu(x=x, mode=mode)))
    assert_close(found, formula(x.astype(np.float64)), 1e-6)


def test_gelu_is_exact_by_default() -> None:
    x = random(30, low=-4, high=4)
    reference = x * normal_cdf(x.astype(np.float64))
    assert_close(only(evaluate("iOS15", {"x": x}, lambda x: mb.gelu(x=x))), reference, 1e-6)


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_prelu_has_a_slope_per_channel(opset: str) -> None:
    x, alpha = random(2, 3, 4, 5), np.array([0.1, -0.5, 2.0], np.float32)
    expected = np.where(x > 0, x, x * alpha.reshape(1, 3, 1, 1).astype(np.float64))
    assert_close(only(evaluate(opset, {"x": x}, lambda x: mb.prelu(x=x, alpha=alpha))), expected, 1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 7), (1, 3, 2, 3, 4)])
def test_prelu_of_other_ranks(shape: tuple[int, ...]) -> None:
    x, alpha = random(*shape), np.full(3, 0.25, np.float32)
    assert_close(only(evaluate("iOS15", {"x": x}, lambda x: mb.prelu(x=x, alpha=alpha))), np.where(x > 0, x, x * 0.25), 1e-6)


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_softplus_parametric(opset: str) -> None:
    x, alpha, beta = random(2, 3, 4, 5, low=-9, high=9), np.array([0.5, -1, 2], np.float32), np.array([1, 3, -2], np.float32)
    wide = x.astype(np.float64)
    expected = alpha.reshape(1, 3, 1, 1) * np.log1p(np.exp(beta.reshape(1, 3, 1, 1) * wide))
    assert_close(only(evaluate(opset, {"x": x}, lambda x: mb.softplus_parametric(x=x, alpha=alpha, beta=beta))), expected, 1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_softmax(axis: int) -> None:
    x = random(2, 3, 4, low=-30, high=30)
    powers = np.exp(x.astype(np.float64))
    assert_close(only(evaluate("iOS15", {"x": x}, lambda x: mb.softmax(x=x, axis=axis))), powers / powers.sum(axis, keepdims=True), 1e-6)


def test_softmax_of_large_numbers_does_not_overflow() -> None:
    x = np.array([[1000.0, 1000.0, -1000.0]], np.float32)
    assert only(evaluate("iOS15", {"x": x}, lambda x: mb.softmax(x=x))).tolist() == [[0.5, 0.5, 0.0]]


@pytest.mark.parametrize("name", ["softplus", "sigmoid", "silu"])
def test_extremes(name: str) -> None:
    x = np.array([-200.0, 200.0], np.float32)
    expected = {"softplus": [0, 200], "sigmoid": [0, 1], "silu": [0, 200]}[name]
    assert only(evaluate("iOS15", {"x": x}, lambda x: getattr(mb, name)(x=x))).tolist() == expected


def test_saved_package(tmp_path: Path) -> None:
    x, alpha = random(1, 2, 3, 4), np.array([0.1, 0.6], np.float32)

    def build(x):
        return mb.gelu(x=mb.prelu(x=mb.elu(x=x, alpha=np.float32(0.5)), alpha=alpha), mode="TANH_APPROXIMATION")

    wide = x.astype(np.float64)
    elu = np.where(wide > 0, wide, 0.5 * np.expm1(wide))
    prelu = np.where(elu > 0, elu, elu * alpha.reshape(1, 2, 1, 1))
    expected = prelu / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (prelu + 0.044715 * prelu**3)))
    assert_close(only(evaluate_saved("iOS17", {"x": x}, build, tmp_path)), expected, 1e-6)
