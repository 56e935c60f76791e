"""Target ``qnn``: a folder for each graph with its ONNX file and what Qualcomm's compiler makes of it for each architecture."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...capture.program import Program
from ...recipe.precision import Precision
from ..artifact import describe_files, graph_path
from ..base import Artifact, ArtifactFile, Availability, Finding, Runner, Target
from ..convolutions import described
from ..onnx.exporter import PACKAGES as ONNX_PACKAGES
from ..onnx.target import availability, save
from ..packages import require
from .options import CHIPS, QNNOptions

PACKAGES = ("onnxruntime", "onnxruntime_qnn")
EVALUATOR = "Qualcomm's own HTP library on x86, with every fallback to the CPU refused; not executed on a Hexagon processor"
NO_PROCESSOR = "no Hexagon processor"
ELSEWHERE = "Qualcomm's HTP library is used here on x86-64 Linux alone"


class QNNTarget(Target):
    """``<graph>/graph.onnx``, which QNN compiles when it opens it, and ``<graph>/v75.onnx`` and so on, which were compiled here.

    Args:
        options: of the recipe.
    """

    name = "qnn"
    description = "Qualcomm Hexagon (int8, float16) through ONNX Runtime's QNN provider, executed by Qualcomm's library on this CPU"
    precisions = (Precision.INT8, Precision.FLOAT16)
    at_best = Availability(can_emit=True, can_run=False, reason=NO_PROCESSOR, evaluator=EVALUATOR)

    def __init__(self, options: QNNOptions | None = None) -> None:
        self.options = options or QNNOptions()

    def configured(self, options: Mapping[str, Any]) -> Target:
        return QNNTarget(QNNOptions.parse(options))

    def availability(self) -> Availability:
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            return Availability(can_emit=False, can_run=False, reason=ELSEWHERE)
        found = availability((*ONNX_PACKAGES, *PACKAGES), PACKAGES)
        return replace(found, can_run=False) if found.reason else self.at_best

    def computes_half(self, precision: Precision) -> bool:
        return True  # what is not int8 is float16

    def irreproducible(self, files: Sequence[ArtifactFile]) -> Mapping[str, str]:
        why = "Qualcomm's compiler writes other bytes each time"
        return {file.path: why for file in files if Path(file.path).name.startswith("v")}

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        require(self.name, (*ONNX_PACKAGES, *PACKAGES))
        from .preflight import findings

        return findings(program, precisions)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        require(self.name, (*ONNX_PACKAGES, *PACKAGES))
        from .convert import check_taken, convert, write_context
        from .runner import ONNX_FILE, context_file
        from .session import DEFAULT_ARCHITECTURE, version

        graphs, notes, shipped_bytes = [], (self._note(version()),), 0
        for graph in program.graphs:
            home = folder / graph.name
            home.mkdir()
            model, asked, graph_notes = convert(program, graph, precision)
            source = home / ONNX_FILE
            save(model, source)
            if not self.options.architectures:
                check_taken(source, program, graph, precision, DEFAULT_ARCHITECTURE)
            for architecture in self.options.architectures:
                path = home / context_file(architecture)
                write_context(source, path, program, graph, precision=precision, architecture=architecture)
            # An application carries what was compiled for one architecture, or else the ONNX file.
            compiled = [home / context_file(architecture) for architecture in self.options.architectures]
            shipped_bytes += max(path.stat().st_size for path in compiled or (source,))
            graphs.append(described(graph, graph.name, precision, asked))
            notes += graph_notes
        source_of = (program.model, program.provenance)
        return Artifact(self.name, precision, program.size, tuple(graphs), describe_files(folder), shipped_bytes, notes, *source_of)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        require(self.name, (*ONNX_PACKAGES, *PACKAGES))
        from .runner import QNNRunner

        return QNNRunner(graph_path(artifact, folder, graph), artifact, graph, threads, EVALUATOR)

    def _note(self, library: str) -> str:
        if not self.options.architectures:
            return f"to be compiled on the phone, as onnxruntime-qnn {library} does here"
        listed = ", ".join(f"v{each} ({CHIPS[each][0]})" for each in self.options.architectures)
        return f"compiled for {listed} by onnxruntime-qnn {library}; graph.onnx is for all others, compiled when it is opened"
