"""A captured float program that computes in float16, with float32 inputs and outputs.

Statistics (``FLOAT32_OPERATORS``: means, powers, roots, quotients) read and give float32, where a square may overflow; everything else
reads float16. A cast stands wherever the type changes; weights are stored as they are read.
"""

import operator
from typing import Any

import torch
from torch.fx import GraphModule, Node

from ...capture.program import operator_name
from ...system.errors import CaptureError
from ..onnx.half import FLOAT32_OPERATORS

HALF, FLOAT = torch.float16, torch.float32
CAST = torch.ops.aten._to_copy.default


def compute_half(module: GraphModule) -> None:
    """Changes a captured float program in place; what it knows of its values' types is no longer true.

    Raises:
        CaptureError: a finite constant is infinite in float16; names it.
    """
    gives = {node: _type(node) for node in module.graph.nodes if _is_float(node)}
    others: dict[Node, Node] = {}
    for node in list(module.graph.nodes):
        if node.op != "output" and (node.op != "call_function" or node.target is operator.getitem):
            continue
        reads = FLOAT if node.op == "output" or operator_name(node) in FLOAT32_OPERATORS else HALF
        for source in node.all_input_nodes:
            if gives.get(source, reads) is not reads:
                if source not in others:
                    others[source] = _other(module, source, reads)
                node.replace_input_with(source, others[source])
    module.recompile()


def _other(module: GraphModule, source: Node, dtype: torch.dtype) -> Node:
    """What a node gives, in the other type."""
    with module.graph.inserting_after(source):
        made = _stored(module, source) if source.op == "get_attr" else module.graph.call_function(CAST, (source,), {"dtype": dtype})
    made.meta = {name: value for name, value in source.meta.items() if name != "val"}
    return made


def _type(node: Node) -> torch.dtype:
    """That a node gives; FLOAT, too, where nothing tells: then it is cast once more than may be needed."""
    if node.op == "call_function" and node.target is operator.getitem:
        return _type(node.all_input_nodes[0])
    told = "dtype" in node.kwargs or not any(map(_is_float, node.all_input_nodes))
    return FLOAT if node.op != "call_function" or told or operator_name(node) in FLOAT32_OPERATORS else HALF


def _is_float(node: Node) -> bool:
    value: Any = node.meta.get("val")
    values = value if isinstance(value, (tuple, list)) else (value,)
    return any(isinstance(each, torch.Tensor) and each.dtype is FLOAT for each in values)


def _stored(module: GraphModule, source: Node) -> Node:
    """A constant in float16, beside the one that the captured program shares."""
    name = str(source.target)
    tensor = operator.attrgetter(name)(module).detach()
    half = tensor.to(HALF)
    if half.isinf().sum() != tensor.isinf().sum():
        largest = tensor[tensor.isfinite()].abs().max()
        raise CaptureError(
            f"constant '{name}' holds {largest:.3g}, and float16 ends at 65504; mask with float('-inf'), and scale anything else down"
        )
    stored = f"{name.replace('.', '_')}_half"
    module.register_buffer(stored, half)
    return module.graph.get_attr(stored)
