"""Whether a graph may take several pictures at once, found out by running them: it is captured with a batch of one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...model.graph import Size, TensorSpec
from ...system.errors import ArtifactError
from ..declared import Declared, Tensor

if TYPE_CHECKING:
    import onnx

BATCH = "batch"
# Of the largest value of an output. What adds in another order is within it; what mixes pictures is not.
TOLERANCE = 1e-4


def open_batch(model: "onnx.ModelProto", inputs: Sequence[TensorSpec], size: Size) -> tuple["onnx.ModelProto", str]:
    """The model with an open batch, and why not: the model as it was, if two pictures at once are not the same two one by one.

    Args:
        inputs: the graph's.
        size: H and W in pixels.
    """
    import onnx
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # pyright: ignore[reportAttributeAccessIssue]  (compiled)

    from ..onnx.runner import open_session

    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    for value in (*opened.graph.input, *opened.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    # Shapes of tensors in between, which are of one picture.
    del opened.graph.value_info[:]
    generator = np.random.default_rng(0)
    shapes = {spec.name: (2, *spec.shape(size)[1:]) for spec in inputs}
    given = {spec.name: generator.uniform(spec.minimum, spec.maximum, shapes[spec.name]).astype(np.float32) for spec in inputs}
    try:
        session = open_session(opened.SerializeToString(), 1)
        both = session.run(None, given)
        alone = [session.run(None, {name: array[index : index + 1] for name, array in given.items()}) for index in range(2)]
    except (ArtifactError, state.Fail, state.InvalidArgument, state.RuntimeException):
        return model, "its graph holds shapes of one picture"
    pairs = ((np.asarray(one), np.concatenate(parts)) for one, parts in zip(both, zip(*alone, strict=True), strict=True))
    apart = max(float(np.abs(one - other).max() / np.abs(one).max()) for one, other in pairs)
    if not apart <= TOLERANCE:
        return model, f"a picture in a batch differs from the same picture alone by up to {apart:.1%} of the largest value"
    return opened, ""


def is_open(declared: Declared) -> bool:
    """Whether a file takes batches."""
    return all(tensor.shape[:1] == (BATCH,) for tensor in (*declared.inputs, *declared.outputs))


def of_one_picture(declared: Declared) -> Declared:
    """What a file declares, at a batch of one."""
    if not is_open(declared):
        return declared
    inputs, outputs = (tuple(_of_one(tensor) for tensor in found) for found in (declared.inputs, declared.outputs))
    return Declared(inputs, outputs, declared.facts)


def _of_one(tensor: Tensor) -> Tensor:
    return Tensor(tensor.name, tensor.dtype, (1, *tensor.shape[1:]), tensor.colours, tensor.optional)
