from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import validation_fakes as fakes

from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import ExecutionError
from instantstyle.validation.measure import quiet, timed_runs
from instantstyle.validation.measure.built import Built
from instantstyle.validation.measure.latency import TIMED_PASSES, Times
from instantstyle.validation.measure.quiet import Patience
from instantstyle.validation.measure.timed_runs import FreshRuns, Timed, time_until_decided
from instantstyle.validation.results.timing import Latency


def timed(ratio: float, busy: float = 0.0) -> Timed:
    """A process in which the artifact takes 10 ms and ONNX Runtime float ``ratio`` times that."""
    ones = np.ones((6, TIMED_PASSES))
    machine = fakes.replace(fakes.MACHINE, busy_elsewhere=busy)
    return Times(10 * ones, 10 * ratio * ones, 40 * ones), machine


def fresh(behaviour: str = "") -> FreshRuns:
    int8, float32 = (
        Built(fakes.artifact(precision), Path(), fakes.FakeTarget(behaviour)) for precision in (Precision.INT8, Precision.FLOAT32)
    )
    inputs = {name: fakes.samples(1)[0].inputs[name] for name in ("photo", "alpha")} | {"code": np.zeros((1, 3), np.float32)}
    return FreshRuns("painter", int8, float32, fakes.model, inputs, threads=1, warmup=1, runs=5)


def limit_at_two(latency: Latency) -> bool:
    return latency.over_ort_float_low < 2.0 <= latency.over_ort_float_high


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Fresh processes that find the ratios given, and what was asked of them."""

    def answering(*ratios: float) -> list[str]:
        questions: list[str] = []
        answers = iter(ratios)

        def ask(question: FreshRuns, name: str, purpose: str) -> Timed:
            questions.append(f"{name} {question.graph}: {purpose}")
            return timed(next(answers))

        monkeypatch.setattr(timed_runs, "ask", ask)
        return questions

    return answering


def test_a_clear_speed_costs_no_process(asked: Callable[..., list[str]]) -> None:
    for ratio in (2.2, 1.8):
        questions = asked()
        latency, _ = time_until_decided(
            "painter", lambda ratio=ratio: timed(ratio), fresh=fresh(), is_open=limit_at_two, most_processes=8, patience=Patience(0)
        )
        assert questions == [] and latency.processes == 1 and latency.over_ort_float == pytest.approx(ratio)


def test_a_speed_near_its_limit_is_measured_in_fresh_processes_until_it_is_decided(asked: Callable[..., list[str]]) -> None:
    """2.05 alone says nothing; 2.10, 2.12 and 2.11 do, and what the first process found no longer counts."""
    questions = asked(2.10, 2.12, 2.11, 9.9)
    latency, _ = time_until_decided(
        "painter", lambda: timed(2.05), fresh=fresh(), is_open=limit_at_two, most_processes=8, patience=Patience(0)
    )
    assert questions == ["fake-int8-32x48 painter: measures its latency"] * 2 or len(questions) == 3
    assert latency.processes == len(questions) and latency.over_ort_float_low >= 2.0
    assert latency.over_ort_float == pytest.approx(np.exp(np.log([2.10, 2.12, 2.11][: len(questions)]).mean()))


def test_the_budget_of_processes_ends_it(asked: Callable[..., list[str]]) -> None:
    questions = asked(1.9, 2.1, 1.9, 2.1)
    latency, _ = time_until_decided(
        "painter", lambda: timed(2.0), fresh=fresh(), is_open=limit_at_two, most_processes=4, patience=Patience(0)
    )
    assert len(questions) == 4 and latency.processes == 4 and limit_at_two(latency)


def test_on_a_busy_machine_nothing_more_is_measured(asked: Callable[..., list[str]]) -> None:
    questions = asked()
    latency, machine = time_until_decided(
        "painter", lambda: timed(2.0, busy=0.5), fresh=fresh(), is_open=limit_at_two, most_processes=4, patience=Patience(0)
    )
    assert questions == [] and machine.is_disturbed and latency.processes == 1


def test_a_fresh_process_times_all_three() -> None:
    times, machine = timed_runs.ask(fresh(), "fake", "measures its latency")
    assert times.artifact.shape == times.ort_float.shape == times.pytorch.shape == (6, TIMED_PASSES)
    assert min(times.artifact.min(), times.ort_float.min(), times.pytorch.min()) > 0
    assert machine.threads == 1 and machine.busy_elsewhere is not None


def test_a_crash_in_a_fresh_process_is_named() -> None:
    with pytest.raises(ExecutionError, match=r"(?s)fake: the process that measures its latency ended with code 1: .*tensor arena is gone"):
        timed_runs.ask(fresh("crash"), "fake", "measures its latency")


class Room:
    """A clock that sleeping and measuring move, and a machine that is busy until some moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, quiet_at: float) -> None:
        self.now, self.quiet_at = 0.0, quiet_at
        self.measured: list[float] = []
        monkeypatch.setattr(quiet, "busy_share", self.look)

    def look(self, seconds: float) -> float:
        self.now += seconds
        return 0.5 if self.now < self.quiet_at else 0.02

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def patience(self, budget_s: float) -> Patience:
        return Patience(budget_s, lambda: self.now, self.sleep)

    def measure(self) -> Timed:
        self.measured.append(self.now)
        self.now += 10
        return timed(2.0, busy=0.5 if self.now - 10 < self.quiet_at else 0.0)


def test_it_waits_until_the_machine_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(monkeypatch, quiet_at=33)
    patience = room.patience(120)
    _, machine = patience.undisturbed(room.measure)
    assert not machine.is_disturbed and len(room.measured) == 1 and 33 <= room.measured[0] <= 39
    assert patience.left_s == pytest.approx(120 - (room.measured[0] - 1), abs=5)


def test_its_patience_ends_and_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(monkeypatch, quiet_at=1e9)
    patience = room.patience(30)
    _, machine = patience.undisturbed(room.measure)
    assert machine.is_disturbed and 30 <= room.measured[0] <= 36
    started = room.now
    patience.undisturbed(room.measure)
    assert room.now == started + 10  # the next artifact does not wait again
