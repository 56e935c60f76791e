"""Capture: a model's graphs to the immutable program that targets emit from, and its form on disk."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule

from ..model.graph import Arrays, Graph, Size
from ..system.errors import CaptureError
from .equality import check_same, probe_inputs
from .normalization.nodes import forget_origins
from .normalization.normalize import normalize

LIBRARIES = {"site-packages", "dist-packages"}


def example_inputs(graph: Graph, size: Size, batch: int) -> tuple[Tensor, ...]:
    """Inputs in the middle of their ranges, in a graph's order."""
    shapes = [(batch, *spec.shape(size)[1:]) for spec in graph.inputs]
    return tuple(torch.full(shape, (spec.minimum + spec.maximum) / 2) for shape, spec in zip(shapes, graph.inputs, strict=True))


@dataclass(frozen=True)
class Trace:
    """A graph as ``torch.export`` captured it, and in the form that everything later works on. Both share tensors with the module."""

    captured: GraphModule
    normalized: GraphModule


def trace(graph: Graph, size: Size, batch: int = 1) -> Trace:
    """``torch.export`` of a graph in eval mode at one size, and its normal form.

    Raises:
        CaptureError: names the line of the model that cannot be captured, or the module that has no normal form.
    """
    _check_names(graph)
    inputs = example_inputs(graph, size, batch)
    try:
        with torch.no_grad():
            # Some keep what they compute first, such as a grid for each size: of torch.export that would be stand-ins without values.
            graph.module.eval()(*(value.clone() for value in inputs))
            captured = cast(GraphModule, torch.export.export(graph.module.eval(), inputs, strict=False).module(check_guards=False))
    except Exception as error:
        # torch.export fails with many unrelated classes; whichever it is, the model's own line is what the user needs.
        raise CaptureError(_explain(graph, error)) from error
    try:
        return Trace(captured, normalize(captured, inputs))
    except CaptureError as error:
        raise CaptureError(f"graph '{graph.name}': {error}") from error


def capture_float(graph: Graph, size: Size, batch: int = 1, samples: Sequence[Arrays] = ()) -> ExportedProgram:
    """The float program of a graph, checked against its module.

    Args:
        samples: inputs of the graph, batch 1, to check it on; seeded random numbers over the inputs' ranges if there are none.

    Raises:
        CaptureError: it cannot be captured, or the program computes something else; names where.
    """
    traced = trace(graph, size, batch)
    check_same(graph, traced.captured, traced.normalized, probe_inputs(graph, size, samples, batch), "the float program")
    with torch.no_grad():
        program = torch.export.export(traced.normalized, example_inputs(graph, size, batch), strict=False)
    forget_origins(program.graph)
    return program


def _check_names(graph: Graph) -> None:
    for name, _ in graph.module.named_modules():
        if name.split(".")[-1] == "code":
            raise CaptureError(
                f"graph '{graph.name}': the submodule '{name}' cannot be captured, because torch.fx reserves the name 'code'; rename it"
            )


def _explain(graph: Graph, error: Exception) -> str:
    """The last line of the user's own code in the traceback, what is wrong with it, and what to do."""
    library = str(Path(torch.__file__).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(library)]
    frames = [frame for frame in frames if Path(frame.filename) != Path(__file__)]
    # A model may come from a package itself, and call others.
    own = [frame for frame in frames if not LIBRARIES & set(Path(frame.filename).parts)] or frames
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    where = f"{own[-1].filename}, line {own[-1].lineno}: {own[-1].line}" if own else "the traceback names no line of the model"
    return f"graph '{graph.name}' cannot be captured: {where}\n  {type(error).__name__}: {first_line}\n  {_advice(error)}"


def _advice(error: Exception) -> str:
    if "DataDependent" in type(error).__name__:
        return (
            "a branch, a loop or a size depends on what is in the picture, and a captured program has but one way: compute with tensors "
            "(torch.where for if, no .item(), float() or int() of a tensor), or move that part out of the model"
        )
    if "does not require grad" in str(error):
        return "a captured program has no gradients: write out what autograd computes here"
    return "a captured program has PyTorch's operators alone: no NumPy, no other library, no new tensor made of numbers of others"
