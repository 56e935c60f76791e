"""Target ``torchscript``: one traced module a graph."""

from collections.abc import Sequence
from pathlib import Path

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ..artifact import graph_path
from ..base import Artifact, Runner
from ..pt2.target import PT2Target

NOTE = "TorchScript is deprecated in PyTorch: it is for applications that load it already; torch::jit::load reads it in C++"


class TorchScriptTarget(PT2Target):
    """``<graph>.pt`` with the float program."""

    name = "torchscript"
    description = "TorchScript modules (float32), executed by PyTorch's interpreter; deprecated by PyTorch"
    precisions: Sequence[Precision] = (Precision.FLOAT32,)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        from .script import ScriptRunner

        return ScriptRunner(graph_path(artifact, folder, graph), artifact, graph, threads)

    def _file(self, graph: GraphProgram) -> str:
        return f"{graph.name}.pt"

    def _note(self) -> str:
        return NOTE

    def _write(self, program: Program, graph: GraphProgram, precision: Precision, path: Path) -> None:
        from .script import write

        write(path, program, graph)
