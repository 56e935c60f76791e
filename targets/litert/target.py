"""Target ``litert``: one ``.tflite`` file a graph."""

from collections.abc import Sequence
from pathlib import Path

from ...capture.program import Program
from ...recipe.precision import Precision
from ..artifact import describe, graph_path
from ..base import Artifact, Availability, Finding, Runner, Target
from ..convolutions import convolutions, described, repeated_note
from ..declared import facts
from ..onnx.target import availability
from ..packages import require

RUNTIME = "ai_edge_litert"
PACKAGES = (RUNTIME, "flatbuffers")
# https://ai.google.dev/edge/litert/performance/gpu, what the delegate takes in float16 or float32; in int8 the same with conversions.
GPU_OPERATORS = frozenset(
    ("ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXP FULLY_CONNECTED LOGISTIC MAX_POOL_2D MAXIMUM MINIMUM MIRROR_PAD MUL")
    .split()
    + "PAD PRELU RELU RELU6 RESHAPE RESIZE_BILINEAR SOFTMAX STRIDED_SLICE SUB TRANSPOSE_CONV DEQUANTIZE QUANTIZE".split()
)  # fmt: skip


class LiteRTTarget(Target):
    """``<graph>.tflite``. Inputs and outputs are float32 with the names of the recipe's model; images are (1, H, W, C)."""

    name = "litert"
    description = "LiteRT .tflite (int8, float32, float16 weights), executed by its interpreter with XNNPACK on this machine's CPU"
    precisions = (Precision.INT8, Precision.FLOAT32, Precision.FLOAT16)

    def availability(self) -> Availability:
        return availability(PACKAGES, PACKAGES)

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        require(self.name, PACKAGES)
        from .preflight import findings

        return findings(program)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        require(self.name, PACKAGES)
        from .interface import FACTS
        from .lower import lower

        graphs, notes = [], ("images are (1, H, W, C)",)
        for graph in program.graphs:
            lowered = lower(graph, precision)
            known = {f"{FACTS}{key}": value for key, value in facts(program, graph, precision, program.size).items()}
            # Beside shapes that are the program's, for whoever reads them there.
            known[f"{FACTS}layout"] = "NHWC"
            file = folder / f"{graph.name}.tflite"
            file.write_bytes(lowered.graph.file.finish(graph.name, lowered.inputs, lowered.outputs, known))
            wanted = convolutions(graph, precision)
            graphs.append(described(graph, file.name, precision, sum(each.int8 for each in wanted)))
            notes += repeated_note(graph, wanted)
            left = sorted(lowered.graph.file.kinds - GPU_OPERATORS)
            if left:
                notes += (f"{graph.name}: by its documentation, the GPU delegate leaves {', '.join(left)} to the CPU",)
        return describe(self.name, program, precision, folder, graphs=graphs, notes=notes)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        require(self.name, PACKAGES)
        from .runner import LiteRTRunner

        return LiteRTRunner(graph_path(artifact, folder, graph), artifact, graph, threads)
