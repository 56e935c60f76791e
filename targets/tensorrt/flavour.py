"""The ONNX form that TensorRT builds from: strongly typed, with explicit Q/DQ and explicit casts.

The quantised program is what TensorRT wants already: symmetric int8, zero points 0, weights as int8 constants with a scale for each
output channel, biases in float, both inputs of a sum quantised. So the grids stay as they are. What is float computes in float16, which
Turing needs (it has no float32 matrix products) and which halves the memory traffic of everything else.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...capture.program import GraphProgram, Program
from ...model.graph import Size
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ..base import Finding
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
    refused = too_large(graph, source, program.size)
    if refused:
        raise CaptureError("\n".join(map(str, refused)))
    model, changes = apply(to_onnx(graph, source, program.size), (half_precision,))
    asked = 0
    if precision is Precision.INT8:
        wanted, found = convolutions(graph, precision), int8_convolutions(model)
        check_all_int8(graph, wanted, found, model)
        asked = sum(each.int8 for each in wanted)
    stamp(model, program, graph, precision)
    _name_modules(model, module_paths(graph, source, program.size))
    return model, asked, (*repeated_note(graph, convolutions(graph, source)), f"{graph.name}: {summary(changes)}")


def too_large(graph: GraphProgram, source: Precision, size: Size) -> tuple[Finding, ...]:
    """The constants of a graph that float16 cannot hold, by the module that reads them."""
    import onnx_ir as ir

    from ..onnx.rewrites.half_precision import beyond_half

    modules = module_paths(graph, source, size)
    found = []
    for each in beyond_half(ir.from_proto(to_onnx(graph, source, size))):
        place = f"{graph.name}.{modules.get(each.node, '')}".rstrip(".")
        problem = f"node '{each.node}' has the constant {each.largest:.3g}, and float16 ends at 65504"
        found.append(Finding(place, problem, "mask with float('-inf'), and scale anything else down"))
    return tuple(found)


def _name_modules(model: "onnx.ModelProto", modules: Mapping[str, str]) -> None:
    """Writes into every node which module it comes from, for those who have to say what is wrong with it."""
    makers: dict[str, str] = {}
    for node in model.graph.node:
        node.doc_string = modules.get(node.name) or next((makers[name] for name in node.input if makers.get(name)), "")
        makers.update(dict.fromkeys(node.output, node.doc_string))
