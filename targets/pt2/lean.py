"""A captured program with nothing in it that it does not compute with."""

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule

# Of what a node knows: shapes and types, and the module that it comes from; not the history of its making, which has addresses in it.
KEPT = ("val", "nn_module_stack")


def lean(program: ExportedProgram) -> ExportedProgram:
    """The same program without the float weights that an int8 one has kept beside its integers, and without traces of its making."""
    module: Any = program.module(check_guards=False)
    drop_unused(module)
    found = export_again(module)
    for node in found.graph.nodes:
        node.meta = {key: value for key, value in node.meta.items() if key in KEPT}
    # An archive would carry the examples along, as large as its inputs.
    found.example_inputs = None
    return found


def export_again(module: GraphModule) -> ExportedProgram:
    """Captures a module that was captured before and then changed."""
    values: list[Any] = [node.meta["val"] for node in module.graph.nodes if node.op == "placeholder"]
    examples = tuple(torch.zeros(tuple(map(int, value.shape)), dtype=value.dtype) for value in values)
    with torch.no_grad():
        return torch.export.export(module, examples, strict=False)


def drop_unused(module: GraphModule) -> None:
    """Takes out the tensors that no node reads, and the calls whose results nobody reads."""
    for node in reversed(module.graph.nodes):
        if node.op in ("get_attr", "call_function") and not node.users:
            module.graph.erase_node(node)
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name, _ in [*module.named_parameters(), *module.named_buffers()]:
        if name not in read:
            owner, _, last = name.rpartition(".")
            delattr(module.get_submodule(owner), last)
    module.recompile()
