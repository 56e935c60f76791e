"""What is rounded to float16, and what that loses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from mil_helpers import evaluate, mb, only

from instantstyle.targets.coreml.mil import halves
from instantstyle.targets.coreml.mil.halves import CHOOSING, keeps_halves, largest_lost

# The largest and smallest numbers of float16, and what float16 has between none of its numbers and zero.
VALUES = [0.0, -0.0, 65504.0, -65504.0, 6e-8, -6e-8, 0.1, 1 / 3, np.inf, -np.inf, 1e-5, 2049.0]
BUILDERS: dict[str, Callable[[Any], Any]] = {
    "concat": lambda x: mb.concat(values=(x, x), axis=1),
    "expand_dims": lambda x: mb.expand_dims(x=x, axes=[0]),
    "identity": lambda x: mb.identity(x=x),
    "max_pool": lambda x: mb.max_pool(x=x, kernel_sizes=[2, 2], strides=[1, 1], pad_type="same"),
    "pad": lambda x: mb.pad(x=x, pad=[0, 0, 0, 0, 1, 1, 1, 1], mode="constant", constant_val=np.float16(0.1)),
    "pixel_shuffle": lambda x: mb.pixel_shuffle(x=x, upscale_factor=2),
    "relu": lambda x: mb.relu(x=x),
    "reshape": lambda x: mb.reshape(x=x, shape=[3, 16]),
    "slice_by_index": lambda x: mb.slice_by_index(x=x, begin=[0, 1, 0, 0], end=[1, 3, 2, 6], stride=[1, 1, 1, 2]),
    "split": lambda x: mb.split(x=x, num_splits=2, axis=1),
    "squeeze": lambda x: mb.squeeze(x=x, axes=[0]),
    "transpose": lambda x: mb.transpose(x=x, perm=[0, 3, 2, 1]),
}


def test_every_choosing_operator_is_looked_at() -> None:
    assert BUILDERS.keys() == CHOOSING


@pytest.mark.parametrize("operator", BUILDERS)
def test_rounding_again_what_was_chosen_changes_no_bit(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array(VALUES * 4, np.float16).reshape(1, 4, 2, 6)
    build = BUILDERS[operator]
    found = evaluate("iOS17", {"x": x}, build)
    monkeypatch.setattr(halves, "CHOOSING", frozenset())
    again = evaluate("iOS17", {"x": x}, build)
    assert [each.tobytes() for each in found] == [each.tobytes() for each in again] and len(found) >= 1


def test_what_computes_is_rounded() -> None:
    x = np.array(VALUES[4:8], np.float16)
    output = only(evaluate("iOS17", {"x": x}, lambda x: mb.relu(x=mb.mul(x=x, y=np.float16(0.3)))))
    product = (x.astype(np.float32) * np.float32(np.float16(0.3))).astype(np.float16)
    np.testing.assert_array_equal(output, np.maximum(product, 0).astype(np.float32))


def test_float32_among_what_is_chosen_is_rounded() -> None:
    class Operation:
        op_type = "concat"

        def __init__(self, *kinds: Any) -> None:
            self.inputs = {"values": tuple(type("Var", (), {"dtype": kind})() for kind in kinds)}

    from coremltools.converters.mil.mil import types

    assert keeps_halves(Operation(types.fp16, types.fp16), {})
    assert not keeps_halves(Operation(types.fp16, types.fp32), {})


@pytest.mark.parametrize("beside", [0.0, float("nan"), float("inf")])
def test_the_largest_number_that_became_infinite_is_told(beside: float) -> None:
    exact = torch.tensor([1.0, -70000.0, 66000.0, beside])
    assert largest_lost((exact,), (exact.half().float(),), (True,)) == 70000
    assert largest_lost((exact,), (exact,), (False,)) == 0
    kept = torch.tensor([1.0, 65504.0, beside])
    assert largest_lost((kept,), (kept.half().float(),), (True,)) == 0
    assert largest_lost((torch.empty(0),), (torch.empty(0),), (True,)) == 0
