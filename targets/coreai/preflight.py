"""What Core AI refuses of a model, by module path, before anything is trained: its converter is asked."""

from collections.abc import Iterator, Sequence

from torch.fx import Node

from ...capture.program import GraphProgram, Program, module_path, operator_name
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ...system.silence import silence
from ..base import Finding
from .lower import lower, prepared

OTHERWISE = "write that line of the model with other operators"


def findings(program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
    """Of the float program, in float16 if that is to be built: int8 differs from it by operators that are known to be taken."""
    tried = Precision.FLOAT16 if Precision.FLOAT16 in precisions else Precision.FLOAT32
    return tuple(dict.fromkeys(finding for graph in program.graphs for finding in _of_graph(graph, tried)))


def _of_graph(graph: GraphProgram, precision: Precision) -> Iterator[Finding]:
    nodes: list[Node] = []
    try:
        with silence(native=True):
            ready = prepared(graph, graph.float_program, precision)
            nodes = [node for node in ready.graph.nodes if node.op == "call_function"]
            lower(graph, ready)
    except CaptureError as error:
        named = [node for node in nodes if str(node.target) in str(error)]
        for node in named:
            path = module_path(node)
            place = f"{graph.name}.{path}" if path else f"graph '{graph.name}'"
            yield Finding(place, f"Core AI has no form of '{operator_name(node)}'", OTHERWISE)
        if not named:
            yield Finding(f"graph '{graph.name}'", str(error), OTHERWISE)
