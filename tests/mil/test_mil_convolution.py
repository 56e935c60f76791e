"""Convolutions against direct sums in NumPy, float64."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random

from instantstyle.system.errors import ExecutionError

Pads = Sequence[tuple[int, int]]
SIZES, KERNELS, CUSTOM = (7, 6, 5), (3, 2, 4), ((1, 2), (0, 3), (2, 1))


def same_padding(pad_type: str, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros before and after, as the documentation of Core ML's SamePadding has them."""
    output = int(np.ceil(size / stride))
    total = max((output - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    small, large = int(np.floor(total / 2)), int(np.ceil(total / 2))
    return (small, large) if pad_type == "same" else (large, small)


def paddings(pad_type: str, dimensions: int, strides: Sequence[int], dilations: Sequence[int]) -> Pads:
    if pad_type == "valid":
        return ((0, 0),) * dimensions
    if pad_type == "custom":
        return CUSTOM[:dimensions]
    return [same_padding(pad_type, *numbers) for numbers in zip(SIZES[:dimensions], KERNELS[:dimensions], strides, dilations, strict=True)]


def direct_conv(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, pads: Pads, strides: Sequence[int], dilations: Sequence[int], groups: int
) -> np.ndarray:
    """One output element at a time."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *pads))
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    sizes = [(size - r) // s + 1 for size, r, s in zip(x.shape[2:], reach, strides, strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *sizes))
    for o, *position in np.ndindex(w.shape[0], *sizes):
        first = o // (w.shape[0] // groups) * w.shape[1]
        window = [slice(i * s, i * s + r, d) for i, s, r, d in zip(position, strides, reach, dilations, strict=True)]
        patch = x[:, first : first + w.shape[1], *window]
        y[:, o, *position] = (patch * w[o]).reshape(len(x), -1).sum(axis=1) + (0 if b is None else b[o])
    return y


def direct_conv_transpose(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, sizes: Sequence[int], befores: Sequence[int], strides: Sequence[int],
    dilations: Sequence[int], groups: int,
) -> np.ndarray:  # fmt: skip
    """Every input element adds the kernel to the output around its place."""
    per_group = w.shape[1]
    y = np.zeros((x.shape[0], per_group * groups, *sizes)) + b.reshape(1, -1, *[1] * len(sizes))
    for c, *position in np.ndindex(*x.shape[1:]):
        first = c // (x.shape[1] // groups) * per_group
        for offset in np.ndindex(*w.shape[2:]):
            place = [i * s + k * d - p for i, s, k, d, p in zip(position, strides, offset, dilations, befores, strict=True)]
            if all(0 <= at < size for at, size in zip(place, sizes, strict=True)):
                y[:, first : first + per_group, *place] += x[:, c, *position][:, None].astype(np.float64) * w[c, :, *offset]
    return y


def flat(pads: Pads) -> list[int]:
    return [amount for pair in pads for amount in pair]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize(
    ("opset", "pad_type"),
    [(opset, pad_type) for opset in ("iOS15", "iOS17") for pad_type in ("valid", "same", "custom")]
    + [("iOS16", "same_lower"), ("iOS18", "same_lower")],
)
@pytest.mark.parametrize(
    ("stride", "dilation", "groups"), [((1, 1, 1), (1, 1, 1), 1), ((2, 3, 1), (1, 1, 1), 2), ((1, 2, 2), (2, 1, 1), 4)]
)
def test_conv(dimensions: int, opset: str, pad_type: str, stride: tuple[int, ...], dilation: tuple[int, ...], groups: int) -> None:
    strides, dilations = stride[:dimensions], dilation[:dimensions]
    x, w = random(2, 4, *SIZES[:dimensions]), random(8, 4 // groups, *KERNELS[:dimensions], seed=1)
    b = random(8, seed=2)

    def build(x: Any) -> Any:
        return mb.conv(
            x=x, weight=w, bias=b, strides=strides, pad_type=pad_type, pad=flat(CUSTOM[:dimensions]), dilations=dilations, groups=groups
        )

    expected = direct_conv(x, w, b, paddings(pad_type, dimensions, strides, dilations), strides, dilations, groups)
    assert_close(only(evaluate(opset, {"x": x}, build)), expected)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_conv_with_defaults(dimensions: int) -> None:
    """No bias, and everything else left out too."""
    x, w = random(1, 3, *SIZES[:dimensions]), random(5, 3, *KERNELS[:dimensions], seed=1)
    ones = (1,) * dimensions
    expected = direct_conv(x, w, None, ((0, 0),) * dimensions, ones, ones, 1)
    assert_close(only(evaluate("iOS17", {"x": x}, lambda x: mb.conv(x=x, weight=w))), expected)


def test_conv_with_computed_weight_and_bias() -> None:
    x, w, b = random(2, 2, 5, 6), random(3, 2, 3, 2, seed=1), random(3, seed=2)

    def build(x: Any, w: Any, b: Any) -> Any:
        return mb.conv(x=x, weight=w, bias=b, strides=[2, 1], pad_type="same")

    expected = direct_conv(x, w, b, ((1, 1), (0, 1)), (2, 1), (1, 1), 1)
    assert_close(only(evaluate("iOS17", {"x": x, "w": w, "b": b}, build)), expected)


def test_saved_conv(tmp_path: Path) -> None:
    x, w = random(1, 2, 6, 7), random(4, 1, 2, 3, seed=1)

    def build(x: Any) -> Any:
        return mb.conv(x=x, weight=w, strides=[2, 3], pad_type="same_lower", groups=2)

    pads = [same_padding("same_lower", 6, 2, 2, 1), same_padding("same_lower", 7, 3, 3, 1)]
    assert_close(only(evaluate_saved("iOS16", {"x": x}, build, tmp_path)), direct_conv(x, w, None, pads, (2, 3), (1, 1), 2))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("pad_type", ["valid", "same", "custom"])
@pytest.mark.parametrize(
    ("stride", "dilation", "groups"), [((1, 1, 1), (1, 1, 1), 1), ((3, 2, 2), (1, 1, 1), 2), ((2, 3, 1), (2, 1, 1), 1)]
)
def test_conv_transpose(
    dimensions: int, opset: str, pad_type: str, stride: tuple[int, ...], dilation: tuple[int, ...], groups: int
) -> None:
    strides, dilations, kernels = stride[:dimensions], dilation[:dimensions], KERNELS[:dimensions]
    inputs = (4, 3, 5)[:dimensions]
    pads = ((1, 2), (0, 1), (2, 1))[:dimensions]
    x, w, b = random(2, 4, *inputs), random(4, 3, *kernels, seed=1), random(3 * groups, seed=2)
    full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(inputs, strides, kernels, dilations, strict=True)]
    if pad_type == "same":
        sizes = [n * s for n, s in zip(inputs, strides, strict=True)]
        befores = [max(0, have - size) // 2 for have, size in zip(full, sizes, strict=True)]
    else:
        befores, afters = ([pair[side] if pad_type == "custom" else 0 for pair in pads] for side in (0, 1))
        sizes = [have - before - after for have, before, after in zip(full, befores, afters, strict=True)]

    def build(x: Any) -> Any:
        return mb.conv_transpose(
            x=x, weight=w, bias=b, strides=strides, pad_type=pad_type, pad=flat(pads), dilations=dilations, groups=groups
        )

    expected = direct_conv_transpose(x, w, b, sizes, befores, strides, dilations, groups)
    assert_close(only(evaluate(opset, {"x": x}, build)), expected)


@pytest.mark.parametrize(
    ("pad_type", "pads", "kernel", "size"),
    [
        ("custom", (1, 1), 3, 8),  # PyTorch's output_padding 1
        ("custom", (1, 0), 4, 13),
        ("valid", (0, 0), 2, 10),  # positions that no input reaches
        ("same", (0, 0), 4, 10),
        ("same", (0, 0), 4, 11),
        ("same", (0, 0), 3, 10),
        ("same", (0, 0), 1, 12),
    ],
)
@pytest.mark.parametrize("with_bias", [True, False])
def test_conv_transpose_with_output_shape(pad_type: str, pads: tuple[int, int], kernel: int, size: int, with_bias: bool) -> None:
    """It is the gradient of the convolution from that size: the padding of ``same`` follows from the size."""
    inputs, stride = (3, 4)[kernel == 4 or pad_type == "same"], 3
    x, w, b = random(1, 2, inputs), random(2, 3, kernel, seed=1), random(3, seed=2)
    before = same_padding("same", size, kernel, stride, 1)[0] if pad_type == "same" else pads[0]

    def build(x: Any) -> Any:
        shape = [1, 3, size]
        bias = {"bias": b} if with_bias else {}
        return mb.conv_transpose(x=x, weight=w, strides=[stride], pad_type=pad_type, pad=pads, output_shape=shape, **bias)

    expected = direct_conv_transpose(x, w, b if with_bias else 0 * b, [size], [before], [stride], [1], 1)
    assert_close(only(evaluate("iOS15", {"x": x}, build)), expected)


def test_conv_transpose_is_the_adjoint_of_same_conv() -> None:
    """<conv(y), x> = <y, conv_transpose(x)> for a stride that does not divide the sizes."""
    y, x, w = random(1, 3, 11, 8, seed=3), random(1, 2, 4, 4), random(2, 3, 4, 3, seed=1)

    def build(x: Any) -> Any:
        return mb.conv_transpose(x=x, weight=w, strides=[3, 2], pad_type="same", output_shape=[1, 3, 11, 8])

    transposed = only(evaluate("iOS17", {"x": x}, build)).astype(np.float64)
    pads = [same_padding("same", 11, 4, 3, 1), same_padding("same", 8, 3, 2, 1)]
    convolved = direct_conv(y, w, None, pads, (3, 2), (1, 1), 1)
    assert (transposed * y).sum() == pytest.approx((convolved * x).sum(), rel=1e-5)


@pytest.mark.parametrize("size", [7, 14])
def test_impossible_output_shape(size: int) -> None:
    def build(x: Any) -> Any:
        return mb.conv_transpose(x=x, weight=random(2, 3, 3), strides=[3], pad_type="same", output_shape=[1, 3, size])

    with pytest.raises(ExecutionError, match=f"output_shape: no convolution of these parameters takes {size} to 4"):
        evaluate("iOS15", {"x": random(1, 2, 4)}, build)


def test_saved_conv_transpose(tmp_path: Path) -> None:
    x, w, b = random(1, 2, 3, 4), random(2, 3, 3, 2, seed=1), random(3, seed=2)

    def build(x: Any) -> Any:
        return mb.conv_transpose(x=x, weight=w, bias=b, strides=[2, 1], pad_type="custom", pad=[1, 0, 0, 1])

    expected = direct_conv_transpose(x, w, b, (6, 4), (1, 0), (2, 1), (1, 1), 1)
    assert_close(only(evaluate_saved("iOS15", {"x": x}, build, tmp_path)), expected)
