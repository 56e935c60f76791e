"""Roundings of a captured int8 program as Core AI's own operators: one grid, one pair of operators, the same numbers.

Core AI (``coreai-torch`` 0.4.3) has no form of ``quantized_decomposed``. Its ``coreai::quantize`` divides and rounds half to even as the
program does, and cuts at -128 where the program cuts at -127.
"""

from typing import Any

import torch
from torch.fx import GraphModule, Node

QUANTIZE, DEQUANTIZE, WEIGHT = "quantize_per_tensor", "dequantize_per_tensor", "dequantize_per_channel"
# Dequantises without offsets along an axis.
NO_OFFSETS = (None, None)


def own_operators(module: GraphModule) -> None:
    """Changes a captured int8 program in place. Requires: zero points are 0."""
    # By name: the operators are there only where coreai_torch was imported.
    coreai = torch.ops.coreai
    for node in list(module.graph.nodes):
        kind = _kind(node)
        if not kind:
            continue
        with module.graph.inserting_before(node):
            if kind == WEIGHT:
                integers, scales, _, axis = node.args[:4]
                made = module.graph.call_function(coreai.dequantize.default, (integers, scales, *NO_OFFSETS, axis))
            else:
                value, scale, dtype = node.args[0], _scale(module, node.args[1]), node.args[5]
                rounds = kind == QUANTIZE
                target = coreai.quantize.default if rounds else coreai.dequantize.default
                made = module.graph.call_function(target, (value, scale, dtype) if rounds else (value, scale))
        made.meta = dict(node.meta)
        node.replace_all_uses_with(made)
        module.graph.erase_node(node)
    module.recompile()


def _kind(node: Node) -> str:
    """What of the three a node is; empty if it is none."""
    name = str(node.target).removeprefix("quantized_decomposed.").removesuffix(".default")
    return name if node.op == "call_function" and name in (QUANTIZE, DEQUANTIZE, WEIGHT) else ""


def _scale(module: GraphModule, scale: Any) -> Node:
    """A number as the scalar tensor that Core AI's operators want."""
    name = f"scale_{float(scale).hex().translate(str.maketrans('.+-', '___'))}"
    if not hasattr(module, name):
        module.register_buffer(name, torch.tensor(scale, dtype=torch.float32))
    return module.graph.get_attr(name)
