"""Runs one graph on ExecuTorch's runtime with XNNPACK, and says what ran."""

import tempfile
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import torch

from ...model.graph import Arrays
from ...system.errors import ArtifactError, ExecutionError
from ...system.silence import silence
from ..base import Artifact, Execution, Runner
from ..declared import as_arrays, check_declared
from ..runner_checks import check_int8
from .contents import FACTS, contents, declared, kernels

# XNNPACK's names of what it computes a convolution with: one of a pixel becomes a fully connected layer.
KINDS = ("Convolution", "Deconvolution", "Fully Connected")
INT8 = ("QC8", "QS8")


class ExecuTorchRunner(Runner):
    """A method of a program.

    Args:
        path: the ``.pte`` file.
        artifact: that the file belongs to.
        name: of the graph.
        threads: of ExecuTorch's pool, of which a process has one.

    Raises:
        ArtifactError: ExecuTorch cannot open the file.
        ExecutionError: the file declares another interface than the manifest, or XNNPACK executes fewer int8 convolutions than asked for;
            or runners with another number of threads are open.
    """

    _open: "WeakSet[ExecuTorchRunner]" = WeakSet()

    def __init__(self, path: Path, artifact: Artifact, name: str, threads: int) -> None:
        super().__init__(artifact.graph(name), artifact.size)
        with silence(native=True):
            self._share_threads(threads)
        try:
            with silence(native=True):
                self._method, text = _load(path)
                found = contents(path.read_bytes())
        except Exception as error:  # its reader fails with many unrelated classes
            raise ArtifactError(f"ExecuTorch {_version()} cannot open {path}: {type(error).__name__}: {error}") from error
        check_declared(declared(text, self._method), as_arrays(artifact, self._graph), path)
        ran = self._profiled(path)
        shown = sum(count for kernel, count in ran if kernel.startswith(KINDS) and any(kind in kernel for kind in INT8))
        int8 = min(found.int8_convolutions, shown - found.int8_linears)
        self.execution = Execution(f"ExecuTorch {_version()} with XNNPACK, CPU", found.convolutions, int8, ran)
        total, how = found.convolutions, "run as XNNPACK's int8 kernels"
        check_int8(self._graph, path, convolutions=total, int8_convolutions=int8, floats=(), how=how)
        self._open.add(self)

    def _share_threads(self, threads: int) -> None:
        from executorch.extension.pybindings.portable_lib import _threadpool_get_thread_count, _unsafe_reset_threadpool

        if _threadpool_get_thread_count() == threads:
            return
        if self._open:  # what they hold of the pool would be gone
            raise ExecutionError(
                f"graph '{self._graph.name}': ExecuTorch has one pool of threads a process, and graphs are open on it with another number "
                f"than {threads}; close them first"
            )
        _unsafe_reset_threadpool(threads)

    def _profiled(self, path: Path) -> tuple[tuple[str, int], ...]:
        """The kernels of one run on zeros, of a program of its own: recording takes time."""
        from executorch.runtime import Runtime

        zeros = [torch.zeros(spec.shape(self._size)) for spec in self._graph.inputs]
        with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder, silence(native=True):
            program = Runtime.get().load_program(path, enable_etdump=True)
            method = program.load_method("forward")
            assert method is not None
            method.execute(zeros)
            recorded = Path(folder) / "profile"
            program.write_etdump_result_to_file(str(recorded), str(Path(folder) / "tensors"))
            return kernels(recorded.read_bytes())

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        given = [torch.from_numpy(np.require(inputs[spec.name], requirements=("C", "W"))) for spec in self._graph.inputs]
        try:
            results = self._method.execute(given)
        except RuntimeError as error:
            raise ExecutionError(f"graph '{self._graph.name}': ExecuTorch failed: {error}") from error
        return {spec.name: result.numpy().copy() for spec, result in zip(self._graph.outputs, results, strict=True)}

    def _free(self) -> None:
        self._open.discard(self)
        del self._method


def _load(path: Path) -> tuple[Any, str]:
    """The method ``forward``, and what stands beside it."""
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(path)
    method = program.load_method("forward")
    facts = program.load_method(FACTS) if FACTS in program.method_names else None
    return method, facts.execute(())[0] if facts is not None else ""


def _version() -> str:
    from importlib.metadata import version

    return version("executorch")
