"""Runs one graph on Triton: its folder goes into an empty server, which says what it serves it with."""

import http.client
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...model.graph import Arrays
from ...system.errors import ExecutionError
from ..base import Artifact, Execution, GraphArtifact, Runner
from ..declared import Declared, as_arrays, check_declared
from ..onnx.declared import of_model, of_session
from ..onnx.half_runner import take_census
from ..onnx.runner import OrtRunner
from ..runner_checks import execution_by
from .batch import is_open, of_one_picture
from .config import CONFIG, tensors, with_threads
from .server import ONNX_BACKEND, PYTHON_BACKEND, STAND_IN, Server

# What Triton calls the file of a backend that is written in Python.
PYTHON_RUNTIME = "model.py"


def model_file(home: Path) -> Path:
    """The ONNX file in a model's folder."""
    return next(home.glob("*/model.onnx"))


class FileRunner(OrtRunner):
    """The ONNX file in this process, where there is no server."""

    def _declared(self) -> Declared:
        return of_one_picture(of_session(self._session))


class TritonRunner(Runner):
    """A server with this graph alone. What is timed includes the way through HTTP.

    Args:
        home: the graph's folder.
        artifact: that it belongs to.
        name: of the graph.
        threads: of each instance.

    Raises:
        TargetUnavailableError: Triton is not installed.
        ExecutionError: the file declares another interface than the manifest, has fewer int8 convolutions than asked for, or Triton does
            not load it as what it is.
    """

    def __init__(self, home: Path, artifact: Artifact, name: str, threads: int) -> None:
        import onnx

        graph, path = artifact.graph(name), model_file(home)
        super().__init__(graph, artifact.size)
        declared = of_model(onnx.load(path))
        check_declared(of_one_picture(declared), as_arrays(artifact, graph), path)
        census = take_census(path)
        # Before anything is started: a file that lacks convolutions is refused by its own graph.
        execution_by(census, graph, path, "")
        self._model = home.name
        self._server = Server()
        self._client, self._peak = self._server.client(), 0
        try:
            config = self._load(home, threads)
            _check_served(config, graph, artifact, batched=is_open(declared), path=home / CONFIG)
        except Exception:
            self._free()
            raise
        self.execution = _execution(config, census=execution_by(census, graph, path, ""), version=self._server.version)

    def _load(self, home: Path, threads: int) -> Mapping[str, Any]:
        place = self._server.place(home.name)
        shutil.copytree(home, place)
        text = (place / CONFIG).read_text(encoding="utf-8")
        (place / CONFIG).write_text(with_threads(text, threads), encoding="utf-8")
        try:
            self._client.post(f"/v2/repository/models/{home.name}/load")
            return self._client.get(f"/v2/models/{home.name}/config")
        except (OSError, http.client.HTTPException) as error:
            raise self._server.ended() from error

    def memory_elsewhere(self) -> int:
        self._peak = max(self._peak, self._server.memory() - self._server.baseline)
        return self._peak

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        try:
            found = self._client.infer(self._model, inputs)
        except (OSError, http.client.HTTPException) as error:
            raise self._server.ended() from error
        return {spec.name: found[spec.name] for spec in self._graph.outputs}

    def _free(self) -> None:
        self._client.close()
        self._server.stop()


def _check_served(config: Mapping[str, Any], graph: GraphArtifact, artifact: Artifact, *, batched: bool, path: Path) -> None:
    """Raises ExecutionError unless Triton serves what the manifest and the ONNX file say."""
    if (config["max_batch_size"] > 0) != batched:
        has = "a batch" if batched else "no batch"
        raise ExecutionError(f"{path}: max_batch_size is {config['max_batch_size']}, and the ONNX file has {has}; build the artifact again")
    for kind, specs in (("input", graph.inputs), ("output", graph.outputs)):
        wanted = [(each.name, each.dims) for each in tensors(specs, artifact.size, batched=batched)]
        found = [(each["name"], tuple(map(int, each["dims"]))) for each in config[kind]]
        if found != wanted:
            raise ExecutionError(f"{path}: Triton serves the {kind}s {found}, and the manifest declares {wanted}; build the artifact again")


def _execution(config: Mapping[str, Any], census: Execution, version: str) -> Execution:
    backend = config["backend"]
    instances = sum(int(group["count"]) for group in config["instance_group"])
    provider = f"Triton {version}, backend {backend}, {instances} instances"
    stands_in = backend == ONNX_BACKEND and config.get("runtime") == PYTHON_RUNTIME
    if not stands_in and backend not in (ONNX_BACKEND, PYTHON_BACKEND):
        raise ExecutionError(f"Triton serves it with backend '{backend}'; build the artifact again")
    return replace(census, provider=provider, evaluator=STAND_IN if stands_in else "")
