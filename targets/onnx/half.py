"""A graph's ONNX model in float16, and what stands in its way."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...capture.program import GraphProgram
from ...model.graph import Size
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ..base import Finding
from .exporter import module_paths, to_onnx

if TYPE_CHECKING:
    import onnx

    from .rewrites.contract import Change

# Operators of captured programs whose results the rewrite half_precision leaves in float32.
FLOAT32_OPERATORS = frozenset("mean sum pow square sqrt rsqrt div reciprocal exp log var std var_mean linalg_vector_norm".split())


def in_half(graph: GraphProgram, source: Precision, size: Size) -> tuple["onnx.ModelProto", tuple["Change", ...]]:
    """What ``to_onnx`` makes of a graph in ``source``, computed in float16 where it is float; every node's documentation is its module.

    Raises:
        CaptureError: the graph has no ONNX form, or a constant beyond float16.
    """
    from .rewrites.apply import apply
    from .rewrites.half_precision import half_precision

    refused = too_large(graph, source, size)
    if refused:
        raise CaptureError("\n".join(map(str, refused)))
    model, changes = apply(to_onnx(graph, source, size), (half_precision,))
    _name_modules(model, module_paths(graph, source, size))
    return model, changes


def too_large(graph: GraphProgram, source: Precision, size: Size) -> tuple[Finding, ...]:
    """The constants of a graph that float16 cannot hold, by the module that reads them."""
    import onnx_ir as ir

    from .rewrites.half_precision import beyond_half

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
