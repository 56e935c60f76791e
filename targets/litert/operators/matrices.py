"""Products of matrices."""

from typing import Any

import numpy as np

from ..graph import FLOAT, Graph
from ..refusal import Unsupported
from ..writers import Value, aten, writes
from .elementwise import constant_operand


@writes(aten.matmul.default, aten.bmm.default, aten.mm.default)
def _matmul(graph: Graph, node: Any, left: Value | np.ndarray, right: Value | np.ndarray) -> Value:
    sides = (("left", left), ("right", right))
    values = [each if isinstance(each, Value) else constant_operand(graph, each, f"{node.name}.{side}") for side, each in sides]
    first, second = map(graph.plain, values)
    if min(len(first.shape), len(second.shape)) < 2:
        raise Unsupported("LiteRT multiplies matrices, not vectors")
    shape = (*np.broadcast_shapes(first.shape[:-2], second.shape[:-2]), first.shape[-2], second.shape[-1])
    options = graph.schema.BatchMatMulOptionsT()
    return graph.add("BATCH_MATMUL", node.name, [first, second], shape, FLOAT, tuple(range(len(shape))), options)
