"""Capture: a model's graphs to the immutable program that targets emit from, and its form on disk."""

import io
import json
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.export import ExportedProgram

from ..calibration.table import CalibrationTable, check_fits
from ..model.errors import CaptureError
from ..model.graph import Graph, Model, Size
from .disk import atomic_write
from .program import FloatIsland, GraphProgram, Program
from .recipe import QuantizeSettings

if TYPE_CHECKING:
    from .quantize import PreparedGraph


def example_inputs(graph: Graph, size: Size, batch: int) -> tuple[Tensor, ...]:
    """Inputs in the middle of their ranges, in a graph's order."""
    shapes = [(batch, *spec.shape(size)[1:]) for spec in graph.inputs]
    return tuple(torch.full(shape, (spec.minimum + spec.maximum) / 2) for shape, spec in zip(shapes, graph.inputs, strict=True))


def capture_float(graph: Graph, size: Size, batch: int = 1) -> ExportedProgram:
    """``torch.export`` of a graph in eval mode at one size, exact.

    Raises:
        CaptureError: names the line of the model that cannot be captured.
    """
    _check_names(graph)
    try:
        with torch.no_grad():
            return torch.export.export(graph.module.eval(), example_inputs(graph, size, batch), strict=False)
    except Exception as error:
        # torch.export fails with many unrelated classes; whichever it is, the model's own line is what the user needs.
        raise CaptureError(_explain(graph, error)) from error


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
    model: Model, size: Size, table: CalibrationTable | None, tuned: Mapping[str, Mapping[str, Tensor]], settings: QuantizeSettings
) -> Program:
    """Captures all graphs at one size.

    Args:
        table: ranges of the activations; None for a program without int8.
        tuned: weights by graph and parameter name as ``qat.tune`` returned them; empty for post-training quantisation.

    Raises:
        CaptureError: ``torch.export`` refuses the model.
        InstantStyleError: the table does not fit the model.
    """
    if table is None:
        return Program(model.name, size, tuple(_float_graph(graph, size) for graph in model.graphs))
    from .quantize import load_weights, prepare, set_activation_ranges

    prepared = {graph.name: prepare(graph, size, settings) for graph in model.graphs}
    check_fits(table, [(name, tensor) for name, graph in prepared.items() for tensor in graph.activations])
    for name, weights in tuned.items():
        load_weights(prepared[name], weights)
    for name, graph in prepared.items():
        set_activation_ranges(graph, {entry.tensor: entry for entry in table.entries if entry.graph == name})
    return Program(model.name, size, tuple(_quantized_graph(graph, size, prepared[graph.name]) for graph in model.graphs))


def _float_graph(graph: Graph, size: Size) -> GraphProgram:
    from .quantizer import is_convolution

    program = capture_float(graph, size)
    convolutions = sum(map(is_convolution, program.graph.nodes))
    return GraphProgram(graph.name, graph.inputs, graph.outputs, program, None, convolutions, 0, ())


def _quantized_graph(graph: Graph, size: Size, prepared: "PreparedGraph") -> GraphProgram:
    from .quantize import convert

    return GraphProgram(
        graph.name,
        graph.inputs,
        graph.outputs,
        capture_float(graph, size),
        convert(prepared, graph, size),
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
