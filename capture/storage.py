"""Captured programs on disk."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import TypeAdapter
from torch.export import ExportedProgram

from ..model.graph import Model
from ..system.disk import atomic_write
from .program import FloatIsland, GraphProgram, Program

if TYPE_CHECKING:
    pass


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
    from ..system.silence import silence

    content = json.loads((folder / "program.json").read_text())
    graphs = []
    with silence():
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
