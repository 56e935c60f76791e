"""Runs one graph on onnxruntime-web's wasm, in Node: the same engine (V8) and the same ``.wasm`` file as in Chrome, without a browser."""

from pathlib import Path

import numpy as np

from ...model.graph import Arrays
from ..base import Artifact, Runner
from ..onnx.half_runner import check_onnx, take_census
from ..runner_checks import execution_by
from .worker import worker


class WebRunner(Runner):
    """A session on the wasm provider. What is timed includes the way through the pipes.

    Args:
        path: the ONNX file.
        artifact: that the file belongs to.
        name: of the graph.
        threads: of wasm.

    Raises:
        TargetUnavailableError: Node or onnxruntime-web is not installed.
        ExecutionError: onnxruntime-web cannot open the file; the file declares another interface than the manifest, or has fewer int8
            convolutions than asked for.
    """

    def __init__(self, path: Path, artifact: Artifact, name: str, threads: int) -> None:
        graph = artifact.graph(name)
        super().__init__(graph, artifact.size)
        check_onnx(path, artifact, name)
        census = take_census(path)
        # Before anything is started: a file that lacks convolutions is refused by its own graph.
        execution_by(census, graph, path, "")
        self._worker = worker(threads)
        self.execution = execution_by(census, graph, path, f"onnxruntime-web {self._worker.library}, wasm in Node {self._worker.node}")
        answer, _ = self._worker.ask({"op": "open", "file": str(path.absolute())})
        self._session = answer["session"]

    def memory_elsewhere(self) -> int:
        answer, _ = self._worker.ask({"op": "memory"})
        return max(0, int(answer["peak"]) - self._worker.baseline)

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        _, found = self._worker.ask({"op": "run", "session": self._session}, inputs)
        return {spec.name: found[spec.name] for spec in self._graph.outputs}

    def _free(self) -> None:
        if self._worker.alive:
            self._worker.ask({"op": "close", "session": self._session})
