"""What runners check alike: the inputs that they are given, and that a graph is as quantised as it should be."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..model.graph import Arrays, Size
from ..system.errors import ExecutionError
from .base import GraphArtifact


def check_inputs(graph: GraphArtifact, size: Size, inputs: Arrays) -> None:
    """Raises ValueError unless ``inputs`` are float32 arrays with the names and shapes of the graph's specs."""
    wanted = {spec.name: spec.shape(size) for spec in graph.inputs}
    given = {name: array.shape for name, array in inputs.items()}
    if given != wanted or any(array.dtype != np.float32 for array in inputs.values()):
        types = ", ".join(sorted({str(array.dtype) for array in inputs.values()}))
        raise ValueError(f"graph '{graph.name}' wants float32 arrays {wanted}, got {types} {given}")


def check_int8(graph: GraphArtifact, path: Path, convolutions: int, int8_convolutions: int, floats: Iterable[str], how: str) -> None:
    """Raises ExecutionError if a graph has fewer int8 convolutions than it must have; names the others.

    Args:
        convolutions: that there are.
        int8_convolutions: those of them that are int8.
        floats: names of the others' nodes.
        how: they are int8, as it stands in a sentence.
    """
    if int8_convolutions >= graph.int8_convolutions:
        return
    from .convolutions import advice

    named = [(name, graph.module_of(name)) for name in floats]
    listed = ", ".join(f"'{module}' (node '{name}')" if module else f"node '{name}'" for name, module in named) or "none that has a name"
    raise ExecutionError(
        f"graph '{graph.name}' ({path}): {int8_convolutions} convolutions {how}, {graph.int8_convolutions} should, of {convolutions}; "
        f"in float are {listed}; {advice(module for _, module in named)}"
    )
