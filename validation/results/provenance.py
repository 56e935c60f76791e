"""What a bundle was made of and with."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...capture.program import FloatIsland
from ...compression.pruning.prune import Pruned
from .evidence import Sha256
from .numbers import Count, Share


@dataclass(frozen=True)
class ModelSource:
    """The model that was exported.

    Attributes:
        name: of the model.
        checkpoint_sha256: of the checkpoint's file; null for a model without one.
    """

    name: str
    checkpoint_sha256: Sha256 | None


@dataclass(frozen=True)
class RecipeSource:
    """The recipe that was followed.

    Attributes:
        name: of the recipe.
        sha256: of its file.
    """

    name: str
    sha256: Sha256


@dataclass(frozen=True)
class Library:
    """A library that the build ran with.

    Attributes:
        name: as in the package index.
        version: as installed.
    """

    name: str
    version: str


@dataclass(frozen=True)
class Island:
    """Part of a graph that stays in float in the int8 artifacts.

    Attributes:
        graph: name of the graph.
        module_path: where in the graph's module.
        operators: what is computed there.
        reason: why it stays in float.
    """

    graph: str
    module_path: str
    operators: tuple[str, ...]
    reason: str

    @classmethod
    def of(cls, graph: str, island: FloatIsland) -> "Island":
        """Of a captured graph's island."""
        return cls(graph, island.module_path, island.operators, island.reason)


@dataclass(frozen=True)
class PrunedGroup:
    """Channels that go together, or the heads of one module, and how many of them were removed.

    Attributes:
        name: graph and module path of the heads, or of the first layer that makes the channels.
        kind: ``heads`` or ``channels``.
        asked: share that the recipe wants removed.
        reached: share that was removed.
        width: number before.
        kept: number after.
        obstacle: why nothing was removed, or empty.
    """

    name: str
    kind: str
    asked: Share
    reached: Share
    width: Count
    kept: Count
    obstacle: str

    @classmethod
    def of(cls, row: Pruned) -> "PrunedGroup":
        """Of what pruning says."""
        return cls(row.name, row.kind, row.asked, row.reached, row.width, row.kept, row.obstacle)


def libraries(versions: Mapping[str, str]) -> tuple[Library, ...]:
    """By name."""
    return tuple(Library(name, version) for name, version in sorted(versions.items()))
