"""What an ONNX model declares, read from its file or from ONNX Runtime's session on an ``.onnx`` or ``.ort`` file."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..declared import Declared, Tensor

if TYPE_CHECKING:
    import onnx
    import onnxruntime

PREFIX = "instantstyle."
# Where ONNX Runtime names a type otherwise than NumPy does: tensor(float) is float32.
NAMES = {"float": "float32", "double": "float64"}
UNKNOWN = "?"


def of_session(session: "onnxruntime.InferenceSession") -> Declared:
    """The interface of a session."""
    inputs = tuple(_of_argument(each) for each in session.get_inputs())
    inputs += tuple(_of_argument(each, optional=True) for each in session.get_overridable_initializers())
    return Declared(inputs, tuple(map(_of_argument, session.get_outputs())), _facts(session.get_modelmeta().custom_metadata_map))


def _of_argument(argument: Any, optional: bool = False) -> Tensor:
    kind = str(argument.type)
    optional = optional or kind.startswith("optional(")
    kind = kind.removeprefix("optional(").removeprefix("tensor(").rstrip(")")
    shape = tuple(length if isinstance(length, int) else str(length or UNKNOWN) for length in argument.shape)
    return Tensor(argument.name, NAMES.get(kind, kind), shape, optional=optional)


def of_model(model: "onnx.ModelProto") -> Declared:
    """The interface of a model."""
    given = {each.name for each in model.graph.initializer}
    inputs = tuple(_of_value(each, optional=each.name in given) for each in model.graph.input)
    metadata = {each.key: each.value for each in model.metadata_props}
    return Declared(inputs, tuple(map(_of_value, model.graph.output)), _facts(metadata))


def _of_value(value: "onnx.ValueInfoProto", optional: bool = False) -> Tensor:
    import onnx

    kind = value.type
    if kind.HasField("optional_type"):
        kind, optional = kind.optional_type.elem_type, True
    if not kind.HasField("tensor_type"):
        return Tensor(value.name, str(kind.WhichOneof("value")), (), optional=optional)
    name = onnx.TensorProto.DataType.Name(kind.tensor_type.elem_type).lower()
    lengths = kind.tensor_type.shape.dim
    shape = tuple(each.dim_value if each.HasField("dim_value") else each.dim_param or UNKNOWN for each in lengths)
    return Tensor(value.name, NAMES.get(name, name), shape, optional=optional)


def _facts(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
