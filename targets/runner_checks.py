"""What runners check alike as they open a graph: that it is as quantised as it should be."""

from collections.abc import Iterable
from pathlib import Path

from ..system.errors import ExecutionError
from .base import Execution, GraphArtifact
from .census import Census


def check_int8(graph: GraphArtifact, path: Path, *, convolutions: int, int8_convolutions: int, floats: Iterable[str], how: str) -> None:
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


def execution_by(census: Census, graph: GraphArtifact, path: Path, provider: str, evaluator: str = "") -> Execution:
    """What executes where the runtime does not tell: what the file's own graph consists of.

    Args:
        provider, evaluator: as of ``Execution``.

    Raises:
        ExecutionError: it has fewer int8 convolutions than it must have.
    """
    found, int8 = census.convolutions, census.int8_convolutions
    check_int8(graph, path, convolutions=found, int8_convolutions=int8, floats=census.floats, how="have int8 weights and inputs")
    return Execution(provider, found, int8, census.kinds, evaluator)
