"""Which kernels ONNX Runtime executes: read from the graph that it saved after its own optimisation."""

from collections import Counter
from pathlib import Path

from ...system.errors import ExecutionError

INT8_CONVOLUTION = "QLinearConv"
# In whatever domain: com.microsoft has a QLinearConv for channels-last data, com.microsoft.nchwc a Conv for blocked channels.
CONVOLUTIONS = frozenset({INT8_CONVOLUTION, "Conv", "FusedConv", "NhwcFusedConv", "NhwcConv", "ConvInteger", "ConvTranspose"})


def read_kernels(path: Path) -> Counter[str]:
    """Operator types of the nodes of a model in ORT format.

    Raises:
        ExecutionError: the file has no graph.
    """
    return Counter(kernel for kernel, _ in _nodes(path))


def int8_convolutions(path: Path) -> tuple[str, ...]:
    """Names of the nodes that are convolutions in int8, which keep the names that they had; those in float do not."""
    return tuple(name for kernel, name in _nodes(path) if kernel == INT8_CONVOLUTION)


def _nodes(path: Path) -> list[tuple[str, str]]:
    """Operator type and name of each node."""
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    model = InferenceSession.GetRootAs(path.read_bytes(), 0).Model()
    graph = model.Graph() if model is not None else None
    if graph is None:
        raise ExecutionError(f"ONNX Runtime saved no graph to {path}; what it executes is unknown")
    nodes = (graph.Nodes(index) for index in range(graph.NodesLength()))
    return [(node.OpType().decode(), (node.Name() or b"").decode()) for node in nodes if node is not None]
