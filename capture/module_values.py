"""What each call of each module returns, beside the value that a captured graph has for it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from .lockstep import difference, largest

Call = tuple[str, int]  # module path, how often it was called before


@torch.no_grad()
def first_module_apart(module: nn.Module, captured: GraphModule, inputs: tuple[Tensor, ...], relative: float) -> str | None:
    """Path of the first module to finish whose output is not what the graph has for it; None if there is none.

    Args:
        captured: as ``torch.export`` left it, so that its nodes know the calls of modules they come from.
        relative: share of an output's largest magnitude that it may differ by.
    """
    values = _graph_values(captured, inputs)
    for (path, count), output in _module_outputs(module, inputs):
        value = values.get((path, count))
        if value is not None and value.shape == output.shape and not difference(value, output) <= relative * largest(output):
            return path
    return None


def _module_outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[tuple[Call, Tensor]]:
    """Every call of a submodule that returns a tensor, in the order in which they finish."""
    finished: list[tuple[Call, Tensor]] = []
    counts: dict[str, int] = {}

    def recorder(path: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_: nn.Module, __: object, output: object) -> None:
            counts[path] = counts.get(path, -1) + 1
            if isinstance(output, Tensor):
                # A copy: what follows may change it in place.
                finished.append(((path, counts[path]), output.clone()))

        return hook

    hooks = [each.register_forward_hook(recorder(path)) for path, each in module.named_modules() if path]
    try:
        module(*(value.clone() for value in inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return finished


def _graph_values(captured: GraphModule, inputs: tuple[Tensor, ...]) -> dict[Call, Tensor]:
    """The last value that the nodes of each call compute."""
    last: dict[Call, Node] = {}
    for node in captured.graph.nodes:
        for key, (path, _) in (node.meta.get("nn_module_stack") or {}).items():
            last[path, int(key.rpartition("@")[2]) if "@" in key else 0] = node
    wanted = set(last.values())
    values: dict[Node, Tensor] = {}

    class Recorder(Interpreter):
        def run_node(self, n: Node) -> object:
            value = super().run_node(n)
            if n in wanted and isinstance(value, Tensor):
                values[n] = value.clone()
            return value

    Recorder(captured).run(*(value.clone() for value in inputs), enable_io_processing=False)
    return {call: values[node] for call, node in last.items() if node in values}
