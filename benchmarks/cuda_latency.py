"""Latency on an NVIDIA GPU, contestants turn by turn so that all meet the same clocks and temperature.

As in ``latency``: each round begins with another contestant, and a turn begins with passes that are not timed. The device is idle when
a timed pass begins, as in an application that paints one picture and waits for it: what the processor needs to launch kernels counts.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from instantstyle.metrics.statistics import Estimate, ratio_of_medians
from instantstyle.system.errors import ExecutionError
from instantstyle.validation.measure.latency import Pass, timing
from instantstyle.validation.results.timing import Timing

LONGEST_REASON = 300


class Clock(Protocol):
    """A source of times. ``method`` says how it measures."""

    method: str

    def measure(self, run: Pass, passes: int) -> Sequence[float]:
        """Milliseconds of each of so many passes."""
        ...


class EventClock:
    """CUDA events around each pass, on the current stream."""

    method = "CUDA events"

    def measure(self, run: Pass, passes: int) -> Sequence[float]:
        import torch

        events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(passes)]
        for start, end in events:
            torch.cuda.synchronize()
            start.record()
            run()
            end.record()
        torch.cuda.synchronize()
        return [start.elapsed_time(end) for start, end in events]


class WallClock:
    """The processor's clock, until the device is idle again."""

    method = "wall clock"

    def measure(self, run: Pass, passes: int) -> Sequence[float]:
        import torch

        times = []
        for _ in range(passes):
            torch.cuda.synchronize()
            start = time.perf_counter()
            run()
            torch.cuda.synchronize()
            times.append(1000 * (time.perf_counter() - start))
        return times


@dataclass(frozen=True)
class Contestant:
    """One way to compute a graph. ``settings`` makes the context of its turns: stream, gradient mode, TF32."""

    run: Pass
    clock: Clock
    settings: Callable[[], AbstractContextManager[object]] = nullcontext


Make = Callable[[], Contestant]


@dataclass(frozen=True)
class Schedule:
    """How often what is run.

    Attributes:
        warmup: passes of each contestant before the first round.
        rounds: in each of which every contestant has one turn.
        untimed: passes at the beginning of a turn.
        passes: timed passes of a turn.
    """

    warmup: int = 20
    rounds: int = 30
    untimed: int = 3
    passes: int = 10


@dataclass(frozen=True)
class Race:
    """Outcome of ``compare``.

    Attributes:
        times_ms: (rounds, passes) by contestant.
        methods: by contestant, how it was timed.
        failures: by contestant that could not be made or did not survive its warm-up, the reason on one line.
    """

    times_ms: Mapping[str, np.ndarray]
    methods: Mapping[str, str]
    failures: Mapping[str, str]

    def timing(self, name: str) -> Timing:
        """Median and its interval. Raises KeyError for a contestant that was not timed."""
        return timing(name, [self.times_ms[name]])

    def times_over(self, name: str, baseline: str) -> Estimate | None:
        """How many times as fast as ``baseline`` a contestant is; None if either was not timed."""
        if name not in self.times_ms or baseline not in self.times_ms:
            return None
        return ratio_of_medians(self.times_ms[baseline], self.times_ms[name])


def compare(makes: Mapping[str, Make], schedule: Schedule) -> Race:
    """Makes, warms and times contestants.

    Raises:
        ValueError: a schedule without timed passes.
        ExecutionError: a contestant that was warm failed while it was timed.
    """
    if min(schedule.rounds, schedule.passes) < 1:
        raise ValueError(f"latency needs at least one round of one pass, got {schedule}")
    ready: dict[str, Contestant] = {}
    failures: dict[str, str] = {}
    for name, make in makes.items():
        try:
            ready[name] = _warmed(make(), schedule.warmup)
        except Exception as error:  # compilers, drivers and runtimes fail with classes of their own; the others are measured all the same
            failures[name] = reason(error)
    times = _interleave(ready, schedule)
    return Race(times, {name: contestant.clock.method for name, contestant in ready.items()}, failures)


def reason(error: Exception) -> str:
    """An error on one line of bearable length."""
    text = " ".join(str(error).split())
    short = text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
    return f"{type(error).__name__}: {short}" if short else type(error).__name__


def _warmed(contestant: Contestant, passes: int) -> Contestant:
    """Runs at least once through its clock: what fails on the device says so only when it is waited for."""
    with contestant.settings():
        contestant.clock.measure(contestant.run, max(1, passes))
    return contestant


def _interleave(contestants: Mapping[str, Contestant], schedule: Schedule) -> dict[str, np.ndarray]:
    times = {name: np.empty((schedule.rounds, schedule.passes)) for name in contestants}
    names = list(contestants)
    for turn in range(schedule.rounds):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            contestant = contestants[name]
            try:
                with contestant.settings():
                    for _ in range(schedule.untimed):
                        contestant.run()
                    times[name][turn] = contestant.clock.measure(contestant.run, schedule.passes)
            except Exception as error:
                raise ExecutionError(f"{name} failed in round {turn + 1} of {schedule.rounds}: {reason(error)}") from error
    return times
