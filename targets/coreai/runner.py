"""Runs one graph on Core AI's library for this CPU, and says what ran."""

from pathlib import Path

import numpy as np

from ...model.graph import Arrays
from ...recipe.precision import Precision
from ...system.errors import ArtifactError, ExecutionError
from ...system.silence import silence
from ..base import Artifact, Execution, Runner
from ..declared import as_arrays, check_declared
from ..runner_checks import check_int8
from .contents import CONVOLUTIONS, census, declared
from .session import Session, library_version

IN_FLOAT = "in float between the roundings of int8"


class CoreAIRunner(Runner):
    """An asset. On Linux the library has kernels of its own and nothing else: there is nobody that a part could fall back to.

    Args:
        path: of the asset.
        artifact: that the asset belongs to.
        name: of the graph.
        evaluator: as of ``Execution``; of an int8 artifact it is said besides that the kernels are float.

    Raises:
        ArtifactError: Core AI cannot open the asset.
        ExecutionError: the asset declares another interface than the manifest, or fewer convolutions of 8-bit integers than asked for
            are in it and executed.
    """

    def __init__(self, path: Path, artifact: Artifact, name: str, evaluator: str) -> None:
        super().__init__(artifact.graph(name), artifact.size)
        graph = self._graph
        try:
            with silence(native=True):
                self._session = Session(path)
        except Exception as error:  # it fails with many unrelated classes
            raise ArtifactError(f"Core AI {library_version()} cannot open {path}: {type(error).__name__}: {error}") from error
        try:
            check_declared(declared(path, self._session.interface), as_arrays(artifact, graph), path)
            found = census(self._session.program)
            zeros = {spec.name: np.zeros(spec.shape(self._size), np.float32) for spec in graph.inputs}
            with silence(native=True):
                kernels = self._session.kernels(zeros)
            executed = sum(count for kernel, count in kernels if kernel in CONVOLUTIONS)
            # A convolution's place is its node's among those of the captured program.
            nodes = [node for node, _ in graph.modules]
            floats = [nodes[int(place)] if len(nodes) == found.convolutions else place for place in found.floats]
            totals = {"convolutions": executed, "int8_convolutions": min(executed, found.int8_convolutions)}
            check_int8(graph, path, **totals, floats=floats, how="have 8-bit weights and inputs")
        except BaseException:
            self._free()
            raise
        stand_in = f"{evaluator}, {IN_FLOAT}" if artifact.precision is Precision.INT8 else evaluator
        self.execution = Execution(f"Core AI {library_version()}, CPU", **totals, kernels=kernels, evaluator=stand_in, by_vendor=True)

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        try:
            return self._session.run(inputs)
        except RuntimeError as error:
            raise ExecutionError(f"graph '{self._graph.name}': Core AI failed: {error}") from error

    def _free(self) -> None:
        self._session.close()
        del self._session
