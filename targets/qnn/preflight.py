"""What QNN leaves to the CPU of a float model, by module path, before anything is trained: its library is asked."""

from collections.abc import Iterator, Sequence

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ..base import Finding
from ..onnx.exporter import module_paths
from ..onnx.preflight import export_refused
from .session import DEFAULT_ARCHITECTURE, QNNError, left_to_cpu

OTHERWISE = "write that line of the model with other operators"


def findings(program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
    """Of the float program, where float16 is to be built. Of int8 nothing is known before it is captured: QNN may take an operator on
    integers alone."""
    if Precision.FLOAT16 not in precisions:
        return ()
    return tuple(dict.fromkeys(finding for graph in program.graphs for finding in _of_graph(graph, program)))


def _of_graph(graph: GraphProgram, program: Program) -> Iterator[Finding]:
    from .convert import convert

    try:
        model, _, _ = convert(program, graph, Precision.FLOAT16)
        refused = left_to_cpu(model.SerializeToString(), DEFAULT_ARCHITECTURE)
    except CaptureError as error:
        yield export_refused(graph, error)
        return
    except QNNError as error:
        yield Finding(f"graph '{graph.name}'", f"QNN cannot compile it: {error}", OTHERWISE)
        return
    paths = module_paths(graph, Precision.FLOAT32, program.size)
    for name, operator in refused:
        place = f"{graph.name}.{paths[name]}" if paths.get(name) else f"graph '{graph.name}'"
        yield Finding(place, f"QNN does not take {operator} (node '{name}') on an HTP", OTHERWISE)
