"""Convolutions and linear layers, in float or in int8."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..flatbuffer import Grid
from ..graph import CHANNELS_LAST, FLOAT, INT8, Graph
from ..refusal import Unsupported
from ..writers import Value, aten, writes
from .padding import explicit, same_padding

# Of the accumulator of 32 bits: products keep the other half.
LARGEST_BIAS = 2**30


@dataclass(frozen=True)
class Weight:
    """A constant weight in PyTorch's shape; ``scales`` of its int8 numbers, one for each output channel, which are on ``axis``."""

    name: str
    array: np.ndarray
    scales: np.ndarray | None = None
    axis: int = 0


@dataclass(frozen=True)
class Output:
    """What a layer gives: its tensor's name, a ReLU with it or not, and the grid of an int8 result."""

    name: str
    relu: bool = False
    grid: Grid | None = None


def weights(graph: Graph, source: Value, weight: Weight, bias: np.ndarray | None, moved: tuple[int, ...], axis: int) -> list[Value]:
    """Weight and bias as tensors, beside an input of float or int8 numbers.

    Args:
        moved: the weight's axes in memory.
        axis: of the output channels, there.
    """
    outputs = weight.array.shape[moved[axis]]
    bias = np.zeros(outputs, np.float32) if bias is None else bias
    array = weight.array.transpose(moved)
    if source.dtype == FLOAT:
        grid = Grid(weight.scales, 0, axis) if weight.scales is not None else None
        return [graph.weight(f"{weight.name}.weight", array, grid), graph.constant(f"{weight.name}.bias", bias.astype(np.float32))]
    if source.grid is None or weight.scales is None:
        raise Unsupported("integers without a grid")
    scale = np.float64(np.float32(source.grid.scale))
    scales = weight.scales.astype(np.float64)
    least = np.abs(bias) / (scale * LARGEST_BIAS)
    # Of an all but dead channel the bias would not fit: its weights get a coarser grid.
    raised = np.where(scales >= least, scales, np.nextafter(least.astype(np.float32), np.float32(np.inf))).astype(np.float32)
    ratio = np.ones(array.ndim, int).tolist()
    ratio[axis] = -1
    array = np.rint(array * (scales / raised).reshape(ratio)).astype(np.int8)
    steps = np.float32(source.grid.scale) * raised
    integers = np.rint(bias / steps.astype(np.float64)).astype(np.int32)
    return [
        graph.constant(f"{weight.name}.weight", array, Grid(raised, 0, axis)),
        graph.constant(f"{weight.name}.bias", integers, Grid(steps)),
    ]


def activation(graph: Graph, output: Output) -> int:
    """A fused ReLU or nothing."""
    kinds = graph.schema.ActivationFunctionType
    return kinds.RELU if output.relu else kinds.NONE


def convolution(
    graph: Graph,
    source: Value,
    weight: Weight,
    bias: np.ndarray | None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] | str = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
    *,
    output: Output,
) -> Value:
    """(N, C, H, W); weight (O, C / groups, kH, kW)."""
    if weight.array.ndim != 4:
        raise Unsupported("LiteRT convolves pictures, in two dimensions")
    stride, dilation = pair(stride), pair(dilation)
    source = graph.channels_last(source)
    kernel = tuple(int(length) for length in weight.array.shape[2:])
    begins, ends = explicit(padding, kernel, dilation)
    sizes = source.shape[1:3]
    scheme, source = same_padding(graph, source, kernel, stride, dilation, begins, ends)
    reach = [(length - 1) * step + 1 for length, step in zip(kernel, dilation, strict=True)]
    height, width = (
        (size + begin + end - length) // step + 1 for size, begin, end, length, step in zip(sizes, begins, ends, reach, stride, strict=True)
    )
    channels, outputs = source.shape[3], weight.array.shape[0]
    schema = graph.schema
    common = dict(padding=scheme, strideH=stride[0], strideW=stride[1], dilationHFactor=dilation[0], dilationWFactor=dilation[1])
    if groups == channels and groups > 1:
        kind, moved, axis = "DEPTHWISE_CONV_2D", (1, 2, 3, 0), 3
        options = schema.DepthwiseConv2DOptionsT(depthMultiplier=outputs // channels, **common)
    else:
        kind, moved, axis = "CONV_2D", (0, 2, 3, 1), 0
        options = schema.Conv2DOptionsT(**common)
    options.fusedActivationFunction = activation(graph, output)
    tensors = weights(graph, source, weight, bias, moved, axis)
    shape = (source.shape[0], height, width, outputs)
    return graph.add(kind, output.name, [source, *tensors], shape, source.dtype, CHANNELS_LAST, options, output.grid)


def transposed_convolution(
    graph: Graph,
    source: Value,
    weight: Weight,
    bias: np.ndarray | None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    output_padding: Sequence[int] = (0, 0),
    *grouping: Any,
    output: Output,
) -> Value:
    """(N, C, H, W); weight (C, O, kH, kW). LiteRT's has no padding of its own: the whole result is computed and cut.

    Args:
        grouping: groups and dilation.
    """
    if np.any(np.concatenate([np.ravel(each) for each in (1, *grouping)]) != 1) or weight.array.ndim != 4:
        raise Unsupported("LiteRT's transposed convolution has no groups and no dilation")
    source, stride, padding, more = graph.channels_last(source), pair(stride), pair(padding), pair(output_padding)
    kernel = weight.array.shape[2:]
    whole = [(size - 1) * step + length for size, step, length in zip(source.shape[1:3], stride, kernel, strict=True)]
    kept = [size - 2 * cut + extra for size, cut, extra in zip(whole, padding, more, strict=True)]
    if any(cut + size > all_ for cut, size, all_ in zip(padding, kept, whole, strict=True)):
        raise Unsupported("an output_padding beyond the kernel")
    schema, outputs = graph.schema, weight.array.shape[1]
    options = schema.TransposeConvOptionsT(padding=schema.Padding.VALID, strideH=stride[0], strideW=stride[1])
    options.fusedActivationFunction = activation(graph, output)
    shape = (source.shape[0], *whole, outputs)
    tensors = weights(graph, source, weight, bias, (1, 2, 3, 0), 0)
    lengths = graph.constant(f"{output.name}.shape", np.array(shape, np.int32))
    given = [lengths, tensors[0], source, tensors[1]]
    name = output.name
    made = graph.add("TRANSPOSE_CONV", name, given, shape, source.dtype, CHANNELS_LAST, options, output.grid)
    begin, end = [0, *padding, 0], [shape[0], *(cut + size for cut, size in zip(padding, kept, strict=True)), outputs]
    return strided_slice(graph, made, begin, end, [1] * 4, f"{name}.cut")


def linear(graph: Graph, source: Value, weight: Weight, bias: np.ndarray | None, *, output: Output) -> Value:
    """(…, I); weight (O, I)."""
    source = graph.plain(source)
    options = graph.schema.FullyConnectedOptionsT(keepNumDims=len(source.shape) != 2, fusedActivationFunction=activation(graph, output))
    tensors = weights(graph, source, weight, bias, (0, 1), 0)
    shape = (*source.shape[:-1], weight.array.shape[0])
    version = 5 if source.dtype == INT8 else 2 if len(shape) == 2 else 5
    return graph.add("FULLY_CONNECTED", output.name, [source, *tensors], shape, source.dtype, source.order, options, output.grid, version)


def strided_slice(graph: Graph, source: Value, begin: Sequence[int], end: Sequence[int], step: Sequence[int], name: str) -> Value:
    """Of a value as it lies in memory."""
    lengths = [-(-(last - first) // by) for first, last, by in zip(begin, end, step, strict=True)]
    if tuple(lengths) == source.shape:
        return source
    parts = [graph.constant(f"{name}.{index}", np.array(part, np.int32)) for index, part in enumerate((begin, end, step))]
    options = graph.schema.StridedSliceOptionsT()
    return graph.add("STRIDED_SLICE", name, [source, *parts], lengths, source.dtype, source.order, options, source.grid)


def pair(value: Sequence[int] | int) -> tuple[int, int]:
    """One number for both directions."""
    numbers = [value] if isinstance(value, int) else list(value)
    return (int(numbers[0]), int(numbers[-1]))


LAYERS = {
    aten.conv2d.default: convolution,
    aten.conv2d.padding: convolution,
    aten.conv_transpose2d.input: transposed_convolution,
    aten.linear.default: linear,
}
# Which axis of a weight the output channels are on.
CHANNEL_AXIS = {aten.conv_transpose2d.input: 1}


@writes(*LAYERS)
def _layer(graph: Graph, node: Any, source: Value, weight: Weight, bias: np.ndarray | None = None, *more: Any) -> Value:
    return LAYERS[node.target](graph, source, weight, bias, *more, output=Output(node.name))
