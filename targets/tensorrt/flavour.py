"""The ONNX form that TensorRT builds from: strongly typed, with explicit Q/DQ and explicit casts.

The quantised program is what TensorRT wants already: symmetric int8, zero points 0, weights as int8 constants with a scale for each
output channel, biases in float, both inputs of a sum quantised. So the grids stay as they are. What is float computes in float16, which
Turing needs (it has no float32 matrix products) and which halves the memory traffic of everything else.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ..convolutions import convolutions, repeated_note
from ..onnx.exporter import module_paths, stamp, to_onnx
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
    from ..onnx.rewrites.apply import apply, summary
    from ..onnx.rewrites.count import int8_convolutions
    from ..onnx.rewrites.half_precision import half_precision

    source = Precision.INT8 if precision is Precision.INT8 else Precision.FLOAT32
    try:
        model, changes = apply(to_onnx(graph, source, program.size), (half_precision,))
    except ValueError as error:
        raise CaptureError(f"graph '{graph.name}': {error}; build int8 without float16, or scale the weights of that layer") from error
    asked = 0
    if precision is Precision.INT8:
        wanted, found = convolutions(graph, precision), int8_convolutions(model)
        check_all_int8(graph, wanted, found, model)
        asked = sum(each.int8 for each in wanted)
    stamp(model, program, graph, precision)
    _name_modules(model, module_paths(graph, source, program.size))
    return model, asked, (*repeated_note(graph, convolutions(graph, source)), f"{graph.name}: {summary(changes)}")


def _name_modules(model: "onnx.ModelProto", modules: Mapping[str, str]) -> None:
    """Writes into every node which module it comes from, for those who have to say what is wrong with it."""
    makers: dict[str, str] = {}
    for node in model.graph.node:
        node.doc_string = modules.get(node.name) or next((makers[name] for name in node.input if makers.get(name)), "")
        makers.update(dict.fromkeys(node.output, node.doc_string))
