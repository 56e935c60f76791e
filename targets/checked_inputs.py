"""What every runner refuses before its runtime sees it."""

import numpy as np

from ..model.graph import Arrays, Size
from .base import GraphArtifact


def check_inputs(graph: GraphArtifact, size: Size, inputs: Arrays) -> None:
    """Raises ValueError unless ``inputs`` are float32 arrays with the names and shapes of the graph's specs."""
    wanted = {spec.name: spec.shape(size) for spec in graph.inputs}
    given = {name: array.shape for name, array in inputs.items()}
    if given != wanted or any(array.dtype != np.float32 for array in inputs.values()):
        types = ", ".join(sorted({str(array.dtype) for array in inputs.values()}))
        raise ValueError(f"graph '{graph.name}' wants float32 arrays {wanted}, got {types} {given}")
