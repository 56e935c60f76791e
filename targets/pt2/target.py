"""Target ``pt2``: one archive of ``torch.export`` a graph."""

from collections.abc import Sequence
from pathlib import Path

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ..artifact import describe, graph_path
from ..base import Artifact, Availability, Runner, Target
from ..convolutions import convolutions, described
from ..identity import source

PYTHON_NOTE = "torch.export.load reads it in Python; in C++, compile it with AOTInductor for the machine at hand, or take torchscript"


class PT2Target(Target):
    """``<graph>.pt2``. The int8 program is the captured one, integers as weights, for what compiles it further."""

    name = "pt2"
    description = "torch.export archives (float32, int8 program), executed by PyTorch; of int8, its roundings with float kernels"
    precisions: Sequence[Precision] = (Precision.FLOAT32, Precision.INT8)

    def availability(self) -> Availability:
        return Availability(can_emit=True, can_run=True)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        graphs = []
        for graph in program.graphs:
            self._write(program, graph, precision, folder / self._file(graph))
            asked = sum(each.int8 for each in convolutions(graph, precision))
            graphs.append(described(graph, self._file(graph), precision, asked))
        return describe(self.name, program, precision, folder, graphs=graphs, notes=(self._note(),))

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        from .runner import ArchiveRunner

        return ArchiveRunner(graph_path(artifact, folder, graph), artifact, graph, threads)

    def _file(self, graph: GraphProgram) -> str:
        return f"{graph.name}.pt2"

    def _note(self) -> str:
        return PYTHON_NOTE

    def _write(self, program: Program, graph: GraphProgram, precision: Precision, path: Path) -> None:
        from .archive import write
        from .lean import lean

        captured = source(graph, precision)
        if captured is None:
            raise CaptureError(f'graph \'{graph.name}\' has no int8 program: set quantize.method to "qat" or "ptq" in the recipe')
        write(path, program, graph, precision, lean(captured))
