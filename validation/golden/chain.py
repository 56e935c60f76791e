"""The graphs of an artifact one after the other: what one gives is what a later one takes, by name."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...model.graph import Graph, Run, TensorSpec
from ...targets.base import GraphArtifact

Graphs = Sequence[Graph] | Sequence[GraphArtifact]


def asked(graphs: Graphs) -> Iterator[TensorSpec]:
    """Inputs that no earlier graph gives, each once."""
    given: set[str] = set()
    for graph in graphs:
        yield from (spec for spec in graph.inputs if spec.name not in given)
        given |= {spec.name for spec in (*graph.inputs, *graph.outputs)}


def outputs(graphs: Graphs) -> dict[str, TensorSpec]:
    """All that the graphs give, by name."""
    return {spec.name: spec for graph in graphs for spec in graph.outputs}


def run_chain(graphs: Graphs, runs: Mapping[str, Run], inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Everything that the graphs gave and were given, by name."""
    known = dict(inputs)
    for graph in graphs:
        known |= runs[graph.name]({spec.name: known[spec.name] for spec in graph.inputs})
    return known
