"""Runs an ONNX file in the place of a runtime with float16 kernels: node by node in ONNX Runtime, float16 rounded by us."""

from collections import Counter
from pathlib import Path

import numpy as np

from ...model.graph import Arrays, Size
from ..base import Artifact, GraphArtifact, Runner
from ..census import Census
from ..declared import as_arrays, check_declared
from ..half_evaluator import HalfEvaluator
from ..runner_checks import execution_by
from .declared import of_model

PROVIDER = "CPUExecutionProvider, not optimised"


def take_census(path: Path) -> Census:
    """Of a graph."""
    import onnx

    from .rewrites.count import int8_convolutions

    model = onnx.load(path)
    kinds = Counter(node.op_type for node in model.graph.node)
    found = int8_convolutions(model)
    return Census(kinds["Conv"] + kinds["ConvTranspose"], found.plain + found.transposed, tuple(kinds.most_common()), found.floats)


class HalfRunner(Runner):
    """The graph as it stands: nothing is fused, and every float16 result is rounded to float16.

    Args:
        path: the ONNX file.
        graph: names and specs of its inputs and outputs, and how many int8 convolutions it must have.
        size: the artifact's size, H and W in pixels.
        threads: within an operator.
        evaluator: as of ``Execution``: what this stands in for, and why.

    Raises:
        ExecutionError: it has fewer int8 convolutions than asked for.
    """

    def __init__(self, path: Path, graph: GraphArtifact, size: Size, threads: int, evaluator: str) -> None:
        import onnx

        super().__init__(graph, size)
        model = onnx.load(path)
        self.execution = execution_by(take_census(path), graph, path, PROVIDER, evaluator)
        self._evaluator = HalfEvaluator(model, threads)

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        outputs = self._evaluator.run(inputs)
        self.overflow = self._evaluator.overflow
        return outputs

    def _free(self) -> None:
        del self._evaluator


def check_onnx(path: Path, artifact: Artifact, graph: str) -> None:
    """Raises ExecutionError unless a graph's ONNX file declares what the manifest says."""
    import onnx

    check_declared(of_model(onnx.load(path)), as_arrays(artifact, artifact.graph(graph)), path)
