"""The table of how far artifacts depart from their own float networks."""

from collections.abc import Iterator

from ...recipe.limits import Limits
from ..judge.departure import MEASURES
from ..results.measurements import Measurements

COLUMNS = ("Artifact", "Measure", "worst", "limit", "sample")


def rows(measurements: Measurements, limits: Limits) -> Iterator[tuple[str, ...]]:
    """Cells of COLUMNS: the worst of each measure."""
    for measure in MEASURES:
        worst, limit = measure.worst(measurements.departures.of(measure.made)), getattr(limits, measure.limit)
        if worst is not None:
            row, value = worst
            wanted = "-" if limit is None else measure.unit.text(limit)
            yield (
                measurements.artifact,
                f"{measure.what}{', hard' * measure.made}",
                measure.unit.text(value),
                wanted,
                row.sample,
            )
