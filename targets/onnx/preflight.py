"""What has no form in ONNX, or no kernel in ONNX Runtime, by module path, before anything is trained: the float program is exported for
trial. An export is kept, so that what is emitted afterwards does not pay for it again."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import ArtifactError, CaptureError
from ..base import Finding
from .exporter import to_onnx
from .runner import open_session

if TYPE_CHECKING:
    import onnx

OTHERWISE = "write that part of the model with other operators"


def findings(program: Program) -> tuple[Finding, ...]:
    """Of the float program: int8 differs from it by operators that are known to be taken."""
    return findings_of_exports(program, _opened)


def findings_of_exports(program: Program, ask: Callable[[GraphProgram, "onnx.ModelProto"], Iterable[Finding]]) -> tuple[Finding, ...]:
    """What the exporter refuses of a float program, and what ``ask`` finds in the models of the graphs that it takes."""

    def of_graph(graph: GraphProgram) -> Iterator[Finding]:
        try:
            model = to_onnx(graph, Precision.FLOAT32, program.size)
        except CaptureError as error:
            yield export_refused(graph, error)
            return
        yield from ask(graph, model)

    return tuple(finding for graph in program.graphs for finding in of_graph(graph))


def export_refused(graph: GraphProgram, error: CaptureError) -> Finding:
    """What the exporter says of a graph."""
    problem, _, remedy = str(error).rpartition("; ")
    return Finding(f"graph '{graph.name}'", problem, remedy)


def _opened(graph: GraphProgram, model: "onnx.ModelProto") -> Iterator[Finding]:
    try:
        open_session(model.SerializeToString(), threads=1)
    except ArtifactError as error:
        yield Finding(f"graph '{graph.name}'", str(error), OTHERWISE)
