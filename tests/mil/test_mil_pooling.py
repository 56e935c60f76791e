"""Pooling against one window at a time in NumPy, float64."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random
from torch import from_numpy
from torch.nn import functional

from instantstyle.system.errors import ExecutionError

SIZES, KERNELS, PADS = (7, 8, 5), (3, 4, 2), ((1, 2), (0, 1), (1, 0))


def paddings(pad_type: str, strides: Sequence[int]) -> list[tuple[int, int]]:
    if pad_type == "valid":
        return [(0, 0)] * len(strides)
    if pad_type == "custom":
        return list(PADS[: len(strides)])
    amounts = []
    for size, kernel, stride in zip(SIZES, KERNELS, strides, strict=False):
        total = max(0, int(np.ceil(size / stride) - 1) * stride + kernel - size)
        small, large = total // 2, (total + 1) // 2
        amounts.append((small, large) if pad_type == "same" else (large, small))
    return amounts


def direct_pool(mode: str, x: np.ndarray, strides: Sequence[int], pads: Sequence[tuple[int, int]], exclude: bool) -> np.ndarray:
    dimensions = len(strides)
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *pads), constant_values=np.nan)
    counts = [(size - k) // s + 1 for size, k, s in zip(padded.shape[2:], KERNELS, strides, strict=False)]
    y = np.zeros((*x.shape[:2], *counts))
    for n, c, *position in np.ndindex(*x.shape[:2], *counts):
        window = padded[n, c, *(slice(i * s, i * s + k) for i, s, k in zip(position, strides, KERNELS[:dimensions], strict=True))]
        inside = window[~np.isnan(window)]
        if mode == "max":
            y[n, c, *position] = inside.max()
        elif mode == "l2":
            y[n, c, *position] = np.sqrt((inside**2).sum())
        else:
            y[n, c, *position] = inside.sum() / (inside.size if exclude else window.size)
    return y


CASES = [("iOS15", pad_type) for pad_type in ("valid", "same", "custom")] + [("iOS16", "same_lower"), ("iOS18", "custom")]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 3, 2), (3, 2, 1)])
@pytest.mark.parametrize(("opset", "pad_type"), CASES)
def test_max_pool(dimensions: int, strides: tuple[int, ...], opset: str, pad_type: str) -> None:
    """All values are below 0, where a padding of zeros would show."""
    x, steps = random(2, 3, *SIZES[:dimensions], high=-0.5), strides[:dimensions]
    pad = [amount for pair in PADS[:dimensions] for amount in pair]

    def build(x: Any) -> Any:
        return mb.max_pool(x=x, kernel_sizes=KERNELS[:dimensions], strides=steps, pad_type=pad_type, pad=pad)

    assert_close(only(evaluate(opset, {"x": x}, build)), direct_pool("max", x, steps, paddings(pad_type, steps), False))


@pytest.mark.parametrize("exclude", [True, False])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 3, 2)])
@pytest.mark.parametrize(("opset", "pad_type"), CASES)
def test_avg_pool(exclude: bool, dimensions: int, strides: tuple[int, ...], opset: str, pad_type: str) -> None:
    x, steps = random(2, 3, *SIZES[:dimensions], low=1), strides[:dimensions]
    pad = [amount for pair in PADS[:dimensions] for amount in pair]

    def build(x: Any) -> Any:
        return mb.avg_pool(
            x=x, kernel_sizes=KERNELS[:dimensions], strides=steps, pad_type=pad_type, pad=pad, exclude_padding_from_average=exclude
        )

    assert_close(only(evaluate(opset, {"x": x}, build)), direct_pool("avg", x, steps, paddings(pad_type, steps), exclude))


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("strides", [(1, 1), (3, 2)])
@pytest.mark.parametrize(("opset", "pad_type"), CASES)
def test_l2_pool(dimensions: int, strides: tuple[int, ...], opset: str, pad_type: str) -> None:
    x, steps = random(2, 3, *SIZES[:dimensions]), strides[:dimensions]
    pad = [amount for pair in PADS[:dimensions] for amount in pair]

    def build(x: Any) -> Any:
        return mb.l2_pool(x=x, kernel_sizes=KERNELS[:dimensions], strides=steps, pad_type=pad_type, pad=pad)

    assert_close(only(evaluate(opset, {"x": x}, build)), direct_pool("l2", x, steps, paddings(pad_type, steps), False))


@pytest.mark.parametrize(
    ("size", "pad", "kernel", "stride"), [(8, 1, 3, 3), (7, 1, 3, 2), (8, 0, 3, 2), (9, 1, 2, 4), (6, 2, 5, 4), (10, 1, 2, 3)]
)
@pytest.mark.parametrize("mode", ["max", "included", "excluded", "l2"])
def test_ceil_mode(size: int, pad: int, kernel: int, stride: int, mode: str) -> None:
    """The documentation says that it is PyTorch's, which decides the divisor of windows that reach beyond the padding."""
    x = random(1, 2, size, 11, low=-3, high=-1)
    kernels, strides, pads = (kernel, 3), (stride, 2), (pad, 1)
    shared = {"kernel_sizes": kernels, "strides": strides, "pad_type": "custom", "pad": [pad, pad, 1, 1], "ceil_mode": True}
    tensor = from_numpy(x).double()
    if mode == "max":
        expected = functional.max_pool2d(tensor, kernels, strides, pads, ceil_mode=True)
        found = evaluate("iOS15", {"x": x}, lambda x: mb.max_pool(x=x, **shared))
    elif mode == "l2":
        sums = functional.avg_pool2d(tensor**2, kernels, strides, pads, ceil_mode=True, divisor_override=1)
        expected = sums.sqrt()
        found = evaluate("iOS15", {"x": x}, lambda x: mb.l2_pool(x=x, **shared))
    else:
        expected = functional.avg_pool2d(tensor, kernels, strides, pads, ceil_mode=True, count_include_pad=mode == "included")
        exclude = mode == "excluded"
        found = evaluate("iOS15", {"x": x}, lambda x: mb.avg_pool(x=x, exclude_padding_from_average=exclude, **shared))
    assert_close(only(found), expected.numpy())


@pytest.mark.parametrize("mode", ["max_pool", "avg_pool", "l2_pool"])
def test_window_outside_of_everything(mode: str) -> None:
    """Without padding MIL declares an output here that PyTorch does not have."""

    def build(x: Any) -> Any:
        return getattr(mb, mode)(x=x, kernel_sizes=[1], strides=[3], pad_type="valid", ceil_mode=True)

    with pytest.raises(ExecutionError, match="lies outside of them"):
        evaluate("iOS15", {"x": random(1, 1, 5)}, build)


def test_window_of_padding_alone() -> None:
    def build(x: Any) -> Any:
        return mb.max_pool(x=x, kernel_sizes=[2], strides=[1], pad_type="custom", pad=[2, 0])

    with pytest.raises(ExecutionError, match="lies outside of them"):
        evaluate("iOS15", {"x": random(1, 1, 5)}, build)


def test_ceil_mode_with_same_lower() -> None:
    def build(x: Any) -> Any:
        return mb.max_pool(x=x, kernel_sizes=[2], strides=[2], pad_type="same_lower", ceil_mode=True)

    with pytest.raises(ExecutionError, match="ceil_mode is not defined for pad_type 'same_lower'"):
        evaluate("iOS16", {"x": random(1, 1, 5)}, build)


def test_results_that_core_ml_gave() -> None:
    """From coremltools' test suite: the first window of same_lower holds one element and counts all."""
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 2, 2)

    def build(x: Any) -> Any:
        shared = {"x": x, "kernel_sizes": [2, 2], "pad_type": "same_lower"}
        return mb.avg_pool(**shared), mb.l2_pool(**shared)

    average, root = evaluate("iOS16", {"x": x}, build)
    np.testing.assert_allclose(average.ravel(), [0.25, 0.75, 1, 2.5])
    np.testing.assert_allclose(root.ravel(), [1, 2.236068, 3.162278, 5.477226], rtol=1e-6)


def test_saved_pooling(tmp_path: Path) -> None:
    x = random(1, 2, *SIZES[:2])

    def build(x: Any) -> Any:
        shared = {"x": x, "kernel_sizes": KERNELS[:2], "pad_type": "same"}
        return mb.avg_pool(**shared, strides=[2, 3], exclude_padding_from_average=True), mb.max_pool(**shared), mb.l2_pool(**shared)

    average, maximum, root = evaluate_saved("iOS15", {"x": x}, build, tmp_path)
    assert_close(average, direct_pool("avg", x, (2, 3), paddings("same", (2, 3)), True))
    assert_close(maximum, direct_pool("max", x, (1, 1), paddings("same", (1, 1)), False))
    assert_close(root, direct_pool("l2", x, (1, 1), paddings("same", (1, 1)), False))
