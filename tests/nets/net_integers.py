"""Int8 ONNX models on any processor: as they are written, and executed with weights that no kernel saturates on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from instantstyle.targets.android.ort_format import to_ort_format
from instantstyle.targets.android.target import android_rewrites
from instantstyle.targets.onnx.rewrites.apply import apply
from instantstyle.targets.onnx.runner import open_session
from instantstyle.targets.onnx.target import file_rewrites, save


def as_written(model: onnx.ModelProto, folder: Path, images: Sequence[Tensor]) -> list[Tensor]:
    """Every node in float arithmetic as the ONNX specification says, nothing fused."""
    save(model, folder / "written.onnx")
    return _run(folder / "written.onnx", images, optimize=False)


def rewritten(model: onnx.ModelProto, target: str) -> onnx.ModelProto:
    """With the rewrites of a target."""
    return apply(model, android_rewrites() if target == "android" else file_rewrites())[0]


def as_executed(model: onnx.ModelProto, target: str, folder: Path, images: Sequence[Tensor]) -> list[Tensor]:
    """By the kernels that ONNX Runtime chooses, for android from an ``.ort`` file."""
    source = folder / "source"
    source.mkdir()
    save(model, source / "model.onnx")
    if target == "android":
        to_ort_format(source, folder, halve=True)
        return _run(folder / "model.ort", images)
    return _run(source / "model.onnx", images)


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Int8 weights of at most 64 levels each way: two products with an unsigned byte fit 16 bits, in which kernels for AVX2 sum them."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    stored = {tensor.name: tensor for tensor in copy.graph.initializer}
    weights = {node.input[0]: node.input[1] for node in copy.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored}
    for name in weights:
        values = numpy_helper.to_array(stored[name])
        stored[name].CopyFrom(numpy_helper.from_array(np.rint(values / 2).astype(np.int8), name))
    for name in set(weights.values()):
        # A scale may serve activations as well: then it would no longer fit.
        users = [node.input[0] for node in copy.graph.node if name in node.input]
        if all(user in weights for user in users):
            stored[name].CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(stored[name]), name))
    return copy


def _run(path: Path, images: Sequence[Tensor], optimize: bool = True) -> list[Tensor]:
    session = open_session(path, 1, None, optimize)
    return [torch.from_numpy(session.run(None, {"image": image.numpy()})[0]) for image in images]
