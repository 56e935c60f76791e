"""Runs the ONNX file that engines were built from, where there is no GPU: node by node in ONNX Runtime, float16 rounded by us."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...model.errors import ArtifactError, ExecutionError
from ...model.graph import Arrays, Size
from ..base import Execution, GraphArtifact, Runner
from ..half_evaluator import HalfEvaluator
from ..runner_checks import check_inputs, check_int8

if TYPE_CHECKING:
    import onnx

FLOAT = 1
PROVIDER = "CPUExecutionProvider, not optimised"

EVALUATOR = "same graph in ONNX Runtime; engine built, not executed: no NVIDIA GPU"


class Census(NamedTuple):
    """Convolutions of an ONNX file, those between int8 weights and inputs, nodes by kind (most frequent first), and the others' names."""

    convolutions: int
    int8_convolutions: int
    kinds: tuple[tuple[str, int], ...]
    floats: tuple[str, ...] = ()


def census(path: Path) -> Census:
    """Of a graph."""
    import onnx

    from ..rewrites.count import int8_convolutions

    model = onnx.load(path)
    kinds = Counter(node.op_type for node in model.graph.node)
    found = int8_convolutions(model)
    return Census(kinds["Conv"] + kinds["ConvTranspose"], found.plain + found.transposed, tuple(kinds.most_common()), found.floats)


class OnnxRunner(Runner):
    """The graph as the engine's builder got it: nothing is fused, and every float16 result is rounded to float16.

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
        import onnx

        self._graph, self._size = graph, size
        model = onnx.load(path)
        check_values(model, graph, size, path)
        found = census(path)
        check_int8(graph, path, found.convolutions, found.int8_convolutions, found.floats, "have int8 weights and inputs")
        self.execution = Execution(PROVIDER, found.convolutions, found.int8_convolutions, found.kinds, EVALUATOR)
        self._evaluator: HalfEvaluator | None = HalfEvaluator(model, threads)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        if self._evaluator is None:
            raise ExecutionError(f"graph '{self._graph.name}': the runner was closed")
        check_inputs(self._graph, self._size, inputs)
        outputs = self._evaluator.run(inputs)
        self.overflow = self._evaluator.overflow
        return outputs

    def close(self) -> None:
        self._evaluator = None


def check_values(model: "onnx.ModelProto", graph: GraphArtifact, size: Size, path: Path) -> None:
    """Raises ArtifactError unless names, shapes and types of a model's inputs and outputs are those of the specs."""
    for kind, found, specs in (("inputs", model.graph.input, graph.inputs), ("outputs", model.graph.output, graph.outputs)):
        has = {each.name: (tuple(d.dim_value for d in each.type.tensor_type.shape.dim), each.type.tensor_type.elem_type) for each in found}
        wants = {spec.name: (spec.shape(size), FLOAT) for spec in specs}
        if has != wants:
            raise ArtifactError(f"{path}: its {kind} are {has}, the manifest says {wants}: the two do not belong together")
