"""Capture: a model's graphs to the immutable program that targets emit from, and its form on disk."""

import io
import json
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule

from ..calibration.samples import Sample
from ..calibration.table import CalibrationTable, check_fits
from ..model.errors import CaptureError
from ..model.graph import Arrays, Graph, Model, Size
from ..validation.reference import graph_inputs
from .disk import atomic_write
from .equality import check_same, probe_inputs
from .normalization.nodes import forget_origins
from .normalization.normalize import normalize
from .program import FloatIsland, GraphProgram, Program
from .recipe import QuantizeSettings

if TYPE_CHECKING:
    from .quantize import PreparedGraph


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
    """The last line of the user's own code in the traceback, or in what torch.export quotes of it."""
    library = str(Path(torch.__file__).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(library)]
    own = [frame for frame in frames if Path(frame.filename) != Path(__file__)]
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    where = f"{own[-1].filename}, line {own[-1].lineno}: {own[-1].line}" if own else "the traceback names no line of the model"
    return (
        f"graph '{graph.name}' cannot be captured: {where}\n  {type(error).__name__}: {first_line}\n"
        "  torch.export needs a forward without data-dependent control flow; compute with tensors, or move the branch out of the model"
    )


def capture(
    model: Model,
    size: Size,
    table: CalibrationTable | None,
    tuned: Mapping[str, Mapping[str, Tensor]],
    settings: QuantizeSettings,
    samples: Iterable[Sample] = (),
) -> Program:
    """Captures all graphs at one size.

    Args:
        table: ranges of the activations; None for a program without int8.
        tuned: weights by graph and parameter name as ``qat.tune`` returned them; empty for post-training quantisation.
        samples: to check each program on, at that size; seeded random numbers if there are none.

    Raises:
        CaptureError: ``torch.export`` refuses the model, or a program computes something else than it; names where.
        InstantStyleError: the table does not fit the model.
    """
    fed = list(graph_inputs(model, samples))
    probes = {graph.name: [inputs[graph.name] for inputs in fed] for graph in model.graphs}
    if table is None:
        return Program(model.name, size, tuple(float_graph(graph, size, probes[graph.name]) for graph in model.graphs))
    from .quantize import load_weights, prepare, set_activation_ranges

    prepared = {graph.name: prepare(graph, size, settings, samples=probes[graph.name]) for graph in model.graphs}
    check_fits(table, [(name, tensor) for name, graph in prepared.items() for tensor in graph.activations])
    for name, weights in tuned.items():
        load_weights(prepared[name], weights)
    for name, graph in prepared.items():
        set_activation_ranges(graph, {entry.tensor: entry for entry in table.entries if entry.graph == name})
    graphs = (quantized_graph(graph, size, prepared[graph.name], probes[graph.name]) for graph in model.graphs)
    return Program(model.name, size, tuple(graphs))


def float_graph(graph: Graph, size: Size, samples: Sequence[Arrays]) -> GraphProgram:
    """A graph without int8; raises what ``capture_float`` does."""
    from .quantizer import is_convolution

    program = capture_float(graph, size, samples=samples)
    convolutions = sum(map(is_convolution, program.graph.nodes))
    return GraphProgram(graph.name, graph.inputs, graph.outputs, program, None, convolutions, 0, ())


def quantized_graph(
    graph: Graph, size: Size, prepared: "PreparedGraph", samples: Sequence[Arrays], plain: ExportedProgram | None = None
) -> GraphProgram:
    """A graph in float and int8, from fake quantisers with final ranges of activations.

    Args:
        plain: its float program where that has been captured.

    Raises:
        CaptureError: as ``capture_float`` and ``convert`` do.
    """
    from .quantize import convert

    return GraphProgram(
        graph.name,
        graph.inputs,
        graph.outputs,
        plain or capture_float(graph, size, samples=samples),
        convert(prepared, graph, size, samples),
        prepared.convolutions,
        prepared.int8_convolutions,
        prepared.islands,
    )


def save_program(program: Program, folder: Path) -> None:
    """Writes a program into an existing folder: ``program.json`` and ``.pt2`` files."""
    graphs = []
    for graph in program.graphs:
        entry = {"name": graph.name, "convolutions": graph.convolutions, "int8_convolutions": graph.int8_convolutions}
        entry["islands"] = [asdict(island) for island in graph.float_islands]
        _save(graph.float_program, folder / f"{graph.name}.float.pt2")
        if graph.int8_program is not None:
            _save(graph.int8_program, folder / f"{graph.name}.int8.pt2")
        graphs.append(entry)
    atomic_write(folder / "program.json", json.dumps({"model": program.model, "size": program.size, "graphs": graphs}, indent=1))


def _save(program: ExportedProgram, path: Path) -> None:
    # Through memory: on a full disk the writer of torch.export aborts the process.
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    atomic_write(path, buffer.getvalue())


def load_program(folder: Path, model: Model) -> Program:
    """Reads what ``save_program`` wrote; names, kinds and ranges of inputs and outputs come from the model."""
    from .quantize import quiet

    content = json.loads((folder / "program.json").read_text())
    graphs = []
    with quiet():
        import torchao.quantization.pt2e  # noqa: F401  (registers the quantized_decomposed operators)

        for entry in content["graphs"]:
            graph = model.graph(entry["name"])
            int8 = folder / f"{graph.name}.int8.pt2"
            graphs.append(
                GraphProgram(
                    graph.name,
                    graph.inputs,
                    graph.outputs,
                    torch.export.load(folder / f"{graph.name}.float.pt2"),
                    torch.export.load(int8) if int8.exists() else None,
                    entry["convolutions"],
                    entry["int8_convolutions"],
                    TypeAdapter(tuple[FloatIsland, ...]).validate_python(entry["islands"]),
                )
            )
    return Program(content["model"], tuple(content["size"]), tuple(graphs))
