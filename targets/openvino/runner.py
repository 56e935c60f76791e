"""Runs one graph on OpenVINO's CPU plugin and proves what it ran."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...model.graph import Arrays
from ...system.errors import ArtifactError, ExecutionError
from ..base import Artifact, Execution, Runner
from ..declared import as_arrays, check_declared
from ..runner_checks import check_int8
from .convert import cause, declared

if TYPE_CHECKING:
    import openvino

DEVICE = "CPU"
# OpenVINO's names of types, as the options have them.
TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
CONVOLUTIONS = frozenset({"Convolution", "Deconvolution"})
# What a convolution of one pixel becomes behind a change of layout.
PRODUCT = "FullyConnected"
INTEGERS = frozenset({"u8", "i8"})
# No work of their own.
PASSIVE = frozenset({"Const", "Input", "Output"})


class Kernel(NamedTuple):
    """What the plugin executes for one or several operations of the graph: its kind, the type that it reads, and their names."""

    kind: str
    reads: str
    names: str


class OpenVINORunner(Runner):
    """A compiled model.

    Args:
        path: the ``.xml`` file.
        artifact: that the file belongs to.
        name: of the graph.
        threads: that share an inference.
        precision: that is computed in where it is not int8: f32, f16 or bf16.

    Raises:
        ArtifactError: OpenVINO cannot open the file.
        ExecutionError: the file declares another interface than the manifest, or OpenVINO would compute on another device, in
            another precision, or in int8 fewer convolutions than asked for.
    """

    def __init__(self, path: Path, artifact: Artifact, name: str, threads: int, precision: str) -> None:
        import openvino

        super().__init__(artifact.graph(name), artifact.size)
        core = openvino.Core()
        try:
            model = core.read_model(path)
            check_declared(declared(model), as_arrays(artifact, self._graph), path)
            compiled = core.compile_model(model, DEVICE, settings(threads, precision))
        except RuntimeError as error:
            raise ArtifactError(f"OpenVINO {openvino.__version__} cannot open {path}: {cause(error)}") from error
        self._check_precision(compiled, precision)
        kernels = tuple(_kernels(compiled))
        found = [kernel for kernel in kernels if kernel.kind in CONVOLUTIONS or self._is_convolution(kernel)]
        floats = [kernel.names for kernel in found if kernel.reads not in INTEGERS]
        int8 = len(found) - len(floats)
        kinds = Counter(kernel.kind for kernel in kernels if kernel.kind not in PASSIVE)
        provider = f"OpenVINO {DEVICE}, {precision} where it is not int8" if int8 else f"OpenVINO {DEVICE}, {precision}"
        self.execution = Execution(provider, len(found), int8, tuple(kinds.most_common()))
        check_int8(self._graph, path, convolutions=len(found), int8_convolutions=int8, floats=floats, how="run as int8 kernels")
        self._request = compiled.create_infer_request()

    def _is_convolution(self, kernel: Kernel) -> bool:
        return kernel.kind == PRODUCT and bool(self._graph.node_of(kernel.names))

    def _check_precision(self, compiled: "openvino.CompiledModel", asked: str) -> None:
        found = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()  # pyright: ignore[reportAttributeAccessIssue]  (a Type)
        name = TYPES.get(found, found)
        if name != asked:
            raise ExecutionError(
                f"graph '{self._graph.name}': OpenVINO computes in {name} on this processor, not in {asked}; "
                f'set inference_precision = "{name}" in [targets.options.openvino], or measure on a processor that has {asked}'
            )

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        self._request.infer(dict(inputs))
        # Copied, because the request's memory is the next run's.
        return {spec.name: np.array(self._request.get_tensor(spec.name).data) for spec in self._graph.outputs}

    def _free(self) -> None:
        del self._request


def settings(threads: int, precision: str) -> dict[str, object]:
    """Of the plugin: as many threads as asked for, not tied to cores, and the precision of what is not int8."""
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Threads that are tied to cores wait for what else runs there.
        "ENABLE_CPU_PINNING": False,
    }


def _kernels(compiled: "openvino.CompiledModel") -> Iterator[Kernel]:
    """Of the plugin's own execution graph."""
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = node.get_rt_info()
        kind, reads, names = (facts[key].astype(str) for key in ("layerType", "runtimePrecision", "originalLayersNames"))
        yield Kernel(kind, reads, names or node.get_friendly_name())
