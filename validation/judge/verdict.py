"""Which limits an artifact missed."""

from ...recipe.limits import Limits
from ..results.bundle import Failure
from ..results.measurements import Measurements
from .checks import check


def judge(measurements: Measurements, limits: Limits) -> tuple[Failure, ...]:
    """All that the artifact failed; empty if it passed."""
    return tuple(
        Failure(result.limit, result.wanted, result.measured, result.sentence, result.undecided)
        for result in check(measurements, limits)
        if not result.passed
    )
