"""Pruning in one call, as the stages of a release do it in two."""

from collections.abc import Mapping, Sequence

from instantstyle.compression.pruning.prune import Pruned, prune_graph, score_graph
from instantstyle.model.graph import Arrays, Graph


def ignore(done: int, total: int) -> None:
    pass


def score_and_prune(
    graph: Graph, inputs: Sequence[Arrays], channels: Mapping[str, float], heads: Mapping[str, float], multiple: int
) -> tuple[Graph, tuple[Pruned, ...]]:
    """Scores on all inputs, prunes with the first."""
    return prune_graph(graph, inputs[0], scores=score_graph(graph, inputs, ignore), channels=channels, heads=heads, multiple=multiple)
