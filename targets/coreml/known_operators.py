"""Which operators coremltools has a translation of, and programs without those that it has none of."""

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node


def with_known_operators(program: ExportedProgram) -> ExportedProgram:
    """The same with every unknown operator in terms of others, where PyTorch itself has such a form (``celu``, ``addcmul``, ``gru``).

    Known operators stay as they are: the converter's own translations are better than sums and products. Where something unknown is
    left, all of it stays, so that messages name what the user wrote.
    """
    given, done = program, set[Any]()
    while unknown := {node.target for node in program.graph.nodes if not is_known(node)}:
        forms = {target: form for target, form in torch._decomp.decomposition_table.items() if target in unknown - done}
        if len(forms) < len(unknown):
            return given
        program = program.run_decompositions(forms)
        done |= unknown
    return program


def is_known(node: Node) -> bool:
    """Whether coremltools translates what a node calls, looked up under the name that it looks for itself."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY as registry

    return node.op != "call_function" or registry.get_func(overload(node)) is not None


def overload(node: Node) -> str:
    """``aten::conv_transpose2d.input``; coremltools registers some operators with their overload and some without."""
    target: Any = node.target
    return target.name() if hasattr(target, "name") else str(getattr(target, "__name__", target))
