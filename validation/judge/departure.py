"""How far an artifact departs from the float network that it was made of: what conversion and quantisation cost, and not pruning.

The limits of the picture compare with the reference, which is the network before pruning. On hard inputs even a faithful pruned network
is far from that; from its own float self nothing honest is, whatever the input. So hard inputs, and errors that a mean SSIM does not see
(a stain, a frame, a tint), are judged here.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ...recipe.limits import Limits
from ..results.departure import Departure, Departures
from ..results.measurements import Measurements, UnitMeasurements
from .quantity import SHARE, SIMILARITY, Check, Quantity, Unit, at_least, at_most

COLOUR = Unit(2, " CIEDE2000")


def departure_checks(found: Measurements | UnitMeasurements, name: str, limits: Limits, suffix: str = "") -> Iterator[Check]:
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
        if measure.optional and quantity.value is None and measure.limit not in limits.model_fields_set:
            continue
        yield from compare(f"{measure.limit}{suffix}", name, quantity, getattr(limits, measure.limit))


@dataclass(frozen=True)
class Measure:
    """One number of a departure and the limit that it is held to.

    Attributes:
        optional: the default limit holds only where it was measured; one that somebody set always does.
    """

    limit: str
    what: str
    unit: Unit
    value: Callable[[Departure], float | None]
    more_is_better: bool = False
    made: bool = False
    optional: bool = False

    def worst(self, rows: Sequence[Departure]) -> tuple[Departure, float] | None:
        """The worst row and its value, NaN before all; None if no row has one."""
        sign = 1 if self.more_is_better else -1
        valued = [(row, value) for row in rows if (value := self.value(row)) is not None]
        return min(valued, key=lambda each: -math.inf if math.isnan(each[1]) else sign * each[1], default=None)

    def quantity(self, rows: Sequence[Departure]) -> Quantity:
        """The worst of ``rows``, as it is judged."""
        worst = self.worst(rows)
        if worst is None:
            return Quantity(f"{self.what} to its own float network", None, self.unit)
        kind = "hard sample" if self.made else "sample"
        row, value = worst
        return Quantity(f"{self.what} to its own float network in {kind} '{row.sample}'", value, self.unit)


MEASURES = (
    Measure("min_ssim_hard", "SSIM", SIMILARITY, lambda row: row.ssim, more_is_better=True, made=True),
    Measure("max_colour_hard", "mean colour difference", COLOUR, lambda row: row.colour, made=True),
    Measure("min_ssim_tile", "SSIM of a 64x64 tile", SIMILARITY, lambda row: row.tile_ssim, more_is_better=True),
    Measure("max_block", "mean difference of an 8x8 block", SHARE, lambda row: row.block),
    Measure("max_colour", "mean colour difference", COLOUR, lambda row: row.colour),
    Measure("max_perceptual", "perceptual distance", SHARE, lambda row: row.perceptual, optional=True),
)
