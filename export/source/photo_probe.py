"""Runs a model on a few calibration photos before anything else is done with it: finds what would go wrong later, or pass unseen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...model.graph import Arrays, Graph, Model, Run, Sample, Size, TensorKind, scenario_output
from ...model.select import contents
from ...system.errors import InstantStyleError, RecipeError
from .factory import users_line
from .output_range import Observed, check_range, check_span, notices
from .recorder import Operation, first_not_finite, first_that_differs, last_cast

# Of an output's largest value: what two runs of one network on one machine may differ by.
SAME = 1e-5


@dataclass(frozen=True)
class Call:
    """One graph as the scenario ran it: what it took and gave, in the order of its specs."""

    graph: Graph
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Seen:
    """What a model made of several samples: what its scenario returns, and by name the images that its graphs returned."""

    image: Observed
    inner: dict[str, Observed]


def examine(model: Model, samples: Sequence[Sample], size: Size, bare: bool) -> tuple[str, ...]:
    """Looks at a model on all ``samples``, which are of one size.

    Args:
        bare: whether a recipe, not a ``Model``, says what inputs and outputs mean.

    Returns:
        What is odd about the model, but may be meant.

    Raises:
        RecipeError: two runs differ, an output has another type or shape than it should, NaN or infinity, or values far outside of its
            range; or the model does not run. Names graph, module path and line where they can be found.
    """
    return judge(model, observe(model, samples, size, bare), bare)


def observe(model: Model, samples: Sequence[Sample], size: Size, bare: bool) -> Seen:
    """The images that a model makes of ``samples``. RecipeError as ``examine``, but for values outside of a range."""
    image = Observed(scenario_output(model))
    inner: dict[str, Observed] = {}
    for index, sample in enumerate(samples):
        calls, picture = trace(model, sample, size)
        for call in calls:
            _check_finite(call, sample)
            if index == 0:
                _check_same(call)
            for spec, output in zip(call.graph.outputs, call.outputs, strict=True):
                if spec.kind is TensorKind.IMAGE and not bare:
                    inner.setdefault(f"output '{spec.name}' of graph '{call.graph.name}'", Observed(spec)).add(sample, output.numpy())
        image.add(sample, picture)
    return Seen(image, inner)


def judge(model: Model, seen: Seen, bare: bool) -> tuple[str, ...]:
    """What is odd about these images; RecipeError for values far outside of their range, or of one colour in it."""
    for what, images in seen.inner.items():
        check_range(model, what, images, bare)
    if seen.image.spec.kind is not TensorKind.IMAGE:
        return ()
    what = "its output" if bare else "the image that the scenario returns"
    check_range(model, what, seen.image, bare)
    check_span(model, what, seen.image, bare)
    return notices(seen.image, bare)


def trace(model: Model, sample: Sample, size: Size) -> tuple[list[Call], np.ndarray]:
    """Every call of a graph, checked for type and shape of its outputs, and the image that the scenario returns.

    Raises:
        RecipeError: as ``examine``.
    """
    calls: list[Call] = []
    try:
        picture = model.scenario({graph.name: _traced(graph, calls, size) for graph in model.graphs}, sample.inputs)
    except InstantStyleError:
        raise
    except Exception as error:  # the model's own code
        raise RecipeError(f"model: it fails on '{sample.name}' at {size[0]}x{size[1]}: {users_line(error)}") from error
    return calls, picture


def _traced(graph: Graph, calls: list[Call], size: Size) -> Run:
    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        given = tuple(torch.from_numpy(np.array(inputs[spec.name], np.float32)) for spec in graph.inputs)
        call = Call(graph, given, _outputs(graph, _run(graph, given)))
        _check_interface(call, size)
        calls.append(call)
        return {spec.name: output.numpy() for spec, output in zip(graph.outputs, call.outputs, strict=True)}

    return run


def _run(graph: Graph, inputs: Sequence[Tensor]) -> object:
    with torch.no_grad():
        return graph.module(*(tensor.clone() for tensor in inputs))  # a model may change its inputs


def _outputs(graph: Graph, result: object) -> tuple[Tensor, ...]:
    outputs = result if isinstance(result, tuple) else (result,)
    tensors = tuple(output for output in outputs if isinstance(output, Tensor))
    if len(outputs) != len(graph.outputs) or len(tensors) != len(outputs):
        names = ", ".join(spec.name for spec in graph.outputs)
        raise RecipeError(f"model: graph '{graph.name}' returns {contents(result)}, the model declares its outputs as: {names}")
    return tensors


def _check_interface(call: Call, size: Size) -> None:
    for spec, output in zip(call.graph.outputs, call.outputs, strict=True):
        where = f"model: output '{spec.name}' of graph '{call.graph.name}'"
        if output.dtype is not torch.float32:
            made = _explained(call, lambda module, inputs, dtype=output.dtype: last_cast(module, inputs, dtype))
            way_out = "keep its constants in float32 (.float()), or end its forward with .float()"
            if not output.is_floating_point():
                way_out = "return the image before it is rounded to whole numbers"
            raise RecipeError(f"{where} is {_name(output.dtype)}, artifacts want float32{made}\n  {way_out}")
        if tuple(output.shape) != spec.shape(size):
            raise RecipeError(f"{where} has shape {tuple(output.shape)} at size {size[0]}x{size[1]}, not {spec.shape(size)} as is declared")


def _check_finite(call: Call, sample: Sample) -> None:
    for spec, output in zip(call.graph.outputs, call.outputs, strict=True):
        if not output.isfinite().all():
            nan = bool(output.isnan().any())
            made = _explained(call, lambda module, inputs, nan=nan: first_not_finite(module, inputs, nan))
            raise RecipeError(
                f"model: output '{spec.name}' of graph '{call.graph.name}' has {'NaN' if nan else 'infinity'} on '{sample.name}', "
                f"which first appears{made}\n  check the checkpoint, and divisions, roots and exponentials there"
            )


def _check_same(call: Call) -> None:
    again = _outputs(call.graph, _run(call.graph, call.inputs))
    for spec, first, second in zip(call.graph.outputs, call.outputs, again, strict=True):
        if not (first - second).abs().max() <= SAME * first.abs().max().clamp(min=1e-6):
            made = _explained(call, first_that_differs)
            largest = (first - second).abs().max()
            raise RecipeError(
                f"model: two runs of graph '{call.graph.name}' on the same input give different results ('{spec.name}' differs by up to "
                f"{largest:.3g}), so nothing can be compared with them; it begins{made}\n  random numbers, and state that changes from run "
                "to run, must be off in eval mode: nn.Dropout instead of functional.dropout; noise as an input, or kept in a buffer"
            )


def _explained(call: Call, find: Callable[..., Operation | None]) -> str:
    """Where in a graph something happens."""
    found = find(call.graph.module, [tensor.clone() for tensor in call.inputs])
    return f": {found}" if found is not None else " in an operation that could not be found"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
