"""Two graphs side by side, node by node: which is the first that computes something else."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.utils._pytree import tree_leaves, tree_map


@dataclass(frozen=True)
class Difference:
    """A node whose value is not its twin's.

    Attributes:
        found: largest difference; NaN where only one of them is a number, infinite where the shapes differ.
        allowed: largest difference that would have passed.
    """

    node: Node
    found: float
    allowed: float


@dataclass(frozen=True)
class Twin:
    """A node of the reference graph that has the same value.

    Attributes:
        level: difference that is allowed; None for ``relative`` of the value's largest magnitude.
    """

    node: Node
    level: float | None = None


def difference(found: Tensor, wanted: Tensor) -> float:
    """Largest absolute difference; two NaN at one place are equal."""
    if found.shape != wanted.shape:
        return math.inf
    if found.numel() == 0 or torch.equal(found, wanted):
        return 0.0
    found, wanted = found.double(), wanted.double()
    same = (found == wanted) | (found.isnan() & wanted.isnan())
    return float((found - wanted).abs().masked_fill(same, 0.0).max())


def largest(value: Tensor) -> float:
    """Largest finite magnitude."""
    return float(value.double().nan_to_num(0.0, 0.0, 0.0).abs().max()) if value.numel() else 0.0


@torch.no_grad()
def first_difference(
    graph: GraphModule, reference: GraphModule, *, twins: Mapping[Node, Twin], inputs: tuple[Tensor, ...], relative: float, together: bool
) -> Difference | None:
    """The first node of ``graph``, in order of execution, that differs from its twin in ``reference``; None if none does.

    Args:
        together: gives every node its twin's value after the comparison, so that each is judged on equal arguments and a rounding does
            not grow on its way.
    """
    walk, other = _Walk(graph, inputs), _Walk(reference, inputs)
    wanted = {twin.node for twin in twins.values()}
    values: dict[Node, Any] = {}
    for node in graph.graph.nodes:
        walk.run(node)
        twin = twins.get(node)
        if twin is None:
            continue
        while twin.node not in values:
            passed = other.advance()
            if passed in wanted:
                # A copy: the reference may change it in place later on.
                values[passed] = _copied(other.value(passed))
        expected = values[twin.node]
        found_tensors, expected_tensors = _tensors(walk.value(node)), _tensors(expected)
        if len(found_tensors) != len(expected_tensors):
            return Difference(node, math.inf, 0.0)
        for found, value in zip(found_tensors, expected_tensors, strict=True):
            allowed = relative * largest(value) if twin.level is None else twin.level
            distance = difference(found, value)
            if not distance <= allowed:
                return Difference(node, distance, allowed)
        if together:
            walk.put(node, expected)
    return None


class _Walk:
    """Runs a graph one node at a time and keeps a value as long as it is read."""

    def __init__(self, module: GraphModule, inputs: tuple[Tensor, ...]) -> None:
        self._interpreter = Interpreter(module)
        self._interpreter.args_iter = iter([value.clone() for value in inputs])
        self._nodes = iter(module.graph.nodes)

    def run(self, node: Node) -> None:
        env = self._interpreter.env
        env[node] = self._interpreter.run_node(node)
        for dead in self._interpreter.user_to_last_uses.get(node, ()):
            env.pop(dead, None)

    def advance(self) -> Node:
        node = next(self._nodes)
        self.run(node)
        return node

    def value(self, node: Node) -> Any:
        return self._interpreter.env[node]

    def put(self, node: Node, value: Any) -> None:
        self._interpreter.env[node] = value


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _copied(value: Any) -> Any:
    return tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, value)
