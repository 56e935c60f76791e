"""Target ``openvino``: a folder for each graph with its description and its constants."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...capture.program import Program
from ...model.graph import Arrays
from ...recipe.precision import Precision
from ...system.host import int8_saturates
from ..artifact import describe, graph_path
from ..base import Artifact, Availability, Finding, Runner, Target
from ..convolutions import described
from ..onnx.exporter import PACKAGES as ONNX_PACKAGES
from ..onnx.target import availability
from ..packages import require
from .options import OpenVINOOptions

RUNTIME = "openvino"
SATURATION_NOTE = "this x86 processor has no VNNI: OpenVINO's int8 kernels saturate at 16 bits, so int8 scores are lower here than with it"


class OpenVINOTarget(Target):
    """``<graph>/<graph>.xml`` and ``.bin``. Inputs and outputs are float32 in NCHW, named as in the recipe's model.

    Args:
        options: of the recipe.
    """

    name = "openvino"
    description = "OpenVINO IR (int8, float32, float16 weights), executed by its CPU plugin"
    precisions = (Precision.INT8, Precision.FLOAT16, Precision.FLOAT32)

    def __init__(self, options: OpenVINOOptions | None = None) -> None:
        self.options = options or OpenVINOOptions()

    def configured(self, options: Mapping[str, Any]) -> Target:
        return OpenVINOTarget(OpenVINOOptions.parse(options))

    def availability(self) -> Availability:
        return availability((*ONNX_PACKAGES, RUNTIME), (RUNTIME,))

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        require(self.name, (*ONNX_PACKAGES, RUNTIME))
        from .preflight import findings

        return findings(program)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        require(self.name, (*ONNX_PACKAGES, RUNTIME))
        from .convert import convert

        graphs, notes = [], (*_host_notes(precision), self._precision_note())
        for graph in program.graphs:
            home = folder / graph.name
            home.mkdir()
            asked, graph_notes = convert(program, graph, precision, home)
            graphs.append(described(graph, graph.name, precision, asked))
            notes += graph_notes
        return describe(self.name, program, precision, folder, graphs=graphs, notes=notes)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        require(self.name, (RUNTIME,))
        from .runner import OpenVINORunner

        path = graph_path(artifact, folder, graph) / f"{graph}.xml"
        return OpenVINORunner(path, artifact, graph, threads, self.options.inference_precision)

    def module_times(self, artifact: Artifact, folder: Path, graph: str, *, inputs: Arrays, threads: int) -> Mapping[str, float]:
        require(self.name, (RUNTIME,))
        from .profile import module_times

        path = graph_path(artifact, folder, graph) / f"{graph}.xml"
        precision = self.options.inference_precision
        return module_times(path, artifact.graph(graph), inputs=inputs, threads=threads, precision=precision)

    def _precision_note(self) -> str:
        asked = self.options.inference_precision
        return f"measured with INFERENCE_PRECISION_HINT {asked}; without the hint, OpenVINO takes bf16 where the processor has it"


def _host_notes(precision: Precision) -> tuple[str, ...]:
    """What to know about scores that are measured on the machine that emits."""
    return (SATURATION_NOTE,) if precision is Precision.INT8 and int8_saturates() else ()
