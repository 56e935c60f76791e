"""Runs a package where there is no Core ML: its program in the reference evaluator. It proves the graph, not the device."""

from pathlib import Path

import numpy as np

from ...model.graph import Arrays
from ...system.errors import ExecutionError
from ...system.silence import silence
from ..base import Artifact, Runner
from ..runner_checks import execution_by
from . import EVALUATOR
from .census import take_census
from .features import check_features
from .interface import from_package, to_package
from .mil.evaluator import Evaluator
from .mil.package import open_package, read_specification

PROVIDER = "reference evaluator (float16)"


class MilRunner(Runner):
    """The reference evaluator on a saved package, in the program's own float16.

    Args:
        path: the package.
        artifact: that the package belongs to.
        name: of the graph.
        threads: of PyTorch.

    Raises:
        ArtifactError: the package is damaged.
        ExecutionError: it declares another interface than the manifest, or has fewer int8 convolutions than asked for.
    """

    def __init__(self, path: Path, artifact: Artifact, name: str, threads: int) -> None:
        graph = artifact.graph(name)
        super().__init__(graph, artifact.size)
        self._threads = threads
        with silence():
            check_features(read_specification(path), artifact, graph, path)
            package = open_package(path)
            self._evaluator = Evaluator(package)
        self.execution = execution_by(take_census(package.specification), graph, path, PROVIDER, EVALUATOR)

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        from ...model.runs import torch_threads

        given = {spec.name: to_package(spec, inputs[spec.name]) for spec in self._graph.inputs}
        try:
            with torch_threads(self._threads):
                found = self._evaluator.run(given)
        except ExecutionError as error:
            overflow = self._find_overflow(self._evaluator)
            raise ExecutionError(f"{overflow}; then {error}" if overflow else str(error)) from error
        self.overflow = self._find_overflow(self._evaluator)
        return {spec.name: from_package(spec, found[spec.name]) for spec in self._graph.outputs}

    def _find_overflow(self, evaluator: Evaluator) -> str:
        """With the module that the operation comes from, where that is a convolution."""
        operation = evaluator.overflow.split("'")[1] if evaluator.overflow else ""
        module = self._graph.module_of(operation)
        return f"module '{module}', {evaluator.overflow}" if module else evaluator.overflow

    def _free(self) -> None:
        del self._evaluator
