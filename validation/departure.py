"""How far an artifact departs from the float network that it was made of: what conversion and quantisation cost, and not pruning.

The limits of the picture compare with the reference, which is the network before pruning. On hard inputs even a faithful pruned network
is far from that; from its own float self nothing honest is, whatever the input. So hard inputs, and errors that a mean SSIM does not see
(a stain, a frame, a tint), are judged here.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..model.graph import TensorKind, TensorSpec
from ..model.pixels import LEVELS, reordered, visible
from .comparison import SHARE, SIMILARITY, Check, Quantity, Unit, at_least, at_most
from .local_errors import colour_difference, worst_block
from .ssim import similarity

if TYPE_CHECKING:
    from .limits import Limits
    from .measurements import Measurements, UnitMeasurements

COLOUR = Unit(2, " CIEDE2000")
COLUMNS = ("Artifact", "Measure", "worst", "limit", "sample")


@dataclass(frozen=True)
class Departure:
    """One end-to-end picture of an artifact beside that of its own float network. All NaN if either has NaN or Inf.

    Attributes:
        sample: name of the sample.
        ssim: structural similarity, in [-1, 1].
        tile_ssim: of the worst tile of 64x64 pixels.
        block: the largest mean difference in a block of 8x8 pixels, as a share of the range, 0 to 1.
        colour: mean CIEDE2000, at least 0.
    """

    sample: str
    ssim: float
    tile_ssim: float
    block: float
    colour: float

    @classmethod
    def of(cls, sample: str, spec: TensorSpec, own: np.ndarray, output: np.ndarray) -> "Departure":
        """Of two images (1, C, H, W) in the range of ``spec``."""
        if not (np.isfinite(own).all() and np.isfinite(output).all()):
            return cls(sample, *[math.nan] * 4)
        wanted, found = (visible(spec, image) for image in (own, output))
        structure = similarity(wanted[0], found[0], 0, LEVELS)
        colour = colour_difference(reordered(spec, wanted)[0], reordered(spec, found)[0], 0, LEVELS)
        return cls(sample, structure.mean, structure.worst_tile, worst_block(wanted[0], found[0], 0, LEVELS), colour)


@dataclass(frozen=True)
class Departures:
    """Of all samples; empty where the network's output is no image.

    Attributes:
        pictures: of the validation samples, and of one of them with every style and strength.
        made: of patterns and of badly exposed photos, which even an honest quantisation may turn far.
    """

    pictures: tuple[Departure, ...] = ()
    made: tuple[Departure, ...] = ()

    def of(self, made: bool) -> tuple[Departure, ...]:
        """Either."""
        return self.made if made else self.pictures


def has_departures(spec: TensorSpec) -> bool:
    """Whether an output is a picture that can be compared so."""
    return spec.kind is TensorKind.IMAGE


def departure_checks(found: "Measurements | UnitMeasurements", name: str, limits: "Limits", suffix: str = "") -> Iterator[Check]:
    """One check for each limit that is set; nothing where no output is an image.

    Args:
        name: of the artifact, and of the compute unit if it is another.
        suffix: behind the names of the limits.
    """
    departures, scores = found.departures, found.end_to_end.scores
    if departures == Departures() and scores and all(score.ssim is None for score in scores):
        return
    for measure in MEASURES:
        compare, quantity = at_least if measure.more_is_better else at_most, measure.quantity(departures.of(measure.made))
        yield from compare(f"{measure.limit}{suffix}", name, quantity, getattr(limits, measure.limit))


@dataclass(frozen=True)
class Measure:
    """One number of a departure and the limit that it is held to."""

    limit: str
    what: str
    unit: Unit
    value: Callable[[Departure], float]
    more_is_better: bool = False
    made: bool = False

    def worst(self, rows: Sequence[Departure]) -> Departure | None:
        """NaN is the worst; None of no rows."""
        sign = 1 if self.more_is_better else -1
        return min(rows, key=lambda row: -math.inf if math.isnan(self.value(row)) else sign * self.value(row), default=None)

    def quantity(self, rows: Sequence[Departure]) -> Quantity:
        """The worst of ``rows``, as it is judged."""
        worst = self.worst(rows)
        if worst is None:
            return Quantity(f"{self.what} to its own float network", None, self.unit)
        kind = "hard sample" if self.made else "sample"
        return Quantity(f"{self.what} to its own float network in {kind} '{worst.sample}'", self.value(worst), self.unit)


MEASURES = (
    Measure("min_ssim_hard", "SSIM", SIMILARITY, lambda row: row.ssim, more_is_better=True, made=True),
    Measure("max_colour_hard", "mean colour difference", COLOUR, lambda row: row.colour, made=True),
    Measure("min_ssim_tile", "SSIM of a 64x64 tile", SIMILARITY, lambda row: row.tile_ssim, more_is_better=True),
    Measure("max_block", "mean difference of an 8x8 block", SHARE, lambda row: row.block),
    Measure("max_colour", "mean colour difference", COLOUR, lambda row: row.colour),
)


def departure_rows(measurements: "Measurements", limits: "Limits") -> Iterator[tuple[str, ...]]:
    """Cells of COLUMNS: the worst of each measure."""
    for measure in MEASURES:
        worst, limit = measure.worst(measurements.departures.of(measure.made)), getattr(limits, measure.limit)
        if worst is not None:
            wanted = "-" if limit is None else measure.unit.text(limit)
            yield (
                measurements.artifact,
                f"{measure.what}{', hard' * measure.made}",
                measure.unit.text(measure.value(worst)),
                wanted,
                worst.sample,
            )
