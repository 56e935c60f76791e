"""What Core AI refuses of a model, by module path, before anything is trained: its converter is asked."""

from collections.abc import Iterator

from ...capture.program import GraphProgram, Program, module_path, operator_name
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ...system.silence import silence
from ..base import Finding
from .lower import cause, lower, prepared

OTHERWISE = "write that line of the model with other operators"


def findings(program: Program) -> tuple[Finding, ...]:
    """Of the float program: int8 differs from it by operators that are known to be taken."""
    return tuple(dict.fromkeys(finding for graph in program.graphs for finding in _of_graph(graph)))


def _of_graph(graph: GraphProgram) -> Iterator[Finding]:
    try:
        with silence(native=True):
            ready = prepared(graph.float_program, Precision.FLOAT32)
    except Exception as error:  # PyTorch's and its own, of many unrelated classes
        yield Finding(f"graph '{graph.name}'", f"no form in Core AI: {cause(error)}", OTHERWISE)
        return
    try:
        with silence(native=True):
            lower(graph, ready)
    except CaptureError as error:
        refused = str(error)
        named = [node for node in ready.graph.nodes if node.op == "call_function" and str(node.target) in refused]
        for node in named:
            path = module_path(node)
            place = f"{graph.name}.{path}" if path else f"graph '{graph.name}'"
            yield Finding(place, f"Core AI has no form of '{operator_name(node)}'", OTHERWISE)
        if not named:
            yield Finding(f"graph '{graph.name}'", refused, OTHERWISE)
