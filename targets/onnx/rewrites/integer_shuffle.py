"""Shuffles the pixels of a convolution's output as integers, in runs of bytes, rather than number by number in float.

Measured: see ``blocks.py``.

Requires: Conv with one group and dequantised int8 weights, its output quantised with one scale (a ReLU may come before that) on its final
grid, and read by DequantizeLinear and DepthToSpace alone.
Ensures: no DepthToSpace reads it; the convolution's channels are in an order in which the shuffle moves runs of bytes, and as many as the
kernels are fast with.
Exact: integers are moved.
"""

import numpy as np
import onnx_ir as ir

from .blocks import to_space
from .contract import Change, rewrite
from .graph import DEQUANTIZE, groups, only_reader, quantize_after, replace, shape_of, value_name
from .pad_narrow_convolutions import fast_channels, slice_after, widen_shapes
from .weights import quantized_weight, take_outputs


@rewrite()
def integer_shuffle(model: ir.Model) -> tuple[Change, ...]:
    """Conv -> Q -> DQ -> DepthToSpace becomes Conv -> Q -> moves of bytes -> DQ."""
    return tuple(change for node in tuple(model.graph) if node.op_type == "Conv" and (change := _move(model.graph, node)) is not None)


def _move(graph: ir.Graph, node: ir.Node) -> Change | None:
    weight, quantize = quantized_weight(node), quantize_after(node)
    dequantize = only_reader(quantize.outputs[0]) if quantize is not None else None
    shuffle = only_reader(dequantize.outputs[0]) if dequantize is not None and dequantize.op_type == DEQUANTIZE else None
    if weight is None or quantize is None or dequantize is None or shuffle is None or shuffle.op_type != "DepthToSpace":
        return None
    integers, shape = quantize.outputs[0], shape_of(quantize.outputs[0])
    if groups(node) != 1 or len(shape) != 4 or min(shape) < 1:
        return None
    size, mode = shuffle.attributes["blocksize"].as_int(), shuffle.attributes.get_string("mode", "DCR")
    channels = shape[1] // size**2
    padded = next(count for count in range(channels, shape[1] + 16) if fast_channels(size**2 * count) == size**2 * count)
    if not take_outputs(graph, weight, _order(channels, padded, size, mode)):
        return None
    name = value_name(shuffle.outputs[0])
    widen_shapes(node, quantize, size**2 * padded)
    space = to_space(graph, shuffle, integers, size=size, name=name)
    added = ir.node(DEQUANTIZE, [space, *dequantize.inputs[1:]], name=f"{name}.dequantize")
    graph.insert_before(shuffle, added)
    added.outputs[0].type, added.outputs[0].shape = shuffle.outputs[0].type, shuffle.outputs[0].shape
    replace(graph, shuffle, added)
    if padded != channels:
        slice_after(graph, space, channels)
    return Change("integer_shuffle", name, f"{channels} channels in blocks of {size}")


def _order(channels: int, padded: int, size: int, mode: str) -> np.ndarray:
    """Which channel comes where: row and column in the block, then channel; -1 where there is none."""
    numbers = np.arange(channels * size**2)
    order = numbers.reshape(channels, size**2).T if mode == "CRD" else numbers.reshape(size**2, channels)
    return np.pad(order, ((0, 0), (0, padded - channels)), constant_values=-1).ravel()
