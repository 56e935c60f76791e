"""Runs one graph in PyTorch's eager mode."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from ...capture.program import operator_name
from ...model.graph import Arrays, Size
from ...model.runs import torch_threads
from ...recipe.precision import Precision
from ..base import Artifact, Execution, GraphArtifact, Runner
from ..declared import as_arrays, check_declared
from ..runner_checks import check_int8
from .archive import read

PROVIDER = "PyTorch eager, CPU"
# PyTorch has no int8 kernels for these programs: it rounds as int8 does, and adds up in float.
EVALUATOR = "PyTorch's float kernels between the roundings of int8; not executed by int8 kernels"


class TorchRunner(Runner):
    """Runs a module; subclasses open it as ``_module``."""

    _module: Callable[..., Any]

    def __init__(self, graph: GraphArtifact, size: Size, threads: int) -> None:
        super().__init__(graph, size)
        self._threads = threads

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        with torch_threads(self._threads), torch.inference_mode():
            given = (torch.from_numpy(np.require(inputs[spec.name], requirements=("C", "W"))) for spec in self._graph.inputs)
            made = self._module(*given)
        results = made if isinstance(made, (tuple, list)) else (made,)
        return {spec.name: result.numpy().copy() for spec, result in zip(self._graph.outputs, results, strict=True)}

    def _free(self) -> None:
        del self._module


class ArchiveRunner(TorchRunner):
    """A program of ``torch.export``.

    Args:
        path: the ``.pt2`` file.
        artifact: that the file belongs to.
        name: of the graph.
        threads: within an operator.

    Raises:
        ArtifactError: PyTorch cannot open the file.
        ExecutionError: the file declares another interface than the manifest, or has fewer int8 convolutions than asked for.
    """

    def __init__(self, path: Path, artifact: Artifact, name: str, threads: int) -> None:
        graph = artifact.graph(name)
        super().__init__(graph, artifact.size, threads)
        program, found = read(path)
        check_declared(found, as_arrays(artifact, graph), path)
        convolutions, floats = _convolutions(program)
        kinds = Counter(operator_name(node) for node in program.graph.nodes if node.op == "call_function")
        int8 = len(convolutions) - len(floats)
        evaluator = EVALUATOR if artifact.precision is Precision.INT8 else ""
        self.execution = Execution(PROVIDER, len(convolutions), int8, tuple(kinds.most_common()), evaluator)
        check_int8(graph, path, convolutions=len(convolutions), int8_convolutions=int8, floats=floats, how="have int8 weights and inputs")
        self._module = program.module(check_guards=False)


def _convolutions(program: ExportedProgram) -> tuple[list[str], list[str]]:
    """Names of all convolutions, and of those that read something else than dequantised integers."""
    found = [node for node in program.graph.nodes if node.op == "call_function" and operator_name(node).startswith("conv")]
    floats = [node.name for node in found if not all("dequantize" in str(each.target) for each in node.all_input_nodes[:2])]
    return [node.name for node in found], floats
