"""The ONNX form that TensorRT builds from: strongly typed, with explicit Q/DQ and explicit casts.

The quantised program is what TensorRT wants already: symmetric int8, zero points 0, weights as int8 constants with a scale for each
output channel, biases in float, both inputs of a sum quantised. So the grids stay as they are. What is float computes in float16, which
Turing needs (it has no float32 matrix products) and which halves the memory traffic of everything else.
"""

from typing import TYPE_CHECKING

from ...export.program import GraphProgram, Program
from ...model.errors import CaptureError
from ..base import Precision
from ..onnx_export import stamp, to_onnx

if TYPE_CHECKING:
    import onnx


def flavoured(program: Program, graph: GraphProgram, precision: Precision) -> tuple["onnx.ModelProto", int, tuple[str, ...]]:
    """One graph for TensorRT.

    Returns:
        the model, how many of its convolutions must be int8, and notes for the artifact.

    Raises:
        CaptureError: the graph has no ONNX form, lost int8 convolutions on the way, or has a constant beyond float16.
    """
    from ..rewrites.apply import apply, summary
    from ..rewrites.count import int8_convolutions
    from ..rewrites.half_precision import half_precision

    source = Precision.INT8 if precision is Precision.INT8 else Precision.FLOAT32
    try:
        model, changes = apply(to_onnx(graph, source, program.size), (half_precision,))
    except ValueError as error:
        raise CaptureError(f"graph '{graph.name}': {error}; build int8 without float16, or scale the weights of that layer") from error
    asked = 0
    if precision is Precision.INT8:
        found = int8_convolutions(model)
        asked = graph.int8_convolutions
        if found.plain + found.transposed < asked:
            raise CaptureError(
                f"graph '{graph.name}': {asked} convolutions are int8 in the program, {found.plain + found.transposed} in the ONNX model"
            )
    stamp(model, program, graph, precision)
    return model, asked, (f"{graph.name}: {summary(changes)}",)
