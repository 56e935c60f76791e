"""Target ``coreai``: one ``.aimodel`` asset a graph."""

import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...capture.program import Program
from ...recipe.precision import Precision
from ..artifact import describe, graph_path
from ..base import Artifact, Availability, Finding, Runner, Target
from ..convolutions import convolutions, described, repeated_note
from ..onnx.half import FLOAT32_OPERATORS
from ..onnx.target import availability
from ..packages import require

# It brings Core AI itself, of the one version that it goes with.
PACKAGES = ("coreai_torch",)
EVALUATOR = "Apple's own Core AI library on this CPU, which has nothing to fall back to; not executed on an Apple device"
NO_DEVICE = "no Apple device"
ELSEWHERE = "Core AI is used here on Linux alone, where its library is its own kernels for the CPU"


class CoreAITarget(Target):
    """``<graph>.aimodel``, a folder, for iOS and macOS 27 on. Inputs and outputs are float32 in NCHW, with the names of the recipe's
    model."""

    name = "coreai"
    description = "Apple Core AI .aimodel (int8, float16, float32), executed by Apple's own library on this CPU"
    precisions = (Precision.INT8, Precision.FLOAT16, Precision.FLOAT32)
    float32_operators = FLOAT32_OPERATORS
    at_best = Availability(can_emit=True, can_run=False, reason=NO_DEVICE, evaluator=EVALUATOR)

    def availability(self) -> Availability:
        if platform.system() != "Linux":
            return Availability(can_emit=False, can_run=False, reason=ELSEWHERE)
        found = availability(PACKAGES, PACKAGES)
        return replace(found, can_run=False) if found.reason else self.at_best

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        require(self.name, PACKAGES)
        from .preflight import findings

        return findings(program, precisions)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        require(self.name, PACKAGES)
        from .lower import write
        from .session import library_version

        graphs, notes = [], (f"from iOS and macOS 27 on; made by coreai-core {library_version()}",)
        for graph in program.graphs:
            file = f"{graph.name}.aimodel"
            write(folder / file, program, graph, precision)
            wanted = convolutions(graph, precision)
            graphs.append(described(graph, file, precision, sum(each.int8 for each in wanted)))
            notes += repeated_note(graph, wanted)
        return describe(self.name, program, precision, folder, graphs=graphs, notes=notes)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        require(self.name, PACKAGES)
        from .runner import CoreAIRunner

        return CoreAIRunner(graph_path(artifact, folder, graph), artifact, graph, EVALUATOR)
