"""Timing on a GPU, with a clock that a test moves."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from cuda_latency import LONGEST_REASON, Contestant, EventClock, Schedule, WallClock, compare, reason

from instantstyle.system.errors import ExecutionError


class Workshop:
    """A clock and contestants that move it. Passes after another contestant's are slow: three of the first turn of all, then two."""

    method = "moved by a test"

    def __init__(self, **milliseconds: float) -> None:
        self.now = 0.0
        self.milliseconds = milliseconds
        self.passes: list[str] = []
        self.turns: list[str] = []
        self.cold = dict.fromkeys(milliseconds, 3)

    def measure(self, run, passes: int) -> Sequence[float]:
        times = []
        for _ in range(passes):
            start = self.now
            run()
            times.append(self.now - start)
        return times

    def make(self, name: str):
        @contextmanager
        def turn() -> Iterator[None]:
            self.turns.append(name)
            self.cold[name] = max(self.cold[name], 2)
            yield

        def run() -> None:
            self.passes.append(name)
            self.now += self.milliseconds[name] * (10 if self.cold[name] > 0 else 1)
            self.cold[name] -= 1

        return lambda: Contestant(run, self, turn)

    def makes(self):
        return {name: self.make(name) for name in self.milliseconds}


def test_medians_and_ratios_are_of_warm_passes_alone() -> None:
    shop = Workshop(engine=2, pytorch=60)
    found = compare(shop.makes(), Schedule(warmup=3, rounds=6, untimed=2, passes=4))
    for name, expected in shop.milliseconds.items():
        timing = found.timing(name)
        assert (timing.p50_ms, timing.p90_ms) == pytest.approx((expected,) * 2)
        assert (timing.p50_low_ms, timing.p50_high_ms) == pytest.approx((expected * 0.95, expected * 1.05))
        assert timing.runs == 24 and (found.times_ms[name] == expected).all()
    over = found.times_over("engine", "pytorch")
    assert over and (over.value, over.low, over.high) == pytest.approx((30.0,) * 3)
    assert found.times_over("engine", "absent") is None and found.failures == {}
    assert found.methods == dict.fromkeys(("engine", "pytorch"), "moved by a test")


def test_a_schedule_that_does_not_warm_is_seen() -> None:
    """The fake is what the schedule is for: without untimed passes, cold ones count."""
    shop = Workshop(engine=2, pytorch=60)
    assert (compare(shop.makes(), Schedule(warmup=3, rounds=6, untimed=0, passes=4)).times_ms["engine"] == 20).any()


def test_each_round_begins_with_another_contestant() -> None:
    shop = Workshop(a=1, b=1, c=1)
    compare(shop.makes(), Schedule(warmup=2, rounds=3, untimed=1, passes=2))
    assert "".join(shop.turns) == "abc" + "abc" + "bca" + "cab"
    assert "".join(shop.passes) == "aabbcc" + "aaabbbccc" + "bbbcccaaa" + "cccaaabbb"


def test_what_cannot_be_made_or_warmed_is_told_and_the_others_are_timed() -> None:
    shop = Workshop(engine=2)

    def refuse() -> Contestant:
        raise ImportError("no module named triton")

    def crash() -> None:
        raise RuntimeError("CUDA error:\n  operation not permitted when stream is capturing")

    makes = {"compiled": refuse, **shop.makes(), "graph": lambda: Contestant(crash, shop)}
    found = compare(makes, Schedule(warmup=0, rounds=2, untimed=2, passes=2))
    assert list(found.times_ms) == ["engine"]
    assert found.failures == {
        "compiled": "ImportError: no module named triton",
        "graph": "RuntimeError: CUDA error: operation not permitted when stream is capturing",
    }


def test_a_failure_while_timed_ends_the_comparison() -> None:
    shop = Workshop(engine=2)
    left = iter(range(5))

    def tire() -> None:
        next(left)

    with pytest.raises(ExecutionError, match=r"^tired failed in round 2 of 3: StopIteration$"):
        compare({**shop.makes(), "tired": lambda: Contestant(tire, shop)}, Schedule(warmup=1, rounds=3, untimed=1, passes=2))


@pytest.mark.parametrize("schedule", [Schedule(rounds=0), Schedule(passes=0)])
def test_nothing_to_time_is_refused(schedule: Schedule) -> None:
    with pytest.raises(ValueError, match="at least one round of one pass"):
        compare({}, schedule)


def test_reasons_are_short_and_on_one_line() -> None:
    assert reason(ValueError("a\n  b")) == "ValueError: a b" and reason(KeyError()) == "KeyError"
    assert len(reason(ValueError("x" * 1000))) == len("ValueError: ") + LONGEST_REASON


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the fake CUDA was asked for, in order; an event's time is the number of calls before it."""
    log: list[str] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing
            self.at = -1

        def record(self) -> None:
            self.at = len(log)
            log.append("record")

        def elapsed_time(self, end: "Event") -> float:
            assert log[-1] == "synchronize", "an event may be read once the device is idle"
            return float(end.at - self.at)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: log.append("synchronize"))
    return log


def test_events_enclose_one_pass_on_an_idle_device(events: list[str]) -> None:
    assert EventClock().measure(lambda: events.append("run"), 2) == [2.0, 2.0]
    assert events == ["synchronize", "record", "run", "record"] * 2 + ["synchronize"]


def test_wall_clock_waits_for_the_device(events: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuda_latency.time", SimpleNamespace(perf_counter=lambda: float(len(events))))
    assert WallClock().measure(lambda: events.append("run"), 1) == [2000.0]
    assert events == ["synchronize", "run", "synchronize"]
