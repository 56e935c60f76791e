"""What LiteRT refuses of a model, by module path, before anything is trained: the float program is written for trial, and opened."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from torch.fx import Node

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import ArtifactError
from ..base import Finding
from .lower import lower
from .operators import load
from .refusal import OTHERWISE, Refused
from .runner import open_interpreter


def findings(program: Program) -> tuple[Finding, ...]:
    """Of the float program: int8 differs from it by operators that are known to be taken."""
    return tuple(dict.fromkeys(finding for graph in program.graphs for finding in _of_graph(graph)))


def _computing(graph: GraphProgram) -> Iterator[Node]:
    """The nodes that work on inputs of the graph; what is made of constants alone becomes one."""
    given = set(graph.float_program.graph_signature.user_inputs)
    reached: set[Node] = set()
    for node in graph.float_program.graph.nodes:
        if node.name in given or reached.intersection(node.all_input_nodes):
            reached.add(node)
            if node.op == "call_function":
                yield node


def _of_graph(graph: GraphProgram) -> Iterator[Finding]:
    writers = load()
    unknown = [Refused(graph.name, node).finding for node in _computing(graph) if node.target not in writers]
    if unknown:
        yield from unknown
        return
    try:
        lowered = lower(graph, Precision.FLOAT32)
    except Refused as error:
        yield error.finding
        return
    with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder:
        path = Path(folder) / f"{graph.name}.tflite"
        path.write_bytes(lowered.graph.file.finish(graph.name, lowered.inputs, lowered.outputs, {}))
        try:
            open_interpreter(path, 1)
        except ArtifactError as error:
            yield Finding(f"graph '{graph.name}'", str(error).replace(f"{folder}/", ""), OTHERWISE)
