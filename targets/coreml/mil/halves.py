"""Where a program computes in float16: which results have to be rounded, and what that makes infinite."""

import math
from collections.abc import Container, Sequence
from typing import Any

import torch
from torch import Tensor

# Of float16's numbers they make float16's numbers again: they choose and place, and compute nothing.
CHOOSING = frozenset(
    ("concat", "expand_dims", "identity", "max_pool", "pad", "pixel_shuffle", "relu", "reshape", "slice_by_index", "split", "squeeze")
    + ("transpose",)
)  # fmt: skip


def is_half(var: Any) -> bool:
    """Whether a value of a MIL program is float16."""
    from coremltools.converters.mil.mil import types

    return var.dtype == types.fp16


def keeps_halves(operation: Any, constants: Container[int]) -> bool:
    """Whether rounding the results of a MIL operation would change nothing, since it chooses among values that are rounded already.

    Args:
        constants: identities of the values that are constants, which are rounded as they are stored.
    """
    if operation.op_type not in CHOOSING:
        return False
    given = [each for value in operation.inputs.values() for each in (value if isinstance(value, (tuple, list)) else (value,))]
    return all(is_half(var) for var in given if id(var) not in constants)


def largest_lost(exact: Sequence[Tensor], rounded: Sequence[Tensor], halves: Sequence[bool]) -> float:
    """The largest finite magnitude that is infinite once it is rounded, of the first result that has one; 0 if none has.

    Args:
        exact, rounded: results of an operation before and after rounding.
        halves: for each of them, whether it was rounded to float16.
    """
    for before, after, half in zip(exact, rounded, halves, strict=True):
        if half and after.is_floating_point() and not _is_finite(after):
            lost = before[torch.isinf(after) & torch.isfinite(before)]
            if lost.numel():
                return float(lost.abs().max())
    return 0.0


def _is_finite(value: Tensor) -> bool:
    """By the extremes alone: a tensor of answers would cost a third of an evaluation."""
    return value.numel() == 0 or all(math.isfinite(bound.item()) for bound in torch.aminmax(value))
