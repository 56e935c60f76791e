"""Runs a package's MIL program in PyTorch."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....system.errors import ExecutionError
from .errors import UnknownOperatorError
from .halves import is_half, keeps_halves, largest_lost
from .kernels import Kernel, find
from .package import Package

Watch = Callable[[str, tuple[Tensor, ...]], None]
Value = Tensor | str | tuple[Tensor, ...]
# Of coremltools.converters.mil.mil, which is imported at first use and has no types.
Operation = Any
Var = Any


class Arithmetic(StrEnum):
    """Precision of the results.

    PROGRAM rounds the result of every operation to float16 where the program declares it so; within an operation sums are kept in
    float32, as the matrix units of Apple's processors do. FLOAT32 rounds nothing; weights stay as they are stored.
    """

    PROGRAM = "program"
    FLOAT32 = "float32"


@dataclass(frozen=True)
class Step:
    """One operation, ready to run.

    Attributes:
        run: takes the values of ``inputs`` in that order.
        inputs: keys of the values it reads that are no constants.
        halves: for each output, whether it has to be rounded to float16.
        dead: keys of the values that nobody reads afterwards.
    """

    name: str
    operator: str
    run: Callable[..., tuple[Tensor, ...]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    halves: tuple[bool, ...]
    dead: tuple[int, ...]


class Evaluator:
    """The function ``main`` of a package.

    Args:
        package: from ``open_package``.
        arithmetic: of the results.

    Attributes:
        overflow: the first operation of all runs so far whose finite result is infinite in float16, as a sentence; empty if none was.

    Raises:
        UnknownOperatorError: names operator, opset and place.
    """

    def __init__(self, package: Package, arithmetic: Arithmetic = Arithmetic.PROGRAM) -> None:
        self.package, self.arithmetic = package, arithmetic
        self._function = package.program.functions["main"]
        self._constants: dict[int, Value] = {}
        self._steps: list[Step] = []
        self.overflow = ""
        with torch.inference_mode():
            operations = [operation for operation in self._function.operations if not self._take_constant(operation)]
            self._bind(operations)

    @property
    def input_names(self) -> tuple[str, ...]:
        """In the program's order."""
        return tuple(self._function.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """In the program's order."""
        return tuple(var.name for var in self._function.outputs)

    def run(self, inputs: Mapping[str, np.ndarray], watch: Watch | None = None) -> dict[str, np.ndarray]:
        """Evaluates the program.

        Args:
            inputs: by name, in the program's shapes; an image as (1, C, H, W) of 0 to 255.
            watch: is told of every operation's name and results, in order.

        Returns:
            outputs by name, float32 or the program's integer type.
        """
        values: dict[int, Value] = {}
        for name, var in self._function.inputs.items():
            values[id(var)] = self._rounded(torch.from_numpy(np.array(inputs[name])), is_half(var))
        with torch.inference_mode():
            for step in self._steps:
                results = step.run(*(values[key] for key in step.inputs))
                for key in step.dead:
                    del values[key]
                exact = results
                results = tuple(self._rounded(result, half) for result, half in zip(results, step.halves, strict=True))
                if not self.overflow:
                    lost = largest_lost(exact, results, step.halves)
                    self.overflow = (
                        f"operation '{step.name}' ({step.operator}): {lost:.4g} is Inf in float16, which ends at 65504" if lost else ""
                    )
                values.update(zip(step.outputs, results, strict=True))
                if watch is not None:
                    watch(step.name, results)
        return {var.name: self._output(var, values) for var in self._function.outputs}

    def _output(self, var: Var, values: Mapping[int, Value]) -> np.ndarray:
        value = values.get(id(var), self._constants.get(id(var)))
        assert isinstance(value, Tensor)
        return value.numpy()

    def _rounded(self, value: Tensor, half: bool) -> Tensor:
        if not value.is_floating_point():
            return value
        return value.half().float() if half and self.arithmetic is Arithmetic.PROGRAM else value.float()

    def _take_constant(self, operation: Operation) -> bool:
        """Whether the operation is a constant; it is then kept."""
        if operation.op_type != "const":
            return False
        (output,) = operation.outputs
        self._constants[id(output)] = _constant(output)
        return True

    def _bind(self, operations: Sequence[Operation]) -> None:
        last: dict[int, int] = {}
        steps: list[Step] = []
        for operation in operations:
            step = self._step(operation)
            if not step.inputs:
                results = (self._rounded(result, half) for result, half in zip(step.run(), step.halves, strict=True))
                self._constants.update(zip(step.outputs, results, strict=True))
                continue
            steps.append(step)
            for key in step.inputs:
                last[key] = len(steps)
        kept = {id(var) for var in self._function.outputs}
        for position, step in enumerate(steps, start=1):
            dead = tuple({key for key in step.inputs if last[key] == position and key not in kept})
            self._steps.append(Step(**{**vars(step), "dead": dead}))

    def _step(self, operation: Operation) -> Step:
        place = f"operation '{operation.name}' of function 'main' in {self.package.path}"
        opset = _opset(operation)
        function = find(operation.op_type, opset)
        if function is None:
            raise UnknownOperatorError(
                f"{place}: the reference evaluator does not know the operator '{operation.op_type}' of {opset}; nothing was evaluated"
            )
        extra = set(operation.inputs) - set(inspect.signature(function).parameters)
        if extra:
            raise UnknownOperatorError(
                f"{place}: the reference evaluator does not know '{', '.join(sorted(extra))}' of the operator '{operation.op_type}' of "
                f"{opset}; nothing was evaluated"
            )
        fixed: dict[str, Value] = {}
        open_names: list[tuple[str, list[int | Tensor]]] = []
        for name, given in operation.inputs.items():
            parts = given if isinstance(given, (tuple, list)) else (given,)
            values = [self._constants.get(id(var), id(var)) for var in parts]
            if not any(isinstance(value, int) for value in values):
                fixed[name] = tuple(values) if isinstance(given, (tuple, list)) else values[0]  # pyright: ignore[reportArgumentType]
            else:
                open_names.append((name, values if isinstance(given, (tuple, list)) else values[:1]))  # pyright: ignore[reportArgumentType]
        is_list = {name: isinstance(given, (tuple, list)) for name, given in operation.inputs.items()}
        keys = tuple(value for _, values in open_names for value in values if isinstance(value, int))
        run = partial(_call, function, fixed, tuple((name, tuple(values), is_list[name]) for name, values in open_names), place, operation)
        outputs = tuple(operation.outputs)
        rounds = not keeps_halves(operation, self._constants)
        return Step(
            operation.name, operation.op_type, run, keys, tuple(map(id, outputs)), tuple(rounds and is_half(var) for var in outputs), ()
        )


def _call(
    function: Kernel,
    fixed: Mapping[str, Value],
    open_names: Sequence[tuple[str, Sequence[int | Tensor], bool]],
    place: str,
    operation: Operation,
    *given: Value,
) -> tuple[Tensor, ...]:
    """Runs a kernel with its constants and, in order, the values that are none."""
    values = iter(given)
    arguments = dict(fixed)
    for name, parts, is_list in open_names:
        filled = tuple(next(values) if isinstance(part, int) else part for part in parts)
        arguments[name] = filled if is_list else filled[0]  # pyright: ignore[reportArgumentType]
    try:
        result = function(**arguments)
    except (RuntimeError, ValueError, IndexError, TypeError, KeyError) as error:
        raise ExecutionError(f"{place} ({operation.op_type}) cannot be evaluated: {error}") from error
    results = result if isinstance(result, tuple) else (result,)
    for var, value in zip(operation.outputs, results, strict=True):
        _check(var, value, f"{place} ({operation.op_type})")
    return results


def _check(var: Var, value: Tensor, place: str) -> None:
    """The program declares the shape of everything; nothing goes on where a kernel makes another."""
    declared = tuple(var.shape)
    fits = len(declared) == value.dim() and all(
        not isinstance(wanted, (int, np.integer)) or wanted == found for wanted, found in zip(declared, value.shape, strict=True)
    )
    if not fits:
        raise ExecutionError(f"{place}: the evaluator made {tuple(value.shape)}, coremltools declares {declared}: one of them is wrong")


def _constant(var: Var) -> Value:
    from coremltools.converters.mil.mil import types

    value: Any = var.val
    if isinstance(value, str):
        return value
    if types.is_str(var.dtype):
        raise UnknownOperatorError(f"constant '{var.name}': lists of strings are not known to the reference evaluator")
    array = np.array(value)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    elif array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)  # PyTorch's own wide unsigned types have few operators
    return torch.from_numpy(array)


def _opset(operation: Operation) -> str:
    """As kernels are registered: the operator set that the definition in use came with, iOS15 at least."""
    from coremltools.converters.mil._deployment_compatibility import AvailableTarget

    version = operation.opset_version
    assert version is not None
    return max(AvailableTarget(version), AvailableTarget.iOS15).name
