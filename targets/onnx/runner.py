"""Runs one graph on ONNX Runtime and proves what it ran."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...model.graph import Arrays
from ...system.errors import ArtifactError, ExecutionError
from ..base import Artifact, Execution, Runner
from ..declared import Declared, as_arrays, check_declared
from ..runner_checks import check_int8
from .declared import of_session
from .kernels import CONVOLUTIONS, INT8_CONVOLUTION, int8_convolutions, read_kernels

if TYPE_CHECKING:
    import onnxruntime

PROVIDER = "CPUExecutionProvider"
# What goes wrong is raised as well; ONNX Runtime would print it besides.
LOG_NOTHING = 4
SESSION_OPTIONS = {
    # Idle sessions spin otherwise and slow the next one by a third.
    "session.force_spinning_stop": "1",
    "session.save_model_format": "ORT",
}


class SessionRunner(Runner):
    """Runs a session; subclasses open it as ``_session``."""

    _session: "onnxruntime.InferenceSession"

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        names = [spec.name for spec in self._graph.outputs]
        return {name: np.asarray(value) for name, value in zip(names, self._session.run(names, dict(inputs)), strict=True)}

    def _free(self) -> None:
        del self._session


class OrtRunner(SessionRunner):
    """A session on ONNX Runtime's CPU provider for a ``.onnx`` or ``.ort`` file.

    Args:
        path: the model file.
        artifact: that the file belongs to.
        name: of the graph.
        threads: threads within an operator.

    Raises:
        ArtifactError: ONNX Runtime cannot open the file.
        ExecutionError: the file declares another interface than the manifest, another provider, or fewer int8 convolutions than asked for.
    """

    def __init__(self, path: Path, artifact: Artifact, name: str, threads: int) -> None:
        graph = artifact.graph(name)
        super().__init__(graph, artifact.size)
        with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder:
            optimized = Path(folder) / "optimized.ort"
            self._session = open_session(path, threads, optimized)
            counts, int8 = read_kernels(optimized), int8_convolutions(optimized)
        check_declared(self._declared(), as_arrays(artifact, graph), path)
        providers = self._session.get_providers()
        if providers != [PROVIDER]:
            raise ExecutionError(f"graph '{graph.name}': ONNX Runtime runs it on {providers}, not on {PROVIDER} alone")
        convolutions = sum(count for kernel, count in counts.items() if kernel in CONVOLUTIONS)
        self.execution = Execution(PROVIDER, convolutions, counts[INT8_CONVOLUTION], tuple(counts.most_common()))
        found = {graph.node_of(name) for name in int8}
        floats = (name for name, _ in graph.modules if name not in found)
        check_int8(
            graph, path, convolutions=convolutions, int8_convolutions=counts[INT8_CONVOLUTION], floats=floats, how="run as int8 kernels"
        )

    def _declared(self) -> Declared:
        """What the file says of itself."""
        return of_session(self._session)


def open_session(
    model: Path | bytes,
    threads: int,
    optimized: Path | None = None,
    optimize: bool = True,
    *,
    profile: Path | None = None,
    blocked: bool = True,
):
    """A session on PROVIDER.

    Args:
        model: a file, or the content of one.
        optimized: where the graph as it will run is written, if anywhere.
        optimize: whether ONNX Runtime may change the graph at all.
        profile: what the name of its profile begins with, if it writes one.
        blocked: whether float convolutions may run on blocked channels, which takes their names.

    Raises:
        ArtifactError: ONNX Runtime cannot open the file.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # pyright: ignore[reportAttributeAccessIssue]  (compiled)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = LOG_NOTHING
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for key, value in SESSION_OPTIONS.items():
        options.add_session_config_entry(key, value)
    try:
        return onnxruntime.InferenceSession(
            model, options, providers=[PROVIDER], disabled_optimizers=None if blocked else ["NchwcTransformer"]
        )
    except (state.Fail, state.InvalidProtobuf, state.InvalidGraph, state.NoSuchFile, state.NotImplemented, state.RuntimeException) as error:
        raise ArtifactError(
            f"ONNX Runtime {onnxruntime.__version__} cannot open {model if isinstance(model, Path) else 'a model'}: {error}"
        ) from error
