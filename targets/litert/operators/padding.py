"""Padding: as LiteRT's two schemes where these do the same, as an operator of its own where they do not."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Graph, natural
from ..refusal import Unsupported
from ..writers import Value, aten, writes


def explicit(padding: Sequence[int] | int | str, kernel: Sequence[int], dilation: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """How many rows and columns PyTorch adds, before and behind."""
    if isinstance(padding, str):
        totals = [step * (length - 1) if padding == "same" else 0 for length, step in zip(kernel, dilation, strict=True)]
        begins = totals[0] // 2, totals[1] // 2
        return begins, (totals[0] - begins[0], totals[1] - begins[1])
    numbers = [padding] if isinstance(padding, int) else list(padding)
    both = int(numbers[0]), int(numbers[-1])
    return both, both


def same_padding(
    graph: Graph,
    source: Value,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    begins: Sequence[int],
    ends: Sequence[int],
    lowest: bool = False,
) -> tuple[int, Value]:
    """LiteRT's scheme, and what it is for: the source itself, or the source with its padding.

    SAME gives an output of ceil(size / stride) and puts the odd row at the end, where PyTorch pads both sides alike.
    """
    schemes = graph.schema.Padding
    if not any((*begins, *ends)):
        return schemes.VALID, source
    fits = True
    for size, length, step, apart, begin, end in zip(source.shape[1:3], kernel, stride, dilation, begins, ends, strict=True):
        reach = (length - 1) * apart + 1
        outputs = -(-size // step)
        total = max((outputs - 1) * step + reach - size, 0)
        # Rows at the end that no window reaches do not matter.
        fits &= begin == total // 2 and (size + begin + end - reach) // step + 1 == outputs
    if fits:
        return schemes.SAME, source
    widths = np.array([[0, 0], [begins[0], ends[0]], [begins[1], ends[1]], [0, 0]])
    return schemes.VALID, padded(graph, source, widths, f"v{source.index}.padded", lowest)


def padded(graph: Graph, source: Value, widths: np.ndarray, name: str, lowest: bool = False, filling: float = 0.0) -> Value:
    """A value with more rows at its ends, as it lies in memory. ``lowest``: filled with what no maximum is below."""
    shape = [length + int(sum(width)) for length, width in zip(source.shape, widths, strict=True)]
    amounts = graph.constant(f"{name}.widths", widths.astype(np.int32))
    zero = source.grid.zero_point if source.grid is not None else 0
    if (lowest and (source.grid is None or zero != -128)) or filling:
        level = round(filling / float(source.grid.scale)) + zero if source.grid is not None else 0
        value = -128 if lowest else min(max(level, -128), 127)
        array = np.array([value], np.int8) if source.grid is not None else np.array([-np.inf if lowest else filling], np.float32)
        fill = graph.constant(f"{name}.filling", array, source.grid)
        given, kind, options = [source, amounts, fill], "PADV2", graph.schema.PadV2OptionsT()
    else:
        given, kind, options = [source, amounts], "PAD", graph.schema.PadOptionsT()
    return graph.add(kind, name, given, shape, source.dtype, source.order, options, source.grid)


@writes(aten.pad.default, aten.reflection_pad2d.default, aten.constant_pad_nd.default, passing=True)
def _pad(graph: Graph, node: Any, source: Value, amounts: Sequence[int], *more: Any) -> Value:
    mode = "reflect" if node.target is aten.reflection_pad2d.default else "constant"
    if node.target is aten.pad.default and more:
        mode = more[0]
    filling = next((each for each in reversed(more) if isinstance(each, (int, float))), 0.0)
    source = graph.ordered(source, natural(len(source.shape)))
    widths = np.zeros((len(source.shape), 2), np.int64)
    for index in range(len(amounts) // 2):
        axis = source.order.index(len(source.shape) - 1 - index)
        widths[axis] = amounts[2 * index : 2 * index + 2]
    if (widths < 0).any():
        raise Unsupported("LiteRT's padding does not cut")
    if mode == "constant":
        return padded(graph, source, widths, node.name, filling=float(filling or 0.0))
    if mode != "reflect":
        raise Unsupported(f"LiteRT has no padding of the mode '{mode}'")
    shape = [length + int(sum(width)) for length, width in zip(source.shape, widths, strict=True)]
    lengths = graph.constant(f"{node.name}.widths", widths.astype(np.int32))
    options = graph.schema.MirrorPadOptionsT(mode=graph.schema.MirrorPadMode.REFLECT)
    return graph.add("MIRROR_PAD", node.name, [source, lengths], shape, source.dtype, source.order, options, source.grid)
