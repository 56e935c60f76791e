"""Where a graph spends its time in ONNX Runtime, module by module, by its own profiler."""

import json
import tempfile
from graphlib import TopologicalSorter
from pathlib import Path

from ...model.graph import Arrays
from ...system.errors import ExecutionError
from ..base import GraphArtifact
from .kernels import CONVOLUTIONS
from .runner import open_session

WARM_UP, RUNS = 2, 10
KERNEL, INPUTS = "_kernel_time", "inputs"


def module_times(path: Path, graph: GraphArtifact, inputs: Arrays, threads: int) -> dict[str, float]:
    """Milliseconds of one run by the path of the module: medians of its kernels, added up.

    A convolution knows its module. Whatever else runs counts for the convolution before it, or for ``inputs`` if there is none. Float
    convolutions on blocked channels have lost their names: there the shares are those without blocks, of the time with them.

    Args:
        path: of a ``.onnx`` or ``.ort`` file.

    Raises:
        ExecutionError: ONNX Runtime wrote no profile.
    """
    found, complete = _profile(path, graph, inputs, threads, blocked=True)
    if complete:
        return found
    shares, _ = _profile(path, graph, inputs, threads, blocked=False)
    factor = sum(found.values()) / (sum(shares.values()) or 1.0)
    return {place: time * factor for place, time in shares.items()}


def _profile(path: Path, graph: GraphArtifact, inputs: Arrays, threads: int, blocked: bool) -> tuple[dict[str, float], bool]:
    """Times by module, and whether every convolution's module is known."""
    with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder:
        optimized = Path(folder) / "optimized.ort"
        session = open_session(path, threads, optimized, profile=Path(folder) / "profile", blocked=blocked)
        names = [spec.name for spec in graph.outputs]
        for _ in range(WARM_UP + RUNS):
            session.run(names, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        modules, complete = _modules(optimized, graph)
    times: dict[int, list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
            times.setdefault(int(event["args"]["node_index"]), []).append(event["dur"] / 1e3)
    if not times:
        raise ExecutionError(f"graph '{graph.name}': ONNX Runtime wrote no profile of {path}")
    found: dict[str, float] = {}
    for index, durations in times.items():
        runs = sorted(durations[WARM_UP * len(durations) // (WARM_UP + RUNS) :])
        place = modules.get(index, INPUTS)
        found[place] = found.get(place, 0.0) + runs[len(runs) // 2]
    return found, complete


def _modules(optimized: Path, graph: GraphArtifact) -> tuple[dict[int, str], bool]:
    """The module that a node of an optimised graph counts for, by the node's number; and whether all convolutions have one of their own."""
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    model = InferenceSession.GetRootAs(optimized.read_bytes(), 0).Model()
    stored = model.Graph() if model is not None else None
    if stored is None:
        raise ExecutionError(f"ONNX Runtime saved no graph to {optimized}; what it executes is unknown")
    nodes = {node.Index(): node for node in map(stored.Nodes, range(stored.NodesLength())) if node is not None}
    maker = {node.Outputs(place): index for index, node in nodes.items() for place in range(node.OutputsLength())}
    before = {
        index: [maker[name] for name in map(node.Inputs, range(node.InputsLength())) if name in maker] for index, node in nodes.items()
    }
    own = {index: graph.module_of((node.Name() or b"").decode()) for index, node in nodes.items()}
    found: dict[int, str] = {}
    for index in TopologicalSorter(before).static_order():
        found[index] = own[index] or next((found[each] for each in before[index] if found[each] != INPUTS), INPUTS)
    return found, all(own[index] for index, node in nodes.items() if node.OpType().decode() in CONVOLUTIONS)
