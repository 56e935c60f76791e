"""What OpenVINO refuses of a model, by module path, before anything is trained: its reader and its CPU plugin are asked."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.silence import silence
from ..base import Finding
from ..onnx.exporter import module_paths
from ..onnx.preflight import findings_of_exports
from .convert import cause, read, unknown_operators
from .runner import DEVICE

if TYPE_CHECKING:
    import onnx

OTHERWISE = "write that line of the model with other operators"


def findings(program: Program) -> tuple[Finding, ...]:
    """Of the float program: int8 differs from it by operators that are known to be taken."""
    import openvino

    def compiled(graph: GraphProgram, model: "onnx.ModelProto") -> Iterator[Finding]:
        try:
            with silence():
                openvino.Core().compile_model(read(model), DEVICE)
        except RuntimeError as error:
            yield Finding(_place(graph, program, model, str(error)), f"no form in OpenVINO: {cause(error)}", OTHERWISE)

    return findings_of_exports(program, compiled)


def _place(graph: GraphProgram, program: Program, model: "onnx.ModelProto", text: str) -> str:
    """The modules of the nodes that OpenVINO names, or of all nodes of the operators that it does not know."""
    paths = module_paths(graph, Precision.FLOAT32, program.size)
    unknown = unknown_operators(text)
    nodes = [node for node in model.graph.node if (node.op_type in unknown if unknown else _is_named(node, text))]
    found = [paths.get(node.name, "") for node in nodes]
    places = " or ".join(dict.fromkeys(filter(None, found)))
    return f"{graph.name}.{places}" if places else f"graph '{graph.name}'"


def _is_named(node: "onnx.NodeProto", text: str) -> bool:
    names = filter(None, (node.name, *node.output))
    return any(re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text) for name in names)
