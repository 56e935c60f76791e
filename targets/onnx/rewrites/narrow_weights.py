"""Coarser grids for the output channels whose sums of two would leave 16 bits, so that kernels which add there lose nothing.

Requires: int8 weights of constant scales, zero points 0.
Ensures: such a channel's weights are smaller integers of a larger scale, for the one layer that is named.
Each weight moves by at most half a level of the new grid, which is up to twice the old one. Weights of uint8 would be exact, but
on processors with VNNI their kernels take three times as long, and on Arm they have no direct convolution.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from .graph import Change, Rewrite, value_name
from .weights import quantized_weight

# Another picture may go further than the samples did.
MARGIN = 1.05
# No sum of two numbers of 7 bits leaves 16 bits.
MOST = 2.0


def narrow_weights(excess: Mapping[str, np.ndarray]) -> Rewrite:
    """The rewrite for layers (``Conv`` or ``Gemm`` nodes) by their names, with the excess of each output channel (``saturation.py``)."""

    def rewrite(model: ir.Model) -> tuple[Change, ...]:
        changes: list[Change] = []
        for node in tuple(model.graph):
            weight = quantized_weight(node) if node.name in excess else None
            if weight is None:
                continue
            over = excess[node.name or ""]
            factors = np.where(over > 1, np.minimum(over * MARGIN, MOST), 1.0)
            values = np.rint(weight.values / factors.reshape(-1, *[1] * (weight.values.ndim - 1))).astype(np.int8)
            weight.replace(model.graph, values, weight.scales * factors)
            narrowed = np.count_nonzero(factors > 1)
            changes.append(Change("narrow_weights", value_name(node.outputs[0]), f"{narrowed} channels, at most {factors.max():.2f} times"))
        return tuple(changes)

    return rewrite
