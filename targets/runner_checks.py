"""What runners check alike: the inputs that they are given, and that a graph is as quantised as it should be."""

from pathlib import Path

import numpy as np

from ..model.errors import ExecutionError
from ..model.graph import Arrays, Size
from .base import GraphArtifact


def check_inputs(graph: GraphArtifact, size: Size, inputs: Arrays) -> None:
    """Raises ValueError unless ``inputs`` are float32 arrays with the names and shapes of the graph's specs."""
    wanted = {spec.name: spec.shape(size) for spec in graph.inputs}
    given = {name: array.shape for name, array in inputs.items()}
    if given != wanted or any(array.dtype != np.float32 for array in inputs.values()):
        types = ", ".join(sorted({str(array.dtype) for array in inputs.values()}))
        raise ValueError(f"graph '{graph.name}' wants float32 arrays {wanted}, got {types} {given}")


def check_int8(graph: GraphArtifact, path: Path, convolutions: int, int8_convolutions: int) -> None:
    """Raises ExecutionError if a graph's file has fewer int8 convolutions than it must have.

    Args:
        convolutions: that the file has.
        int8_convolutions: those of them with int8 weights and int8 inputs.
    """
    if int8_convolutions < graph.int8_convolutions:
        raise ExecutionError(
            f"graph '{graph.name}' ({path}): {int8_convolutions} convolutions have int8 weights and inputs, "
            f"{graph.int8_convolutions} should, of {convolutions}; build the artifact again"
        )
