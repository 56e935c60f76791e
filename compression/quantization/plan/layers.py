"""Single layers and joins of tensors: what leaving one in float would take and what it would cost."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

from torch import nn
from torch.fx import Node

from ....capture.normalization.nodes import shape_of
from ....capture.program import module_path, operator_name
from ..operators import ADDITIONS, CONCATENATIONS, PRODUCTS, reads_integers
from ..quantize import PreparedGraph
from ..quantizer import ANNOTATION
from .cost import JOIN_NS, graph_ns, is_layer, layer_ns

JOINS = ADDITIONS | CONCATENATIONS | PRODUCTS


@dataclass(frozen=True)
class Candidate:
    """The int8 layers of one module, or its sums or concatenations.

    Attributes:
        graph: its graph's name.
        pattern: of ``quantize.keep_float`` within the graph.
        nodes: names of the nodes.
        weights: names of their weights; none of a join.
        fakes: fake quantisers that only they need; none if that is not known before the graph is prepared without them.
        time_share: what float adds to the hot graph's time, as a share of its time in float; 0 for other graphs.
    """

    graph: str
    pattern: str
    nodes: frozenset[str]
    weights: frozenset[str]
    fakes: tuple[nn.Module, ...]
    time_share: float

    @property
    def name(self) -> str:
        """With its graph."""
        return f"{self.graph}.{self.pattern}"


def candidates(graph: str, prepared: PreparedGraph, hot: bool) -> list[Candidate]:
    """All that is int8 and could be float, in the order of execution."""
    found: dict[str, list[Node]] = {}
    for node in prepared.module.graph.nodes:
        if is_layer(node) and reads_integers(node) and module_path(node):
            found.setdefault(module_path(node), []).append(node)
        elif node.target in JOINS and ANNOTATION in node.meta:
            found.setdefault(f"{module_path(node)}:{operator_name(node)}", []).append(node)
    whole = graph_ns(prepared.module)
    return [_candidate(graph, prepared, pattern, nodes, whole if hot else None) for pattern, nodes in found.items()]


def _candidate(graph: str, prepared: PreparedGraph, pattern: str, nodes: Sequence[Node], whole: float | None) -> Candidate:
    layers = [node for node in nodes if is_layer(node)]
    more = sum(layer_ns(node, int8=False) - layer_ns(node, int8=True) for node in layers)
    more += sum(prod(shape_of(node)) * JOIN_NS for node in nodes if node not in layers)
    weights = frozenset(str(node.args[1].all_input_nodes[0].target) for node in layers)  # type: ignore[union-attr]
    fakes = tuple(prepared.module.get_submodule(str(each.target)) for node in layers for each in _own(node))
    return Candidate(graph, pattern, frozenset(node.name for node in nodes), weights, fakes, more / whole if whole else 0.0)


def _own(layer: Node) -> Iterator[Node]:
    """Fake quantisers that are there for a layer alone: its weight's, its input's and its output's if nothing else in int8 reads them."""
    source, weight = layer.args[:2]
    yield weight  # type: ignore[misc]
    if len(source.users) == 1:  # type: ignore[union-attr]
        yield source  # type: ignore[misc]
    for grid in layer.users:
        annotations = [reader.meta.get(ANNOTATION) for reader in grid.users]
        if grid.op == "call_module" and all(each is None or layer not in each.input_qspec_map for each in annotations):
            yield grid


@contextmanager
def left_in_float(candidate: Candidate) -> Iterator[None]:
    """Without its fake quantisers."""
    for fake in candidate.fakes:
        fake.fake_quant_enabled.fill_(0)  # type: ignore[operator]
    try:
        yield
    finally:
        for fake in candidate.fakes:
            fake.fake_quant_enabled.fill_(1)  # type: ignore[operator]


def time_share(prepared: PreparedGraph, in_float: Sequence[Candidate]) -> float:
    """Estimated time of the hot graph, as a share of its time in float, with these of its parts in float and the rest in int8."""
    return graph_ns(prepared.module, int8=True) / graph_ns(prepared.module) + sum(candidate.time_share for candidate in in_float)


def weight_bytes(prepared: PreparedGraph, in_float: Sequence[Candidate]) -> int:
    """Of a graph's parameters: 1 for each of an int8 layer's weight, 2 for each that these layers have in half precision, 4 otherwise."""
    halves = frozenset(name for candidate in in_float for name in candidate.weights)
    sizes = {name: 2 if name in halves else 1 for name in prepared.weights}
    return sum(value.numel() * sizes.get(name, 4) for name, value in prepared.module.named_parameters())


def graph_is_float(graph: str, prepared: PreparedGraph, in_float: Sequence[Candidate]) -> bool:
    """Whether nothing of a graph is left in int8."""
    return set(prepared.weights) <= {weight for candidate in in_float if candidate.graph == graph for weight in candidate.weights}
