"""The ONNX form that TensorRT builds from: strongly typed, with explicit Q/DQ and explicit casts.

The quantised program is what TensorRT wants already: symmetric int8, zero points 0, weights as int8 constants with a scale for each
output channel, biases in float, both inputs of a sum quantised. So the grids stay as they are. What is float computes in float16, which
Turing needs (it has no float32 matrix products) and which halves the memory traffic of everything else.
"""

from typing import TYPE_CHECKING

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ..convolutions import convolutions, repeated_note
from ..onnx.exporter import stamp
from ..onnx.half import in_half
from ..onnx.target import check_all_int8

if TYPE_CHECKING:
    import onnx


def flavoured(program: Program, graph: GraphProgram, precision: Precision) -> tuple["onnx.ModelProto", int, tuple[str, ...]]:
    """One graph for TensorRT.

    Returns:
        the model, how many of its convolutions must be int8, and notes for the artifact.

    Raises:
        CaptureError: the graph has no ONNX form, lost int8 convolutions on the way, or has a constant beyond float16.
    """
    from ..onnx.rewrites.apply import summary
    from ..onnx.rewrites.count import int8_convolutions

    source = Precision.INT8 if precision is Precision.INT8 else Precision.FLOAT32
    model, changes = in_half(graph, source, program.size)
    asked = 0
    if precision is Precision.INT8:
        wanted, found = convolutions(graph, precision), int8_convolutions(model)
        check_all_int8(graph, wanted, found, model)
        asked = sum(each.int8 for each in wanted)
    stamp(model, program, graph, precision)
    return model, asked, (*repeated_note(graph, convolutions(graph, source)), f"{graph.name}: {summary(changes)}")
