"""Runs a module and writes down every operation with the module and the line that it comes from: to say where something goes wrong."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .factory import is_users

# What they return is whatever the memory held before.
UNDEFINED = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")


@dataclass(frozen=True)
class Operation:
    """One operation that ran.

    Attributes:
        operator: e.g. ``bernoulli_``.
        module_path: of the module that ran it; empty for the model's own forward.
        line: of the user's code, e.g. ``net.py:17: x = functional.dropout(x)``; empty where none is near.
        taken, given: floating-point tensors in and out: data type, sum, and whether there is NaN or infinity in them.
    """

    operator: str
    module_path: str
    line: str
    taken: tuple["Summary", ...]
    given: tuple["Summary", ...]

    def __str__(self) -> str:
        place = f"in module '{self.module_path}'" if self.module_path else "in the model's own forward"
        return f"{place}, operation '{self.operator}'" + (f"\n  at {self.line}" if self.line else "")


@dataclass(frozen=True)
class Summary:
    """A tensor."""

    dtype: torch.dtype
    total: float
    nan: bool
    infinite: bool


def record(module: nn.Module, inputs: Sequence[Tensor]) -> list[Operation]:
    """Every operation of one run, in order."""
    recorder = _Recorder()
    with torch.no_grad(), _paths(module, recorder), recorder:
        module(*inputs)
    return recorder.found


def first_that_differs(module: nn.Module, inputs: Sequence[Tensor]) -> Operation | None:
    """The first operation whose results are others in a second run."""
    runs = zip(*(record(module, inputs) for _ in range(2)), strict=False)
    return next((left for left, right in runs if left.operator not in UNDEFINED and _totals(left) != _totals(right)), None)


def last_cast(module: nn.Module, inputs: Sequence[Tensor], dtype: torch.dtype) -> Operation | None:
    """The last operation that made ``dtype`` of something else."""

    def casts(operation: Operation) -> bool:
        taken = {summary.dtype for summary in operation.taken}
        return any(summary.dtype is dtype for summary in operation.given) and (not taken or taken != {dtype})

    return next((operation for operation in reversed(record(module, inputs)) if casts(operation)), None)


def first_not_finite(module: nn.Module, inputs: Sequence[Tensor], nan: bool) -> Operation | None:
    """The first operation that makes NaN (or infinity) of numbers that are not."""

    def has(summaries: Sequence[Summary]) -> bool:
        return any(summary.nan if nan else summary.infinite for summary in summaries)

    known = (each for each in record(module, inputs) if each.operator not in UNDEFINED)
    return next((operation for operation in known if has(operation.given) and not has(operation.taken)), None)


def _totals(operation: Operation) -> list[str]:
    return [str(summary.total) for summary in operation.given]  # as text, NaN is equal to itself


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Operation] = []
        self.stack = [""]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        taken = _summaries((args, kwargs))
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.found.append(Operation(name, self.stack[-1], _line(), taken, _summaries(result)))
        return result


def _summaries(values: object) -> tuple[Summary, ...]:
    return tuple(_summary(value.detach()) for value in tree_leaves(values) if isinstance(value, Tensor) and value.numel())


def _summary(tensor: Tensor) -> Summary:
    # Inside of the mode's own handler nothing is recorded.
    values = tensor.double() if not tensor.is_complex() else torch.view_as_real(tensor).double()
    return Summary(tensor.dtype, float(values.sum()), bool(values.isnan().any()), bool(values.isinf().any()))


def _line() -> str:
    frames = traceback.extract_stack()
    start = max(index for index, frame in enumerate(frames) if frame.filename == __file__ and frame.name == record.__name__)
    frame = next((frame for frame in reversed(frames[start:]) if is_users(frame.filename)), None)
    return f"{frame.filename}:{frame.lineno}: {frame.line}" if frame is not None else ""


@contextmanager
def _paths(module: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """While it lasts, the recorder knows which module is running."""
    handles = []

    def entering(path: str) -> Callable[..., None]:
        return lambda *_: recorder.stack.append(path)

    def leaving(*_: object) -> None:
        recorder.stack.pop()

    for path, child in module.named_modules():
        handles += [child.register_forward_pre_hook(entering(path)), child.register_forward_hook(leaving)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
