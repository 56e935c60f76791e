"""The kernels by operator and opset. There is no default and no nearest match: what is not registered is not known.

A kernel is a function in PyTorch whose parameters have the names that MIL gives the operator's inputs. It gets

- tensors: float32 for fp16 and fp32, otherwise of the declared integer type or bool; constants too, scalars with rank 0;
- ``str`` for strings, ``tuple`` of tensors for a list of values;
- nothing for an optional input that is absent: its default in Python is that of MIL.

It returns a tensor, or a tuple of one for each output, computed in float32. Rounding to float16 is the evaluator's part.
Formulas are those of coremltools' operator documentation (``coremltools.converters.mil.mil.ops.defs``), version 9.0.
"""

import inspect
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Kernel = Callable[..., Tensor | tuple[Tensor, ...]]
Function = TypeVar("Function", bound=Callable[..., object])

_kernels: dict[tuple[str, str], Kernel] = {}


def kernel(operator: str, *opsets: str, preamble: Callable[..., object] | None = None) -> Callable[[Function], Function]:
    """Registers a function for an operator as it is defined in each of ``opsets``, e.g. ``"iOS15", "iOS17"``.

    Args:
        preamble: what operators of one family begin with. Its keyword-only parameters are the kernel's as well, which passes them on.
    """

    def register(function: Function) -> Function:
        if preamble is not None:
            own, shared = (inspect.signature(each) for each in (function, preamble))
            kept = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
            passed_on = [each for each in shared.parameters.values() if each.kind is each.KEYWORD_ONLY]
            function.__signature__ = own.replace(parameters=[*kept, *passed_on])  # pyright: ignore[reportFunctionMemberAccess]
        for opset in opsets:
            if (operator, opset) in _kernels:
                raise ValueError(f"two kernels for {operator} of {opset}")
            _kernels[operator, opset] = function  # pyright: ignore[reportArgumentType]
        return function

    return register


def find(operator: str, opset: str) -> Kernel | None:
    """The kernel of an operator as that opset defines it, or None."""
    from . import operators  # noqa: F401  (registers them)

    return _kernels.get((operator, opset))


def known() -> tuple[tuple[str, str], ...]:
    """Operator and opset of every kernel, sorted."""
    from . import operators  # noqa: F401  (registers them)

    return tuple(sorted(_kernels))


def ints(value: Tensor) -> list[int]:
    """A constant or computed tensor of integers as a list, of a scalar with one entry."""
    return [int(entry) for entry in torch.atleast_1d(value).tolist()]
