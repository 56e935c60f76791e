"""Resizing that Core ML has not, or that coremltools 9.0 gets wrong, as two products with matrices.

All of it is linear and goes along rows and columns separately: PyTorch's own operator on unit vectors gives the matrices.
Bicubic and antialiased resizing have no form; adaptive pooling with windows of several sizes becomes a slice and a mean for
every single output value, which takes minutes where there are a thousand of them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from .bicubic import whole_factors

aten = torch.ops.aten
POOLING = aten.adaptive_avg_pool2d.default
RESIZING = (aten.upsample_bicubic2d.vec, aten._upsample_bicubic2d_aa.vec, aten._upsample_bilinear2d_aa.vec)


def resize_by_matrices(module: GraphModule) -> None:
    """Rewrites it in place. Requires a graph of one size; what has a better form stays."""
    for node in [node for node in module.graph.nodes if node.target in (POOLING, *RESIZING)]:
        if node.target is aten.upsample_bicubic2d.vec and whole_factors(node.args[0].meta["val"].shape[2:], *_three(node)) is not None:
            continue
        matrices = [_matrix(node, axis) for axis in (2, 3)]
        if node.target is POOLING and all(map(_is_plain_pooling, matrices)):
            continue
        names = [f"_{node.name}_rows", f"_{node.name}_columns"]
        for name, value in zip(names, (matrices[0], matrices[1].T.contiguous()), strict=True):
            module.register_buffer(name, value)
        with module.graph.inserting_before(node):
            rows, columns = map(module.graph.get_attr, names)
            left = module.graph.call_function(aten.matmul.default, (rows, node.args[0]))
            made = module.graph.call_function(aten.matmul.default, (left, columns))
        for each in (left, made):
            each.meta = dict(node.meta)
        node.replace_all_uses_with(made)
        module.graph.erase_node(node)
    module.recompile()


def _three(node: Node) -> tuple[Any, Any, Any]:
    """The arguments of a resizing operator behind its input; the last has a default."""
    output_size, align_corners, *factors = node.args[1:]
    return output_size, align_corners, factors[0] if factors else None


def _matrix(node: Node, axis: int) -> Tensor:
    """(new length, old length) along an axis of (N, C, H, W): what the operator makes of unit vectors, the other axis left alone."""
    size, wanted = (int(each.meta["val"].shape[axis]) for each in (node.args[0], node))  # type: ignore[union-attr]
    if node.target is POOLING:
        rest: tuple[Any, ...] = ([wanted, size],)
    else:
        output_size, align_corners, factors = _three(node)
        rest = ([wanted, size], align_corners, None) if output_size is not None else (None, align_corners, [factors[axis - 2], 1.0])
    return node.target(torch.eye(size)[None, None], *rest)[0, 0]  # type: ignore[operator]


def _is_plain_pooling(matrix: Tensor) -> bool:
    """Whether windows have one size and do not overlap."""
    return len(set(matrix.count_nonzero(1).tolist())) == 1 and bool((matrix.count_nonzero(0) == 1).all())
