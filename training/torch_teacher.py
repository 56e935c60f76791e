"""The teacher in PyTorch: many pairs at a time, on a GPU as well, where ONNX Runtime's takes one on the CPU."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import NodeProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

Arrays = Mapping[str, np.ndarray]
Step = Callable[..., Tensor]


class TorchTeacher(nn.Module):
    """Both networks of ``Teacher`` with its roundings to int8, from the folder of their ONNX files.

    Where sums are added up in another order a rounding falls on the other side here and there, which makes a level's difference.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._predict, self._transform = (OnnxNetwork(folder / f"arbitrary_{name}.onnx") for name in ("predict", "transform"))

    @torch.no_grad()
    def style_vectors(self, styles: Tensor) -> Tensor:
        """(N, 3, 256, 256) in [0, 1] -> (N, 100)."""
        return self._predict(styles.permute(0, 2, 3, 1)).flatten(1)

    @torch.no_grad()
    def stylize(self, photos: Tensor, vectors: Tensor) -> Tensor:
        """(N, 3, 384, 384) in [0, 1] and (N, 100) -> (N, 3, 384, 384) in [0, 1]."""
        return self._transform(photos.permute(0, 2, 3, 1), vectors[:, None, None]).permute(0, 3, 1, 2)


class OnnxNetwork(nn.Module):
    """An ONNX file of the operators in ``OPERATORS``, for any batch; integers are held as the float numbers that they stand for."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self.inputs = [each.name for each in graph.input if each.name not in arrays]
        self.output = graph.output[0].name
        self.steps: list[tuple[Step, tuple[str, ...], str]] = []
        constants: dict[str, np.ndarray] = {}
        for node in graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] in arrays:
                constants[node.output[0]] = _real(*(arrays[name] for name in node.input), axis=_attributes(node).get("axis", 1))
                continue
            step, read = OPERATORS[node.op_type](node, arrays)
            self.steps.append((step, read, node.output[0]))
            constants |= {name: arrays[name] for name in read if name in arrays}
        # Pictures at full size are many: each goes after its last reader.
        self.last_reads: list[set[str]] = []
        later = {self.output, *constants}
        for _, read, _ in reversed(self.steps):
            self.last_reads.insert(0, set(read) - later)
            later |= set(read)
        self.constants = tuple(constants)
        for index, array in enumerate(constants.values()):
            self.register_buffer(f"constant{index}", torch.from_numpy(np.array(array)))

    def forward(self, *inputs: Tensor) -> Tensor:
        values = dict(zip(self.constants, self.buffers(), strict=True)) | dict(zip(self.inputs, inputs, strict=True))
        for (step, read, made), last_read in zip(self.steps, self.last_reads, strict=True):
            values[made] = step(*(values[name] for name in read))
            for name in last_read:
                del values[name]
        return values[self.output]


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _real(integers: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int) -> np.ndarray:
    """What the integers of weights stand for."""
    sides = [-1 if index == axis and scale.size > 1 else 1 for index in range(integers.ndim)]
    return ((integers.astype(np.float64) - zero.reshape(sides)) * scale.reshape(sides)).astype(np.float32)


# Each builds what a node does, and names what it reads.
Built = tuple[Step, tuple[str, ...]]


def _quantize(node: NodeProto, arrays: Arrays) -> Built:
    scale, zero = (arrays[name] for name in node.input[1:])
    limits = np.iinfo(zero.dtype)
    rounded = partial(
        torch.fake_quantize_per_tensor_affine, scale=float(scale), zero_point=int(zero), quant_min=limits.min, quant_max=limits.max
    )
    return rounded, (node.input[0],)


def _dequantize(node: NodeProto, _: Arrays) -> Built:
    return (lambda x: x), (node.input[0],)


def _conv(node: NodeProto, _: Arrays) -> Built:
    said = _attributes(node)
    top, left, bottom, right = said.get("pads", (0, 0, 0, 0))

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        padded = functional.pad(x, (left, right, top, bottom)) if (top, left, bottom, right) != (0, 0, 0, 0) else x
        return functional.conv2d(padded, weight, bias, said.get("strides", 1), 0, said.get("dilations", 1), said.get("group", 1))

    return run, tuple(node.input)


def _pad(node: NodeProto, arrays: Arrays) -> Built:
    pads, mode = arrays[node.input[1]].reshape(2, -1), _attributes(node)["mode"].decode()
    by_axis = [(int(low), int(high)) for low, high in pads.T]
    last = by_axis[1] != (0, 0)  # channels are, since they are never padded

    def run(x: Tensor) -> Tensor:
        (top, bottom), (left, right) = by_axis[1:3] if last else by_axis[2:4]
        first = x.permute(0, 3, 1, 2) if last else x
        padded = functional.pad(first, (left, right, top, bottom), mode=mode)
        return padded.permute(0, 2, 3, 1) if last else padded

    return run, (node.input[0],)


def _resize(node: NodeProto, arrays: Arrays) -> Built:
    factor = float(arrays[node.input[2]][-1])
    return (lambda x: x if factor == 1 else functional.interpolate(x, scale_factor=factor, mode="nearest")), (node.input[0],)


def _reshape(node: NodeProto, arrays: Arrays) -> Built:
    sides = [int(side) for side in arrays[node.input[1]][1:]]
    return (lambda x: x.reshape(len(x), *sides)), (node.input[0],)


def _clip(node: NodeProto, arrays: Arrays) -> Built:
    low, high = (float(arrays[name]) for name in node.input[1:])
    return partial(torch.clamp, min=low, max=high), (node.input[0],)


def _transpose(node: NodeProto, _: Arrays) -> Built:
    return partial(torch.permute, dims=tuple(_attributes(node)["perm"])), (node.input[0],)


def _plain(run: Step) -> Callable[[NodeProto, Arrays], Built]:
    return lambda node, _: (run, tuple(node.input))


OPERATORS: dict[str, Callable[[NodeProto, Arrays], Built]] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Conv": _conv,
    "Pad": _pad,
    "Resize": _resize,
    "Reshape": _reshape,
    "Clip": _clip,
    "Transpose": _transpose,
    "GlobalAveragePool": _plain(partial(torch.mean, dim=(2, 3), keepdim=True)),
    "Add": _plain(torch.add),
    "Sub": _plain(torch.sub),
    "Mul": _plain(torch.mul),
    "Relu": _plain(torch.relu),
    "Sigmoid": _plain(torch.sigmoid),
    "Sqrt": _plain(torch.sqrt),
    "Reciprocal": _plain(torch.reciprocal),
}
