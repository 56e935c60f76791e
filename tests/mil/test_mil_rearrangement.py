"""Rearrangements against one element at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mil_helpers import evaluate, evaluate_saved, mb, only, random

from instantstyle.system.errors import ExecutionError

SHAPES = [(1, 1, 2, 3), (2, 3, 4, 1), (1, 2, 3, 5)]


def shuffled(x: np.ndarray, block: int, order: str) -> np.ndarray:
    """The channel of an element of the block: ``channel first`` as in pixel_shuffle, or ``block first`` as in depth_to_space."""
    n, channels, height, width = x.shape
    whole = channels // block**2
    y = np.zeros((n, whole, height * block, width * block), x.dtype)
    for c, row, column in np.ndindex(*y.shape[1:]):
        inner = row % block * block + column % block
        source = c * block**2 + inner if order == "channel first" else inner * whole + c
        y[:, c, row, column] = x[:, source, row // block, column // block]
    return y


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [2, 3])
def test_pixel_shuffle(shape: tuple[int, ...], block: int) -> None:
    x = random(shape[0], shape[1] * block**2, *shape[2:])
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.pixel_shuffle(x=x, upscale_factor=block)))
    np.testing.assert_array_equal(found, shuffled(x, block, "channel first"))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [2, 3])
def test_pixel_unshuffle(shape: tuple[int, ...], block: int) -> None:
    x = random(shape[0], shape[1] * block**2, *shape[2:])
    whole = shuffled(x, block, "channel first")
    found = only(evaluate("iOS16", {"x": whole}, lambda x: mb.pixel_unshuffle(x=x, downscale_factor=np.uint32(block))))
    np.testing.assert_array_equal(found, x)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [2, 3])
def test_depth_to_space(shape: tuple[int, ...], block: int) -> None:
    x = random(shape[0], shape[1] * block**2, *shape[2:])
    found = only(evaluate("iOS17", {"x": x}, lambda x: mb.depth_to_space(x=x, block_size=block)))
    np.testing.assert_array_equal(found, shuffled(x, block, "block first"))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [2, 3])
def test_space_to_depth(shape: tuple[int, ...], block: int) -> None:
    x = random(shape[0], shape[1] * block**2, *shape[2:])
    whole = shuffled(x, block, "block first")
    found = only(evaluate("iOS15", {"x": whole}, lambda x: mb.space_to_depth(x=x, block_size=block)))
    np.testing.assert_array_equal(found, x)


def batched(x: np.ndarray, block: tuple[int, int], pads: list[list[int]]) -> np.ndarray:
    """Image ``(row in block, column in block, image)`` has every so many-th row and column."""
    padded = np.pad(x, ((0, 0), (0, 0), *pads))
    return np.concatenate([padded[:, :, i :: block[0], j :: block[1]] for i in range(block[0]) for j in range(block[1])])


BLOCKS = [((2, 2), (4, 6), [[0, 0], [0, 0]]), ((2, 3), (3, 4), [[1, 0], [0, 2]]), ((3, 1), (5, 2), [[1, 3], [2, 1]])]


@pytest.mark.parametrize(("block", "size", "pads"), BLOCKS)
@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_space_to_batch(block: tuple[int, int], size: tuple[int, int], pads: list[list[int]], opset: str) -> None:
    x = random(2, 3, *size)
    found = only(evaluate(opset, {"x": x}, lambda x: mb.space_to_batch(x=x, block_shape=block, paddings=pads)))
    np.testing.assert_array_equal(found, batched(x, block, pads))


@pytest.mark.parametrize(("block", "size", "pads"), BLOCKS)
@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_batch_to_space(block: tuple[int, int], size: tuple[int, int], pads: list[list[int]], opset: str) -> None:
    x = random(2, 3, *size)
    found = only(evaluate(opset, {"x": batched(x, block, pads)}, lambda x: mb.batch_to_space(x=x, block_shape=block, crops=pads)))
    np.testing.assert_array_equal(found, x)


def test_result_that_core_ml_gave() -> None:
    """From coremltools' test suite."""
    x = np.arange(1, 17, dtype=np.float32).reshape(2, 1, 2, 4)
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.space_to_batch(x=x, block_shape=[2, 2], paddings=[[0, 0], [2, 0]])))
    assert found.reshape(8, 3).tolist() == [
        [0, 1, 3], [0, 9, 11], [0, 2, 4], [0, 10, 12], [0, 5, 7], [0, 13, 15], [0, 6, 8], [0, 14, 16],
    ]  # fmt: skip


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize(("axis", "size", "stride"), [(0, 2, 1), (1, 3, 2), (2, 4, 3), (-1, 2, 2), (-3, 1, 2), (1, 4, 1)])
def test_sliding_windows(opset: str, axis: int, size: int, stride: int) -> None:
    x = random(4, 6, 7)
    at = axis % 3
    starts = range(0, x.shape[at] - size + 1, stride)
    expected = np.stack([np.take(x, range(start, start + size), axis=at) for start in starts], axis=at)
    found = only(evaluate(opset, {"x": x}, lambda x: mb.sliding_windows(x=x, axis=axis, size=size, stride=stride)))
    np.testing.assert_array_equal(found, expected)


def test_sliding_windows_of_integers() -> None:
    x = np.arange(5, dtype=np.int32)
    found = only(evaluate("iOS17", {"x": x}, lambda x: mb.sliding_windows(x=x, axis=0, size=3)))
    assert found.dtype.kind == "i"
    assert found.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_block_that_does_not_divide() -> None:
    with pytest.raises(ExecutionError, match="space_to_depth"):
        evaluate("iOS15", {"x": random(1, 1, 5, 4)}, lambda x: mb.space_to_depth(x=x, block_size=2))


def test_saved_rearrangements(tmp_path: Path) -> None:
    x = random(1, 8, 4, 6)

    def build(x: Any) -> Any:
        whole = mb.depth_to_space(x=x, block_size=2)
        return whole, mb.pixel_unshuffle(x=whole, downscale_factor=np.uint32(2)), mb.sliding_windows(x=x, axis=2, size=2)

    whole, channels, windows = evaluate_saved("iOS16", {"x": x}, build, tmp_path)
    np.testing.assert_array_equal(whole, shuffled(x, 2, "block first"))
    np.testing.assert_array_equal(shuffled(channels, 2, "channel first"), whole)
    np.testing.assert_array_equal(windows, np.stack([x[:, :, i : i + 2] for i in range(3)], axis=2))


def test_saved_space_to_batch(tmp_path: Path) -> None:
    """Its declared sizes are fractions in coremltools."""
    x = random(1, 2, 3, 4)
    pads = [[1, 0], [0, 2]]
    found = only(evaluate_saved("iOS15", {"x": x}, lambda x: mb.space_to_batch(x=x, block_shape=[2, 3], paddings=pads), tmp_path))
    np.testing.assert_array_equal(found, batched(x, (2, 3), pads))
