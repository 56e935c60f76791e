"""Padding against numpy.pad, and against element-wise definitions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random

from instantstyle.system.errors import ExecutionError

NUMPY_MODES: dict[str, Any] = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
SHAPES = [
    ((5,), (2, 3)),
    ((4, 3), (1, 2)),
    ((4, 3), (3, 0, 1, 2)),
    ((2, 4, 5), (0, 0, 1, 3, 2, 0)),
    ((3, 4, 5), (2, 1, 0, 0, 4, 1)),
    ((2, 3, 4, 5), (1, 2, 3, 4)),
    ((2, 3, 4, 5), (0, 0, 2, 1, 0, 3, 1, 0)),
    ((2, 2, 3, 4, 2), (1, 1, 0, 1, 2, 0, 3, 2, 1, 0)),
    ((2, 2, 3, 4, 2), (2, 1, 0, 3, 1, 1)),
]


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
@pytest.mark.parametrize(("shape", "pad"), SHAPES)
def test_pad(mode: str, shape: tuple[int, ...], pad: tuple[int, ...]) -> None:
    x = random(*shape)
    value = 0.75

    def build(x: Any) -> Any:
        return mb.pad(x=x, pad=pad, mode=mode, constant_val=value)

    pairs = [(0, 0)] * (len(shape) - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))
    arguments = {"constant_values": value} if mode == "constant" else {}
    assert_close(only(evaluate("iOS15", {"x": x}, build)), np.pad(x, pairs, NUMPY_MODES[mode], **arguments))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("constant", [0, 0, 1, 3, 7, 0]), ("reflect", [7, 3, 1, 3, 7, 3]), ("replicate", [1, 1, 1, 3, 7, 7])],
)
def test_pad_of_a_row(mode: str, expected: list[int]) -> None:
    x = np.array([1, 3, 7], np.float32)
    assert only(evaluate("iOS17", {"x": x}, lambda x: mb.pad(x=x, pad=[2, 1], mode=mode))).tolist() == expected


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
def test_computed_amounts(mode: str) -> None:
    x, pad = random(3, 5), np.array([1, 2, 0, 4], np.int32)
    found = only(evaluate("iOS17", {"x": x, "pad": pad}, lambda x, pad: mb.pad(x=x, pad=pad, mode=mode)))
    assert_close(found, np.pad(x, [(1, 2), (0, 4)], NUMPY_MODES[mode]))


@pytest.mark.parametrize(("mode", "pad"), [("reflect", (0, 3)), ("reflect", (3, 0)), ("replicate", (4, 0)), ("replicate", (0, 4))])
def test_more_than_the_documentation_allows(mode: str, pad: tuple[int, int]) -> None:
    with pytest.raises(ExecutionError, match=f"mode '{mode}' allows {max(pad) - 1} at most"):
        evaluate("iOS15", {"x": random(2, 3)}, lambda x: mb.pad(x=x, pad=pad, mode=mode))


def test_negative_computed_amounts() -> None:
    pad = np.array([-1, 0], np.int32)
    with pytest.raises(ExecutionError, match="negative"):
        evaluate("iOS17", {"x": random(5), "pad": pad}, lambda x, pad: mb.pad(x=x, pad=pad))


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
def test_saved_pad(mode: str, tmp_path: Path) -> None:
    x = random(1, 2, 4, 5)
    found = only(evaluate_saved("iOS16", {"x": x}, lambda x: mb.pad(x=x, pad=[0, 0, 0, 0, 1, 3, 2, 0], mode=mode), tmp_path))
    assert_close(found, np.pad(x, [(0, 0), (0, 0), (1, 3), (2, 0)], NUMPY_MODES[mode]))
