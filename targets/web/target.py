"""Target ``web``: ONNX files for onnxruntime-web, one precision for its wasm and two for WebGPU."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ..artifact import describe, graph_path
from ..base import Artifact, Availability, Finding, Runner, Target
from ..convolutions import convolutions, described, repeated_note
from ..onnx.exporter import PACKAGES, stamp, to_onnx
from ..onnx.half import FLOAT32_OPERATORS, in_half, too_large
from ..onnx.target import RUNTIME, availability, build, file_rewrites, save
from ..packages import require
from . import runtime

if TYPE_CHECKING:
    import onnx

IN_ONNX_RUNTIME = "same file in ONNX Runtime for CPUs; not executed by onnxruntime-web"
ROUNDED = "same graph in ONNX Runtime, rounded to float16 after every operation; not executed on WebGPU"
FOR_WASM = 'for executionProviders: ["wasm"]: WebGPU has no kernels for integers, and would hand every QuantizeLinear to wasm'
FOR_WEBGPU = 'for executionProviders: ["webgpu", "wasm"]; not executed on WebGPU here'


class WebTarget(Target):
    """``<graph>.onnx`` for each graph. Inputs and outputs are float32 in NCHW, named as in the recipe's model."""

    name = "web"
    description = "ONNX for onnxruntime-web (int8 for wasm, float16 and int8 weights for WebGPU), executed by its wasm in Node"
    precisions = (Precision.INT8, Precision.FLOAT16, Precision.INT8_WEIGHTS)
    float32_operators = FLOAT32_OPERATORS

    def availability(self) -> Availability:
        found = availability((*PACKAGES, RUNTIME), ())
        lacking = runtime.missing()
        if not found.can_emit or not lacking:
            return found
        reason = f"not installed: {', '.join(lacking)}"
        return Availability(can_emit=True, can_run=False, reason=reason, remedy=runtime.remedy(), evaluator=IN_ONNX_RUNTIME)

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        if Precision.FLOAT16 not in precisions:
            return ()
        require(self.name, (*PACKAGES, RUNTIME))
        return tuple(finding for graph in program.graphs for finding in too_large(graph, Precision.FLOAT32, program.size))

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        require(self.name, (*PACKAGES, RUNTIME))
        graphs, notes = [], (FOR_WASM if precision is Precision.INT8 else FOR_WEBGPU,)
        for graph in program.graphs:
            model, asked, graph_notes = _build(program, graph, precision)
            save(model, folder / f"{graph.name}.onnx")
            graphs.append(described(graph, f"{graph.name}.onnx", precision, asked))
            notes += graph_notes
        return describe(self.name, program, precision, folder, graphs=graphs, notes=notes)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        require(self.name, (*PACKAGES, RUNTIME))
        path = graph_path(artifact, folder, graph)
        if artifact.precision is Precision.FLOAT16:
            from ..onnx.half_runner import HalfRunner, check_onnx

            check_onnx(path, artifact, graph)
            return HalfRunner(path, artifact.graph(graph), artifact.size, threads, ROUNDED)
        if runtime.missing():
            from ..onnx.runner import OrtRunner

            stand_in = OrtRunner(path, artifact, graph, threads)
            stand_in.execution = replace(stand_in.execution, evaluator=IN_ONNX_RUNTIME)
            return stand_in
        from .runner import WebRunner

        return WebRunner(path, artifact, graph, threads)


def _build(program: Program, graph: GraphProgram, precision: Precision) -> tuple["onnx.ModelProto", int, tuple[str, ...]]:
    """One graph, how many of its convolutions must be int8, and notes. Raises CaptureError as ``build`` and ``in_half`` do."""
    from ..onnx.rewrites.apply import apply, summary
    from ..onnx.rewrites.keep_cubic_layout import keep_cubic_layout
    from ..onnx.rewrites.plain_prelu import plain_prelu
    from ..onnx.rewrites.store_int8 import store_int8

    if precision is Precision.INT8:
        return build(program, graph, precision, file_rewrites(graph))
    if precision is Precision.FLOAT16:
        model, changes = in_half(graph, Precision.FLOAT32, program.size)
    elif precision is Precision.INT8_WEIGHTS:
        rewrites = (keep_cubic_layout, plain_prelu, store_int8)
        model, changes = apply(to_onnx(graph, Precision.FLOAT32, program.size), rewrites)
    else:
        raise CaptureError(f"graph '{graph.name}': target 'web' has no precision {precision}")
    stamp(model, program, graph, precision)
    return model, 0, (*repeated_note(graph, convolutions(graph, precision)), f"{graph.name}: {summary(changes)}")
