"""Runs the ONNX file that engines were built from, where there is no GPU: in ONNX Runtime, with its optimisations off."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ...model.graph import Size
from ..base import Execution, GraphArtifact
from ..ort_runner import PROVIDER, SessionRunner, check_tensors, open_session
from ..runner_checks import check_int8

EVALUATOR = "same graph in ONNX Runtime; engine built, not executed: no NVIDIA GPU"


class Census(NamedTuple):
    """Convolutions of an ONNX file, those between int8 weights and int8 inputs, and nodes by kind, most frequent first."""

    convolutions: int
    int8_convolutions: int
    kinds: tuple[tuple[str, int], ...]


def census(path: Path) -> Census:
    """Of a graph."""
    import onnx

    from ..rewrites.count import int8_convolutions

    model = onnx.load(path)
    kinds = Counter(node.op_type for node in model.graph.node)
    found = int8_convolutions(model)
    return Census(kinds["Conv"] + kinds["ConvTranspose"], found.plain + found.transposed, tuple(kinds.most_common()))


class OnnxRunner(SessionRunner):
    """The graph as the engine's builder got it; nothing is fused, so that every rounding of the graph happens.

    Args:
        path: the ONNX file.
        graph: names and specs of its inputs and outputs, and how many int8 convolutions it must have.
        size: the artifact's size, H and W in pixels.
        threads: within an operator.

    Raises:
        ArtifactError: the file is not what ``graph`` says.
        ExecutionError: it has fewer int8 convolutions than asked for.
    """

    def __init__(self, path: Path, graph: GraphArtifact, size: Size, threads: int) -> None:
        super().__init__(graph, size)
        convolutions, int8, counts = census(path)
        check_int8(graph, path, convolutions, int8)
        self.execution = Execution(f"{PROVIDER}, not optimised", convolutions, int8, counts, EVALUATOR)
        self._session = open_session(path, threads, optimize=False)
        check_tensors(self._session, graph, size, path)
