"""Antialiased resizing as two products with matrices, for readers that leave the antialiasing out without a word: OpenVINO 2026.4's.

Requires: images of known size.
Ensures: no Resize has the attribute ``antialias``; MatMul(rows, MatMul(x, columns)) computes what PyTorch's operator does, which goes along
rows and columns separately.
"""

import onnx_ir as ir
import torch
from torch.nn import functional

from .contract import Change, rewrite
from .graph import initializer, replace, shape_of, value_name

MODES = {"linear": "bilinear", "cubic": "bicubic"}


@rewrite()
def antialias_by_products(model: ir.Model) -> tuple[Change, ...]:
    """Resize with antialias -> MatMul, MatMul."""
    changes: list[Change] = []
    for node in tuple(model.graph):
        source, output = (node.inputs[0], node.outputs[0]) if node.op_type == "Resize" else (None, None)
        if source is None or output is None or not _is_set(node) or source.shape is None or output.shape is None:
            continue
        name, (before, after) = value_name(output), (shape_of(value)[2:] for value in (source, output))
        rows, columns = (_matrix(node, old, new) for old, new in zip(before, after, strict=True))
        wide = ir.node("MatMul", [source, initializer(model.graph, f"{name}.columns", columns.T.contiguous().numpy())], name=f"{name}.wide")
        wide.outputs[0].name = f"{name}.resized_columns"
        both = ir.node("MatMul", [initializer(model.graph, f"{name}.rows", rows.numpy()), wide.outputs[0]], name=node.name)
        both.outputs[0].type, both.outputs[0].shape = output.type, output.shape
        model.graph.insert_before(node, (wide, both))
        replace(model.graph, node, both)
        changes.append(Change("antialias_by_products", name, f"{before} to {after}"))
    return tuple(changes)


def _is_set(node: ir.Node) -> bool:
    antialias = node.attributes.get("antialias")
    return antialias is not None and antialias.as_int() == 1


def _matrix(node: ir.Node, old: int, new: int) -> torch.Tensor:
    """(new, old): what becomes of unit vectors."""
    how = node.attributes.get("coordinate_transformation_mode")
    corners = how is not None and how.as_string() == "align_corners"
    mode = MODES[node.attributes["mode"].as_string()]
    unit = torch.eye(old)[None, None]
    return functional.interpolate(unit, (new, old), mode=mode, align_corners=corners, antialias=True)[0, 0]
