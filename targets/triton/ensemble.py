"""How graphs are one model: what one gives goes to those that take a tensor of that name."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...capture.program import GraphProgram
from ...model.graph import Size, TensorSpec


@dataclass(frozen=True)
class Wiring:
    """What the whole takes and gives.

    Attributes:
        inputs: that no graph gives.
        outputs: that no graph takes.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def wire(graphs: Sequence[GraphProgram], size: Size) -> Wiring | str:
    """The graphs of a model, in the order in which they are needed, as one; or why they are none, as it stands in a sentence."""
    given: dict[str, TensorSpec] = {}
    made: dict[str, TensorSpec] = {}
    taken: set[str] = set()
    for graph in graphs:
        for spec in graph.inputs:
            known = made.get(spec.name) or given.setdefault(spec.name, spec)
            if known.shape(size) != spec.shape(size):
                return f"'{spec.name}' has other shapes in different graphs"
            taken.add(spec.name)
        for spec in graph.outputs:
            if spec.name in made or spec.name in given:
                return f"'{spec.name}' is the name of several tensors"
            made[spec.name] = spec
    for graph in graphs[:-1]:
        if not any(spec.name in taken for spec in graph.outputs):
            return f"no graph takes what '{graph.name}' gives by its name"
    return Wiring(tuple(given.values()), tuple(spec for name, spec in made.items() if name not in taken))
