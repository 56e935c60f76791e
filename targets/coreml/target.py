"""Target ``coreml``: one ``.mlpackage`` a graph. See docs/coreml.md for what is proven where."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...capture.program import Program
from ...model.graph import Arrays, TensorSpec
from ...recipe.precision import Precision
from ...system.errors import ExecutionError
from ..artifact import describe, graph_path
from ..base import Artifact, Availability, Divergence, Finding, Runner, Target
from ..convolutions import convolutions, described, repeated_note
from ..packages import install_command, missing_packages, require
from . import EVALUATOR
from .options import CoreMLOptions

PACKAGES = ("coremltools",)
MACOS = "darwin"


class CoreMLTarget(Target):
    """Packages in 16-bit float, with int8 weights, or with int8 weights and activations, and a Swift file that uses them.

    Args:
        options: of the recipe.
        unit: the compute unit of the runners; on a Mac one of ``predict_runner.UNITS``.
    """

    name = "coreml"
    description = "Core ML packages (float16, int8 weights, int8): executed on a Mac, elsewhere checked by a reference evaluator"
    precisions = (Precision.FLOAT16, Precision.INT8, Precision.INT8_WEIGHTS)

    def __init__(self, options: CoreMLOptions | None = None, unit: str = "") -> None:
        self.options = options or CoreMLOptions()
        self.unit = unit

    def configured(self, options: Mapping[str, Any]) -> Target:
        return CoreMLTarget(CoreMLOptions.parse(options), self.unit)

    def availability(self) -> Availability:
        missing = missing_packages(PACKAGES)
        if missing:
            return Availability(
                can_emit=False, can_run=False, reason=f"not installed: {', '.join(missing)}", remedy=install_command(missing)
            )
        if sys.platform == MACOS:
            return Availability(can_emit=True, can_run=True)
        return Availability(can_emit=True, can_run=False, reason="Core ML runs on macOS only", evaluator=EVALUATOR)

    def units(self) -> tuple[str, ...]:
        if sys.platform != MACOS:
            return ("",)
        from .predict_runner import UNITS

        return UNITS

    def on(self, unit: str) -> Target:
        return CoreMLTarget(self.options, unit)

    def shown(self, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
        from .interface import from_package, to_package

        return from_package(spec, to_package(spec, array))

    def computes_half(self, precision: Precision) -> bool:
        return True  # int8 covers convolutions; all the rest is float16

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        require(self.name, PACKAGES)
        from .preflight import findings

        return findings(program, precisions, self.options)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        require(self.name, PACKAGES)
        from .convert import convert
        from .faithful import check_faithful
        from .package import write_package
        from .sizes import check_sizes
        from .swift import write_swift

        graphs, notes = [], ()
        for graph in program.graphs:
            converted = convert(graph, precision, program.size, self.options)
            file = f"{graph.name}.mlpackage"
            write_package(converted.model, program, graph, precision, folder / file)
            check_faithful(folder / file, graph, converted.captured, precision, program.size)
            check_sizes(folder / file, graph, converted.captured, converted.more_sizes)
            wanted = convolutions(graph, precision)
            asked = sum(each.int8 for each in wanted)
            graphs.append(described(graph, file, precision, asked))
            notes += repeated_note(graph, wanted)
            notes += (f"{graph.name}: minimum deployment target {converted.deployment_target}",)
        write_swift(program.model, graphs, folder)
        packages = tuple(f"{graph.file}/" for graph in graphs)
        return describe(self.name, program, precision, folder, graphs=graphs, notes=notes, shipped=lambda path: path.startswith(packages))

    def divergence(self, artifact: Artifact, folder: Path, program: Program, graph: str, inputs: Arrays) -> tuple[Divergence, ...]:
        require(self.name, PACKAGES)
        from .divergence import divergence

        captured = next(each for each in program.graphs if each.name == graph)
        return divergence(graph_path(artifact, folder, graph), captured, artifact.precision, artifact.size, inputs)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        require(self.name, PACKAGES)
        path = graph_path(artifact, folder, graph)
        if sys.platform != MACOS:
            from .mil_runner import MilRunner

            return MilRunner(path, artifact, graph, threads)
        from .predict_runner import UNITS, PredictRunner

        unit = self.unit or UNITS[0]
        if unit not in UNITS:
            raise ExecutionError(f"Core ML has no compute unit '{unit}'; allowed: {', '.join(UNITS)}")
        return PredictRunner(path, artifact, graph, unit)
