"""What every rewrite needs: the tensors and modules behind nodes, and nodes that take the place of others."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

# The raw node whose value a node computes; `custom` is the one entry of a node's meta that survives another capture.
ORIGIN = "instantstyle_origin"

aten = torch.ops.aten
TRANSPOSED = {aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input}
CONVOLUTIONS = TRANSPOSED | {
    aten.conv1d.default,
    aten.conv1d.padding,
    aten.conv2d.default,
    aten.conv2d.padding,
    aten.conv3d.default,
    aten.conv3d.padding,
}
LINEAR = aten.linear.default


def copied(module: GraphModule) -> GraphModule:
    """A copy of the graph around the same tensors."""
    return copy.deepcopy(module, memo={id(value): value for value in (*module.parameters(), *module.buffers())})


def set_origin(node: Node, origin: str | None) -> None:
    """Says whose value ``node`` computes; None for a value that the raw graph does not have."""
    custom = {key: value for key, value in (node.meta.get("custom") or {}).items() if key != ORIGIN}
    node.meta["custom"] = custom if origin is None else {**custom, ORIGIN: origin}


def origin(node: Node) -> str | None:
    """The name of the raw node whose value ``node`` computes."""
    return (node.meta.get("custom") or {}).get(ORIGIN)


def forget_origins(graph: torch.fx.Graph) -> None:
    """Takes out what only the comparison of graphs needs, before a graph is stored."""
    for node in graph.nodes:
        node.meta.pop("custom", None)


def argument(node: Node, name: str) -> Any:
    """An argument of an ATen operator by its name in the schema, its default if it is left out."""
    for position, declared in enumerate(node.target._schema.arguments):  # type: ignore[union-attr]
        if declared.name == name:
            return node.args[position] if position < len(node.args) else node.kwargs.get(name, declared.default_value)
    raise KeyError(name)


def mutates(node: Node) -> bool:
    """Whether an operator changes one of its arguments."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def is_random(node: Node) -> bool:
    """Whether an operator draws random numbers."""
    return isinstance(node.target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags


def tensor_of(module: GraphModule, node: Node) -> Tensor:
    """The parameter, buffer or constant that a ``get_attr`` node reads."""
    value: Any = module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value


def shape_of(node: Node) -> tuple[int, ...]:
    """The shape of a node's value."""
    return tuple(node.meta["val"].shape)


def set_parameter(module: GraphModule, name: str, value: Tensor, trainable: bool = True) -> None:
    """Registers a parameter under a dotted name, in place of what has that name; the tensor that was there is not touched."""
    owner: nn.Module = module
    *path, last = name.split(".")
    for part in path:
        if not isinstance(getattr(owner, part, None), nn.Module):
            setattr(owner, part, nn.Module())
        owner = getattr(owner, part)
    if hasattr(owner, last):
        delattr(owner, last)
    owner.register_parameter(last, nn.Parameter(value.detach().clone(), requires_grad=trainable))


def new_name(module: GraphModule, name: str) -> str:
    """``name``, with a number behind it if it is taken."""

    def taken(candidate: str) -> bool:
        value: Any = module
        for part in candidate.split("."):
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True

    count, candidate = 1, name
    while taken(candidate):
        count += 1
        candidate = f"{name}_{count}"
    return candidate


def new_parameter(module: GraphModule, before: Node, name: str, value: Tensor, trainable: bool = True) -> Node:
    """A ``get_attr`` node of a new parameter of about that name, in front of ``before``."""
    chosen = new_name(module, name)
    set_parameter(module, chosen, value, trainable)
    with module.graph.inserting_before(before):
        node = module.graph.get_attr(chosen)
    stand_in = next(each.meta["val"] for each in module.graph.nodes if each.op == "placeholder")
    node.meta["val"] = stand_in.fake_mode.from_tensor(value)
    return node


def call_before(node: Node, target: Any, args: tuple[Any, ...]) -> Node:
    """A call in front of ``node`` that belongs to the same module and has the same shape, but no origin."""
    with node.graph.inserting_before(node):
        made = node.graph.call_function(target, args)
    made.meta = dict(node.meta)
    set_origin(made, None)
    return made


def replace(node: Node, by: Node) -> None:
    """Lets all readers of ``node`` read ``by``, and takes it out."""
    node.replace_all_uses_with(by)
    node.graph.erase_node(node)


def calls(module: GraphModule, targets: Iterable[Any]) -> list[Node]:
    """The nodes that call one of these operators, in order."""
    wanted = set(targets)
    return [node for node in module.graph.nodes if node.op == "call_function" and node.target in wanted]
