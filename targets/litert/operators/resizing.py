"""Pools, upsampling and pixel shuffle: channels last."""

from typing import Any

import numpy as np

from ..graph import CHANNELS_LAST, Graph
from ..refusal import Unsupported
from ..writers import Value, aten, writes
from .convolution import pair
from .padding import same_padding


def _pool(graph: Graph, node: Any, kind: str, source: Value, kernel: Any, stride: Any, padding: Any, dilation: Any = (1, 1)) -> Value:
    source = graph.channels_last(source)
    kernel, padding = pair(kernel), pair(padding)
    stride = pair(stride) if np.size(stride) else kernel
    if pair(dilation) != (1, 1):
        raise Unsupported("LiteRT's pools have no dilation")
    if kind == "AVERAGE_POOL_2D" and any(padding):
        source = _zeros_around(graph, source, padding)
        padding = (0, 0)
    scheme, source = same_padding(graph, source, kernel, stride, (1, 1), padding, padding, lowest=True)
    shape = [source.shape[0], *map(int, node.meta["val"].shape[2:]), source.shape[3]]
    given = [-(-size // step) if scheme == graph.schema.Padding.SAME else (size - length) // step + 1
             for size, step, length in zip(source.shape[1:3], stride, kernel, strict=True)]  # fmt: skip
    if given != shape[1:3]:
        raise Unsupported("a pool with ceil_mode whose last window is cut")
    options = graph.schema.Pool2DOptionsT(
        padding=scheme, strideH=stride[0], strideW=stride[1], filterHeight=kernel[0], filterWidth=kernel[1]
    )
    return graph.add(kind, node.name, [source], shape, source.dtype, CHANNELS_LAST, options, source.grid)


def _zeros_around(graph: Graph, source: Value, padding: tuple[int, int]) -> Value:
    from .padding import padded

    widths = np.array([[0, 0], [padding[0]] * 2, [padding[1]] * 2, [0, 0]])
    return padded(graph, source, widths, f"v{source.index}.zeros")


@writes(aten.max_pool2d.default, passing=True)
def _max_pool(graph: Graph, node: Any, source: Value, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, *_: Any) -> Value:
    return _pool(graph, node, "MAX_POOL_2D", source, kernel, stride, padding, dilation)


@writes(aten.avg_pool2d.default, passing=True)
def _avg_pool(
    graph: Graph, node: Any, source: Value, kernel: Any, stride: Any = (), padding: Any = 0, ceil: bool = False, *more: Any
) -> Value:
    counts_padding = more[0] if more else True
    if (not counts_padding and any(pair(padding))) or (len(more) > 1 and more[1] is not None):
        raise Unsupported("an average pool with a divisor of its own")
    return _pool(graph, node, "AVERAGE_POOL_2D", source, kernel, stride, padding)


@writes(aten.adaptive_avg_pool2d.default, passing=True)
def _adaptive(graph: Graph, node: Any, source: Value, wanted: Any) -> Value:
    source = graph.channels_last(source)
    sizes = source.shape[1:3]
    kept = [size if each is None else int(each) for size, each in zip(sizes, list(wanted), strict=True)]
    if any(size % each for size, each in zip(sizes, kept, strict=True)):
        raise Unsupported("an adaptive pool with windows of different sizes")
    kernel = [size // each for size, each in zip(sizes, kept, strict=True)]
    return _pool(graph, node, "AVERAGE_POOL_2D", source, kernel, kernel, 0)


def _resized(graph: Graph, node: Any, kind: str, source: Value, options: Any) -> Value:
    source = graph.channels_last(source)
    height, width = map(int, node.meta["val"].shape[2:])
    size = graph.constant(f"{node.name}.size", np.array([height, width], np.int32))
    shape = (source.shape[0], height, width, source.shape[3])
    return graph.add(kind, node.name, [source, size], shape, source.dtype, CHANNELS_LAST, options, source.grid)


@writes(aten.upsample_bilinear2d.vec, aten.upsample_bilinear2d.default, passing=True)
def _bilinear(graph: Graph, node: Any, source: Value, size: Any, corners: bool, *_: Any) -> Value:
    options = graph.schema.ResizeBilinearOptionsT(alignCorners=bool(corners), halfPixelCenters=not corners)
    return _resized(graph, node, "RESIZE_BILINEAR", source, options)


@writes(aten.upsample_nearest2d.vec, aten.upsample_nearest2d.default, passing=True)
def _nearest(graph: Graph, node: Any, source: Value, *_: Any) -> Value:
    return _resized(graph, node, "RESIZE_NEAREST_NEIGHBOR", source, graph.schema.ResizeNearestNeighborOptionsT())


@writes(aten.pixel_shuffle.default, passing=True)
def _pixel_shuffle(graph: Graph, node: Any, source: Value, factor: int) -> Value:
    """PyTorch has a pixel's places together, LiteRT its colours: the channels change places first."""
    source = graph.channels_last(source)
    count, height, width, channels = source.shape
    colours = channels // factor**2
    apart = graph.reshaped(_unnamed(source), (count, height, width, colours, factor**2), f"{node.name}.places")
    turned = graph.ordered(apart, (0, 1, 2, 4, 3))
    joined = graph.reshaped(_unnamed(turned), source.shape, f"{node.name}.colours")
    given = Value(joined.index, joined.shape, joined.dtype, CHANNELS_LAST, joined.grid)
    return depth_to_space(graph, given, factor, node.name)


def depth_to_space(graph: Graph, source: Value, factor: int, name: str) -> Value:
    """Of channels that have a pixel's colours together."""
    source = graph.channels_last(source)
    count, height, width, channels = source.shape
    shape = (count, height * factor, width * factor, channels // factor**2)
    options = graph.schema.DepthToSpaceOptionsT(blockSize=factor)
    return graph.add("DEPTH_TO_SPACE", name, [source], shape, source.dtype, CHANNELS_LAST, options, source.grid)


def _unnamed(value: Value) -> Value:
    """The same memory, its axes counted as they lie."""
    return Value(value.index, value.shape, value.dtype, tuple(range(len(value.shape))), value.grid)
