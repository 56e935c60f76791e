"""Times count only if the machine had nothing else to do: waits for that, up to a budget that all measurements of a build share."""

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

from ..results.timing import DISTURBING_SHARE, Machine

LOOK_SECONDS = 1.0
PAUSE_SECONDS = 4.0
Times = TypeVar("Times")


def busy_share(seconds: float) -> float:
    """Share of the machine's processor time that is used during the next ``seconds``, in which this process sleeps; 0 to 1."""
    return psutil.cpu_percent(seconds) / 100


class Patience:
    """Seconds that may still be spent on waiting for a quiet machine, and on measuring again what was disturbed."""

    def __init__(self, budget_s: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self.left_s = budget_s
        self._clock, self._sleep = clock, sleep

    def undisturbed(self, measure: Callable[[], tuple[Times, Machine]]) -> tuple[Times, Machine]:
        """What ``measure`` returns while nothing else runs; when patience is at its end, its last result, whose machine is disturbed."""
        while True:
            self._wait()
            start = self._clock()
            times, machine = measure()
            if not machine.is_disturbed:
                return times, machine
            self.left_s -= self._clock() - start
            if self.left_s <= 0:
                return times, machine

    def _wait(self) -> None:
        start = self._clock()
        while self.left_s > 0 and busy_share(LOOK_SECONDS) > DISTURBING_SHARE:
            self._sleep(PAUSE_SECONDS)
            now = self._clock()
            self.left_s -= now - start
            start = now
