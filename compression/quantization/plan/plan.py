"""A plan of quantisation: what was decided, and what it gained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter
from torch import Tensor

from ....calibration.tensor_range import TensorRange
from ....recipe.settings import QuantizeSettings
from ....system.disk import atomic_write
from ..graph_tensors import read_graph_tensors, write_graph_tensors

PLAN, FACTORS = "plan.json", "factors.safetensors"
OF_CHANNELS, LEARNT = "channels", "learnt"  # stand in the place of an observer's name


@dataclass(frozen=True)
class Decision:
    """One thing that was tried, on calibration samples that nothing was fitted on.

    Attributes:
        where: graph and module path or tensor; a graph alone for what was tried on all of it.
        choice: what was tried.
        taken: whether the plan has it.
        ssim_mean, ssim_worst: what it adds to the mean and to the worst SSIM of the pictures.
        time_share: what it adds to the time of the hot graph, estimated, as a share of that graph's time in float.
    """

    where: str
    choice: str
    taken: bool
    ssim_mean: float
    ssim_worst: float
    time_share: float = 0.0


@dataclass(frozen=True)
class Point:
    """One plan of several that none of the others beats in everything.

    Attributes:
        kept_float: layers that it leaves in float.
        ssim_mean, ssim_worst: of the pictures to the reference's.
        time_share: estimated time of the hot graph as a share of its time in float.
        weight_bytes: of all graphs' weights.
        taken: whether it is the plan.
    """

    kept_float: tuple[str, ...]
    ssim_mean: float
    ssim_worst: float
    time_share: float
    weight_bytes: int
    taken: bool


@dataclass(frozen=True)
class Plan:
    """What quantisation does beyond the rules of ``IslandQuantizer`` and the recipe.

    Attributes:
        keep_float: ``<graph>.<module path>`` of layers that stay in float.
        factors: of output channels, by graph and name of the weight (``scale_channels``).
        limits: half ranges that follow from the factors, by graph and tensor.
        learnt: half ranges that were learnt with the weights, by graph and tensor.
        observers: that choose the range of a tensor in the place of the recipe's, by graph and tensor.
        decisions, points: for the report.
    """

    keep_float: tuple[str, ...] = ()
    factors: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    learnt: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    observers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    points: tuple[Point, ...] = ()

    def applied(self, settings: QuantizeSettings) -> QuantizeSettings:
        """Settings that leave the plan's layers in float, too."""
        return settings.model_copy(update={"keep_float": (*settings.keep_float, *self.keep_float)})

    def fixed(self, entry: TensorRange) -> TensorRange:
        """A range as observed, or the one that follows from factors or was learnt."""
        limit = self.limits.get(entry.graph, {}).get(entry.tensor)
        if limit is not None:
            return TensorRange.of(entry.graph, entry.tensor, (-limit, limit), OF_CHANNELS)
        learnt = self.learnt.get(entry.graph, {}).get(entry.tensor)
        if learnt is None:
            return entry
        # What was never seen negative stays so.
        return TensorRange.of(entry.graph, entry.tensor, (-learnt if entry.minimum < 0 else 0.0, learnt), LEARNT)

    def save(self, folder: Path) -> None:
        """Writes the plan into a folder."""
        write_graph_tensors(self.factors, folder / FACTORS)
        content = _Written(self.keep_float, self.limits, self.learnt, self.observers, self.decisions, self.points)
        atomic_write(folder / PLAN, _WRITTEN.dump_json(content, indent=1))

    @classmethod
    def load(cls, folder: Path | None) -> Self:
        """What ``save`` wrote; an empty plan if there is none."""
        if folder is None or not (folder / PLAN).exists():
            return cls()
        written = _WRITTEN.validate_json((folder / PLAN).read_bytes())
        factors = read_graph_tensors(folder / FACTORS)
        return cls(written.keep_float, factors, written.limits, written.learnt, written.observers, written.decisions, written.points)


NO_PLAN = Plan()


@dataclass(frozen=True)
class _Written:
    """What of a plan is JSON."""

    keep_float: tuple[str, ...]
    limits: Mapping[str, Mapping[str, float]]
    learnt: Mapping[str, Mapping[str, float]]
    observers: Mapping[str, Mapping[str, str]]
    decisions: tuple[Decision, ...]
    points: tuple[Point, ...]


_WRITTEN = TypeAdapter(_Written)
