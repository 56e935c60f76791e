"""A captured float program that computes in float16, with float32 inputs and outputs.

Statistics (``FLOAT32_OPERATORS``: means, powers, roots, quotients) read and give float32, where a square may overflow; everything else
reads float16. A cast stands wherever the type changes.
"""

import operator
from typing import Any

import torch
from torch.fx import GraphModule, Node

from ...capture.program import operator_name
from ..onnx.half import FLOAT32_OPERATORS

HALF, FLOAT = torch.float16, torch.float32
CAST = torch.ops.aten._to_copy.default


def compute_half(module: GraphModule) -> None:
    """Changes a captured float program in place; what it knows of its values' types is no longer true."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.dtype is FLOAT:
            # In place of the tensor, which the captured program shares.
            owner, _, last = name.rpartition(".")
            delattr(module.get_submodule(owner), last)
            module.get_submodule(owner).register_buffer(last, tensor.detach().to(HALF))
    made: dict[tuple[Node, torch.dtype], Node] = {}
    for node in list(module.graph.nodes):
        if node.op == "output":
            _read(module, node, FLOAT, made)
        elif node.op == "call_function" and node.target is not operator.getitem:
            _read(module, node, FLOAT if operator_name(node) in FLOAT32_OPERATORS else HALF, made)
    module.recompile()


def _read(module: GraphModule, node: Node, dtype: torch.dtype, made: dict[tuple[Node, torch.dtype], Node]) -> None:
    """Lets a node read floats of one type."""
    for source in node.all_input_nodes:
        if not _is_float(source):
            continue
        key = source, dtype
        if key not in made:
            with module.graph.inserting_after(source):
                made[key] = module.graph.call_function(CAST, (source,), {"dtype": dtype})
            made[key].meta = {name: value for name, value in source.meta.items() if name != "val"}
        node.replace_input_with(source, made[key])


def _is_float(node: Node) -> bool:
    value: Any = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype is FLOAT
