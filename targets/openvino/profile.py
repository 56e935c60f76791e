"""Where a graph spends its time in OpenVINO, module by module, by its own counters."""

from pathlib import Path
from typing import TYPE_CHECKING

from ...model.graph import Arrays
from ..base import GraphArtifact
from .runner import DEVICE, settings

if TYPE_CHECKING:
    import openvino

WARM_UP, RUNS = 2, 10
INPUTS = "inputs"


def module_times(path: Path, graph: GraphArtifact, *, inputs: Arrays, threads: int, precision: str) -> dict[str, float]:
    """Milliseconds of one run by the path of the module: medians of its kernels, added up.

    A kernel counts for the first module whose operations it was made of; one of none, e.g. a change of layout, for what it reads, or for
    ``inputs`` if it reads these.

    Args:
        path: of the ``.xml`` file.
        precision: that is computed in where it is not int8: f32, f16 or bf16.
    """
    import openvino

    compiled = openvino.Core().compile_model(path, DEVICE, {**settings(threads, precision), "PERF_COUNT": True})
    modules, request = _modules(compiled, graph), compiled.create_infer_request()
    runs: dict[str, list[float]] = {}
    for _ in range(WARM_UP + RUNS):
        request.infer(dict(inputs))
        for kernel in request.get_profiling_info():
            runs.setdefault(kernel.node_name, []).append(kernel.real_time.total_seconds() * 1e3)
    found: dict[str, float] = {}
    for name, durations in runs.items():
        place = modules.get(name, INPUTS)
        found[place] = found.get(place, 0.0) + sorted(durations[WARM_UP:])[RUNS // 2]
    return found


def _modules(compiled: "openvino.CompiledModel", graph: GraphArtifact) -> dict[str, str]:
    """The module that each kernel counts for, by the kernel's name."""
    found: dict[str, str] = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        names = node.get_rt_info()["originalLayersNames"].astype(str)
        read = (found.get(port.get_source_output().get_node().get_friendly_name(), INPUTS) for port in node.inputs())
        own = next((path for name in names.split(",") if (path := graph.module_of(name))), "")
        found[node.get_friendly_name()] = own or next((path for path in read if path != INPUTS), INPUTS)
    return found
