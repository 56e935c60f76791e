"""The range of one activation."""

import math
from dataclasses import dataclass
from typing import Self

from pydantic import ConfigDict

LEVELS = 127
SMALLEST_SCALE = 2.0**-126  # the smallest normal float32


def symmetric_scale(minimum: float, maximum: float) -> float:
    """max(|minimum|, |maximum|) / 127; 1 / 127 for a tensor that is always zero (or too small for a float32 scale)."""
    scale = max(abs(minimum), abs(maximum)) / LEVELS
    return scale if scale >= SMALLEST_SCALE else 1 / LEVELS


@dataclass(frozen=True)
class TensorRange:
    """The range of one activation. ``of`` makes one from an observer's range.

    Attributes:
        graph: name of the graph.
        tensor: module path and output, unique within the graph.
        minimum, maximum: the range to represent, minimum <= 0 <= maximum; minimum 0 means never negative.
        scale: ``symmetric_scale(minimum, maximum)``: a value is scale times an integer of -127..127.
        zero_point: always 0.
        observer: what chose the range.

    Raises:
        ValueError: a number is not finite or contradicts the others.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    graph: str
    tensor: str
    minimum: float
    maximum: float
    scale: float
    zero_point: int
    observer: str

    @classmethod
    def of(cls, graph: str, tensor: str, limits: tuple[float, float], observer: str) -> Self:
        """From (minimum, maximum) as ``Observer.range`` returns it."""
        return cls(graph, tensor, *limits, symmetric_scale(*limits), 0, observer)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.minimum) and math.isfinite(self.maximum) and self.minimum <= 0 <= self.maximum):
            raise ValueError(f"minimum {self.minimum} and maximum {self.maximum} of '{self.tensor}' are no range around 0")
        expected = symmetric_scale(self.minimum, self.maximum)
        if not math.isclose(self.scale, expected, rel_tol=1e-5):
            raise ValueError(f"scale {self.scale} of '{self.tensor}' is not max(|minimum|, |maximum|) / 127 = {expected}")
        if self.zero_point != 0:
            raise ValueError(f"zero point {self.zero_point} of '{self.tensor}' is not 0; ranges are symmetric")

    @property
    def key(self) -> tuple[str, str]:
        """(graph, tensor)."""
        return self.graph, self.tensor
