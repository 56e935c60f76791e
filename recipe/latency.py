"""The table of a recipe about measuring latency."""

from typing import Annotated

from pydantic import Field

from .section import Section


class LatencySettings(Section):
    """How latency is measured.

    Attributes:
        threads: of every runtime that is timed.
        warmup, runs: runs before, which are not timed, and runs that are.
        processes: fresh processes at most that a speed is measured in if its limit lies inside the interval of the first; fewer than 2
            decide nothing.
        patience_s: seconds that a build may wait for a quiet machine, and measure again what other processes disturbed.
    """

    threads: Annotated[int, Field(ge=1)] = 2
    warmup: Annotated[int, Field(ge=0)] = 5
    runs: Annotated[int, Field(ge=5)] = 30
    processes: Annotated[int, Field(ge=0, le=16)] = 8
    patience_s: Annotated[float, Field(ge=0, le=3600)] = 120.0
