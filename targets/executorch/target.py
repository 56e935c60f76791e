"""Target ``executorch``: one ``.pte`` file a graph."""

from collections.abc import Sequence
from pathlib import Path

from ...capture.program import Program
from ...recipe.precision import Precision
from ..artifact import describe, graph_path
from ..base import Artifact, Availability, Finding, Runner, Target
from ..convolutions import asked_of, described
from ..onnx.target import availability
from ..packages import require

PACKAGES = ("executorch",)


class ExecuTorchTarget(Target):
    """``<graph>.pte``. Inputs and outputs are float32 in NCHW, in the order of the recipe's model; the method ``instantstyle`` of a file
    returns their names and its facts as JSON."""

    name = "executorch"
    description = "ExecuTorch .pte with XNNPACK (int8, float32), executed by its runtime on this machine's CPU"
    precisions = (Precision.INT8, Precision.FLOAT32)

    def availability(self) -> Availability:
        return availability(PACKAGES, PACKAGES)

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        require(self.name, PACKAGES)
        from .preflight import findings

        return findings(program)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        require(self.name, PACKAGES)
        from .lower import write

        graphs, notes = [], ()
        for graph in program.graphs:
            write(folder / f"{graph.name}.pte", program, graph, precision)
            asked, left = asked_of(graph, precision, "ExecuTorch")
            graphs.append(described(graph, f"{graph.name}.pte", precision, asked))
            notes += left
        return describe(self.name, program, precision, folder, graphs=graphs, notes=notes)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        require(self.name, PACKAGES)
        from .runner import ExecuTorchRunner

        return ExecuTorchRunner(graph_path(artifact, folder, graph), artifact, graph, threads)
