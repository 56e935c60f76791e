"""What a bundle was made of and with."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...capture.program import FloatIsland
from ...compression.pruning.prune import Pruned
from ...compression.quantization.plan.plan import Decision, Plan, Point
from .evidence import Sha256
from .numbers import Count, Finite, Share


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


@dataclass(frozen=True)
class PlanDecision:
    """One thing that the plan of quantisation tried on calibration samples.

    Attributes:
        where: graph, or graph and module path.
        choice: what was tried.
        taken: whether the plan has it.
        ssim_mean: what it adds to the mean SSIM of the pictures.
        ssim_worst: what it adds to that of the worst.
        time_share: what it adds to the time of the hot graph, as a share of its time in float; estimated.
    """

    where: str
    choice: str
    taken: bool
    ssim_mean: Finite
    ssim_worst: Finite
    time_share: Finite

    @classmethod
    def of(cls, decision: Decision) -> "PlanDecision":
        """Of a plan's decision."""
        return cls(**vars(decision))


@dataclass(frozen=True)
class PlanPoint:
    """A plan on the way from all that can be int8 to what limits ask for.

    Attributes:
        kept_float: what it leaves in float: graph and module path, perhaps with an operator.
        ssim_mean: mean SSIM of calibration pictures to the reference's.
        ssim_worst: that of the worst of them.
        time_share: time of the hot graph as a share of its time in float; estimated.
        weight_bytes: of all graphs' weights; estimated.
        taken: whether it is the plan.
    """

    kept_float: tuple[str, ...]
    ssim_mean: Finite
    ssim_worst: Finite
    time_share: Finite
    weight_bytes: Count
    taken: bool

    @classmethod
    def of(cls, point: Point) -> "PlanPoint":
        """Of a plan's point."""
        return cls(**vars(point))


def planned(plan: Plan) -> tuple[tuple[PlanDecision, ...], tuple[PlanPoint, ...]]:
    """What a bundle says of a plan."""
    return tuple(map(PlanDecision.of, plan.decisions)), tuple(map(PlanPoint.of, plan.points))


def libraries(versions: Mapping[str, str]) -> tuple[Library, ...]:
    """By name."""
    return tuple(Library(name, version) for name, version in sorted(versions.items()))
