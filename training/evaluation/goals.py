"""What a finished checkpoint should reach: the limits and aims of the figures."""

import math
from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Goal:
    """The range that a figure must be in, and that in which it should be."""

    limit: Range
    aim: Range

    def met(self, value: float) -> bool:
        """Whether ``value`` keeps the limit."""
        return self.limit[0] <= value <= self.limit[1]

    @property
    def said_limit(self) -> str:
        """The limit as it is printed."""
        return _said(self.limit)

    @property
    def said_aim(self) -> str:
        """The aim as it is printed."""
        return _said(self.aim)


def at_most(limit: float, aim: float) -> Goal:
    """The smaller the better."""
    return Goal((-math.inf, limit), (-math.inf, aim))


def at_least(limit: float, aim: float) -> Goal:
    """The larger the better."""
    return Goal((limit, math.inf), (aim, math.inf))


def _said(wanted: Range) -> str:
    low, high = wanted
    return f"{high:g}" if low == -math.inf else f"{low:g}" if high == math.inf else f"{low:g} to {high:g}"


LUMA = Goal((0.85, 1.15), (0.93, 1.07))
CHROMA = Goal((0.8, 1.2), (0.9, 1.1))
GOALS = {
    "teacher_l1": at_most(0.08, 0.06),
    "style_share": at_most(0.215, 0.19),
    "diversity": at_least(0.95, 1.0),
    "identity_ssim": at_least(0.95, 0.98),
    "monotonic_share": at_least(1.0, 1.0),
    "luma_energy": LUMA,
    "chroma_energy": CHROMA,
    "grid_peak": at_most(3.0, 2.0),
    "frame": at_most(1.3, 1.1),
    "likeness_mean": at_least(0.98, 0.99),
    "likeness_worst": at_least(0.95, 0.97),
}
