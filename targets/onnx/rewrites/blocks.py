"""Square blocks of pixels to channels and back, on integers, as moves of neighbouring bytes.

ONNX Runtime's SpaceToDepth and DepthToSpace take one number at a time on one thread; what it transposes without splitting a run of
bytes it copies run by run, and its int8 convolutions have their channels last anyway. Measured on two cores of x86 with AMX: 12
channels of 256x256 to 3 of 512x512 take 1.8 to 3.0 ms in float and 0.5 so; 3 channels of 512x512 to 12 take 1.1 ms in float and 0.6
so. Runs of 6 bytes take 1.2 ms where those of 8 take 0.15, so that channels are added to 3.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from .graph import initializer, shape_of

RUNS = (1, 2, 4, 8)
TO_LAST, TO_FIRST, SWAP = (0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2, 4)


def even(channels: int, size: int) -> int:
    """The next number of channels with which a row of a block is a run of bytes that is moved as one number; ``channels`` if none is."""
    return next((run // size for run in RUNS if run % size == 0 and run >= size * channels), channels)


def to_depth(graph: ir.Graph, before: ir.Node, value: ir.Value, *, size: int, channels: int, name: str) -> ir.Value:
    """(N, C, H, W) -> (N, size * size * channels, H / size, W / size): row and column in the block, then channel, as SpaceToDepth's order.

    Args:
        channels: C, or more: those added are 0, which stands for any number, and whatever reads them should ignore them.
    """
    batch, own, height, width = shape_of(value)
    if channels != own:
        ends = initializer(graph, f"{name}.pads", np.array([0, 0, 0, 0, 0, channels - own, 0, 0], np.int64))
        pad = ir.node("Pad", [value, ends], name=f"{name}.pad")
        graph.insert_before(before, pad)
        pad.outputs[0].name, pad.outputs[0].type = pad.name, value.type
        value = pad.outputs[0]
    rows, columns = height // size, width // size
    return _moved(
        graph,
        before,
        value,
        [TO_LAST, (batch, rows, size, columns, size * channels), SWAP, (batch, rows, columns, size**2 * channels), TO_FIRST],
        name,
    )


def to_space(graph: ir.Graph, before: ir.Node, value: ir.Value, *, size: int, name: str) -> ir.Value:
    """(N, size * size * C, H, W) -> (N, C, size * H, size * W): the reverse of ``to_depth``, as DepthToSpace's mode DCR."""
    batch, depth, height, width = shape_of(value)
    channels = depth // size**2
    return _moved(
        graph,
        before,
        value,
        [TO_LAST, (batch, height, width, size, size * channels), SWAP, (batch, height * size, width * size, channels), TO_FIRST],
        name,
    )


def _moved(graph: ir.Graph, before: ir.Node, value: ir.Value, steps: Sequence[tuple[int, ...]], name: str) -> ir.Value:
    """Transposes and reshapes in turn, each put before ``before``."""
    kind = value.type
    for place, step in enumerate(steps):
        if place % 2:
            shape = initializer(graph, f"{name}.shape", np.array(step, np.int64))
            node = ir.node("Reshape", [value, shape], name=f"{name}.reshape{place}")
        else:
            node = ir.node("Transpose", [value], {"perm": step}, name=f"{name}.transpose{place}")
        graph.insert_before(before, node)
        value = node.outputs[0]
        value.name, value.type = node.name, kind
    return value
