"""The float PyTorch reference: computed once for each sample, kept on disk, served to every artifact."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from ...model.cached_run import CachedRun, content_key
from ...model.graph import Arrays, Graph, Model, Run, Sample, Size, TensorSpec
from ...model.runs import runs_from_modules
from ...system.errors import InstantStyleError


@dataclass(frozen=True)
class GraphCall:
    """One graph as it ran inside the scenario: its inputs and outputs by name, read-only."""

    graph: str
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


@dataclass(frozen=True)
class SampleReference:
    """What the reference makes of one sample: the scenario's image, and every call of a graph on the way to it."""

    output: np.ndarray
    calls: tuple[GraphCall, ...]


@dataclass(frozen=True)
class _StoredCall:
    """A GraphCall with files in the place of arrays."""

    graph: str
    inputs: dict[str, Path]
    outputs: dict[str, Path]


class Reference:
    """The float reference of a model at one size. A context manager; its arrays live in a temporary folder until it closes.

    Args:
        folder: where the temporary folder is made; by default the system's.
    """

    def __init__(self, model: Model, size: Size, folder: Path | None = None) -> None:
        self._model = model
        self._size = size
        self._folder = tempfile.TemporaryDirectory(prefix="instantstyle-reference-", dir=folder)
        self._runs = {name: CachedRun(run) for name, run in runs_from_modules(model).items()}
        self._stored: dict[str, tuple[Path, list[_StoredCall]]] = {}

    def of(self, sample: Sample) -> SampleReference:
        """Computed at the first call for these inputs, read from disk whenever it is asked for.

        Raises:
            InstantStyleError: a graph returns other shapes than the model declares, or the reference itself gives NaN or Inf.
        """
        key = content_key(sample.inputs)
        if key not in self._stored:
            self._stored[key] = self._compute(sample)
        output, calls = self._stored[key]
        return SampleReference(
            _load(output), tuple(GraphCall(call.graph, _load_all(call.inputs), _load_all(call.outputs)) for call in calls)
        )

    def close(self) -> None:
        """Deletes the arrays."""
        self._stored.clear()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _compute(self, sample: Sample) -> tuple[Path, list[_StoredCall]]:
        calls: list[_StoredCall] = []
        runs = {graph.name: self._recorded(graph, calls, sample) for graph in self._model.graphs}
        output = self._model.scenario(runs, sample.inputs)
        return self._store(output), calls

    def _recorded(self, graph: Graph, calls: list[_StoredCall], sample: Sample) -> Run:
        def run(inputs: Arrays) -> dict[str, np.ndarray]:
            outputs = self._runs[graph.name](inputs)
            for spec in graph.outputs:
                self._check(outputs[spec.name], spec, f"sample '{sample.name}': output '{spec.name}' of graph '{graph.name}'")
            calls.append(_StoredCall(graph.name, self._store_all(inputs), self._store_all(outputs)))
            return outputs

        return run

    def _check(self, output: np.ndarray, spec: TensorSpec, where: str) -> None:
        wanted = spec.shape(self._size)
        if output.shape != wanted:
            raise InstantStyleError(f"{where} has shape {output.shape}; by the model's declaration and the recipe's size it is {wanted}")
        if not np.isfinite(output).all():
            raise InstantStyleError(
                f"{where} has NaN or Inf in the float reference itself, and nothing can be compared with that. "
                "Check the checkpoint and the images"
            )

    def _store_all(self, arrays: Arrays) -> dict[str, Path]:
        return {name: self._store(array) for name, array in arrays.items()}

    def _store(self, array: np.ndarray) -> Path:
        """A file named by content, so that equal arrays share it."""
        path = Path(self._folder.name, f"{content_key({'': array})}.npy")
        if not path.exists():
            np.save(path, array)
        return path


def _load_all(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    return {name: _load(path) for name, path in files.items()}


def _load(path: Path) -> np.ndarray:
    """Mapped, not read: only what is used takes memory, and only while it is."""
    return np.asarray(np.load(path, mmap_mode="r"))
