"""Target ``android``: ONNX Runtime Mobile on Arm.

A ``.ort`` file holds the graph as ONNX Runtime has optimised it. It is made on this machine and must run on arm64. Two
things see to that: the optimisation whose nodes exist on x86 alone is left out, and there is no choice left between signed and
unsigned activations that would be made otherwise on Arm, because the rewrites made them all uint8. What the optimiser adds
besides (``QLinearConv`` and ``NhwcMaxPool`` on channels-last data, ``QLinearAdd``, ``QGemm``) has kernels on both. Run by the
aarch64 build of ONNX Runtime 1.32 under emulation, such files came within 0.2 dB of their x86 score against PyTorch.

ONNX Runtime writes tensors in the order of a hash table that every process seeds anew; ``compact`` sorts them.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...capture.program import GraphProgram, Program
from ...model.graph import Arrays
from ...recipe.precision import Precision
from ..artifact import describe, graph_path
from ..base import Artifact, ArtifactFile, Availability, Finding, Runner, Target
from ..convolutions import described
from ..onnx.exporter import PACKAGES
from ..onnx.target import RUNTIME, availability, build, onnx_runtime_rewrites, save
from ..packages import require
from . import accelerators
from .compact import KNOWN

if TYPE_CHECKING:
    from ..onnx.rewrites.contract import Rewrite


def android_rewrites(graph: GraphProgram | None = None) -> tuple["Rewrite", ...]:
    """Those of ONNX Runtime, and what its int8 kernels on a phone want."""
    from ..onnx.rewrites.center_norms import center_norms
    from ..onnx.rewrites.fold_channel_scales import fold_channel_scales
    from ..onnx.rewrites.fold_stride import fold_stride
    from ..onnx.rewrites.integer_pad import integer_pad
    from ..onnx.rewrites.integer_shuffle import integer_shuffle
    from ..onnx.rewrites.pad_narrow_convolutions import pad_narrow_convolutions
    from ..onnx.rewrites.quantize_bias import quantize_bias

    own = (integer_pad, fold_stride, quantize_bias, integer_shuffle, pad_narrow_convolutions, fold_channel_scales, center_norms)
    return *onnx_runtime_rewrites(graph), *own


class AndroidTarget(Target):
    """``<graph>.ort`` for each graph, the operators that a reduced build of ONNX Runtime needs, and what other providers take."""

    name = "android"
    description = "ONNX Runtime Mobile on arm64 (int8, float32): .ort files, executed on this machine's CPU"
    precisions = (Precision.INT8, Precision.FLOAT32)

    def availability(self) -> Availability:
        return availability((*PACKAGES, RUNTIME), (RUNTIME,))

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        require(self.name, (*PACKAGES, RUNTIME))
        from ..onnx.preflight import findings

        return findings(program)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        require(self.name, (*PACKAGES, RUNTIME))
        from ..onnx.rewrites.plain_prelu import plain_prelu
        from .ort_format import to_ort_format

        graphs, notes = [], ()
        with tempfile.TemporaryDirectory(prefix="instantstyle-") as scratch:
            for graph in program.graphs:
                model, asked, graph_notes = build(program, graph, precision, android_rewrites(graph), float_rewrites=(plain_prelu,))
                save(model, Path(scratch) / f"{graph.name}.onnx")
                graphs.append(described(graph, f"{graph.name}.ort", precision, asked))
                notes += graph_notes
            to_ort_format(Path(scratch), folder, halve=precision is Precision.INT8)
            report = accelerators.report([Path(scratch) / f"{graph.name}.onnx" for graph in program.graphs])
        (folder / accelerators.FILE).write_text(report, encoding="utf-8")
        models = {graph.file for graph in graphs}
        return describe(self.name, program, precision, folder, graphs=graphs, notes=notes, shipped=lambda path: path in models)

    def irreproducible(self, files: Sequence[ArtifactFile]) -> Mapping[str, str]:
        import onnxruntime

        if onnxruntime.__version__.startswith(KNOWN):
            return {}
        why = f"ONNX Runtime other than {KNOWN}x may write tensors in the order of a hash table that every process seeds anew"
        return {file.path: why for file in files if file.path.endswith(".ort")}

    def module_times(self, artifact: Artifact, folder: Path, graph: str, *, inputs: Arrays, threads: int) -> Mapping[str, float]:
        require(self.name, (RUNTIME,))
        from ..onnx.profile import module_times

        return module_times(graph_path(artifact, folder, graph), artifact.graph(graph), inputs, threads)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        require(self.name, (RUNTIME,))
        from ..onnx.runner import OrtRunner

        return OrtRunner(graph_path(artifact, folder, graph), artifact, graph, threads)
