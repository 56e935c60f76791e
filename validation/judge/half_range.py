"""How much of float16's range an artifact needs: the largest magnitude of any of its tensors as a share of 65504."""

from collections.abc import Iterator
from dataclasses import replace

from ...recipe.precision import Precision
from ..results.half_range import place
from ..results.measurements import Measurements
from .quantity import Check, Quantity, Unit, at_most

LIMIT, SHARE = "max_half_share", Unit(4)


def half_checks(measurements: Measurements, limit: float | None) -> Iterator[Check]:
    """Whether the range suffices; nothing for an artifact that computes nothing in float16."""
    found, name = measurements.half_range, measurements.artifact
    if found is not None:
        where = place(found.graph, found.module_path)
        peak = f"largest value of '{where}' ({found.operator}), {found.largest:.4g} in sample '{found.sample}'"
        for check in at_most(LIMIT, name, Quantity(f"{peak}, as a share of float16's 65504:", found.share, SHARE), limit):
            yield check if check.passed else replace(check, sentence=check.sentence + _advice(found.share))
    elif measurements.precision is Precision.FLOAT16:
        yield from at_most(LIMIT, name, Quantity("largest value as a share of float16's 65504", None, SHARE), limit)


def _advice(share: float) -> str:
    beyond = "; it becomes Inf, and what reads it NaN" if share > 1 else ""
    return f"{beyond}; scale the weights before it down, normalise earlier, or ship another precision"
