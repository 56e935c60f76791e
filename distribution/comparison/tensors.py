"""What a model file of ONNX Runtime holds, whatever the order in which it was written: tensors, nodes and interface."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...system.errors import ArtifactError

SUFFIXES = (".onnx", ".ort")


@dataclass(frozen=True)
class Content:
    """Attributes:
    tensors: constants by name.
    structure: nodes with their attributes, inputs and outputs, in an order of their own.
    """

    tensors: Mapping[str, np.ndarray]
    structure: tuple[str, ...]


def read_content(path: Path) -> Content:
    """Of an ``.onnx`` or ``.ort`` file.

    Raises:
        ArtifactError: it is none.
    """
    try:
        return _of_onnx(path) if path.suffix == ".onnx" else _of_ort(path)
    except Exception as error:  # parsers of damaged files raise what they like
        raise ArtifactError(f"{path}: cannot be read as a model ({type(error).__name__}: {error})") from error


def _of_onnx(path: Path) -> Content:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    parts = [*model.graph.node, *model.graph.input, *model.graph.output, *model.opset_import]
    return Content(tensors, tuple(sorted(str(part) for part in parts)))


def _of_ort(path: Path) -> Content:
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs import InferenceSession

    session: Any = InferenceSession.InferenceSession.GetRootAsInferenceSession(path.read_bytes(), 0)
    graph: Any = session.Model().Graph()
    tensors = {_text(tensor.Name()): _ort_tensor(tensor) for tensor in _each(graph, "Initializers")}
    nodes = [_ort_node(node) for node in _each(graph, "Nodes")]
    ends = [f"{kind} {_names(graph, kind)}" for kind in ("Inputs", "Outputs")]
    return Content(tensors, tuple(sorted([*nodes, *ends])))


def _ort_tensor(tensor: Any) -> np.ndarray:
    """Its bytes, with the type and the shape in a structured form that compares as a whole."""
    import onnx

    raw = np.zeros(0, np.uint8) if tensor.RawDataIsNone() else tensor.RawDataAsNumpy()
    dims = [tensor.Dims(index) for index in range(tensor.DimsLength())]
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.DataType())
    return np.frombuffer(raw.tobytes(), kind).reshape(dims)


def _ort_node(node: Any) -> str:
    names = [_names(node, kind) for kind in ("Inputs", "Outputs")]
    attributes = sorted(_ort_attribute(attribute) for attribute in _each(node, "Attributes"))
    return f"{_text(node.Domain())} {_text(node.OpType())} {node.SinceVersion()} {names} {attributes}"


def _ort_attribute(attribute: Any) -> str:
    lists = [[float(attribute.Floats(index)) for index in range(attribute.FloatsLength())]]
    lists += [[int(attribute.Ints(index)) for index in range(attribute.IntsLength())]]
    strings = [_text(attribute.Strings(index)) for index in range(attribute.StringsLength())]
    tensor = attribute.T()
    value = _ort_tensor(tensor).tolist() if tensor is not None else None
    return f"{_text(attribute.Name())} {attribute.F()} {attribute.I()} {_text(attribute.S())} {lists} {strings} {value}"


def _each(owner: Any, kind: str) -> Iterator[Any]:
    return (getattr(owner, kind)(index) for index in range(getattr(owner, f"{kind}Length")()))


def _names(owner: Any, kind: str) -> list[str]:
    return [_text(getattr(owner, kind)(index)) for index in range(getattr(owner, f"{kind}Length")())]


def _text(value: bytes | None) -> str:
    return (value or b"").decode()
