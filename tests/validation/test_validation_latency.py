from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from instantstyle.validation.measure import latency
from instantstyle.validation.measure.latency import (
    BETWEEN_PROCESSES,
    TIMED_PASSES,
    Contestants,
    Times,
    compare,
    describe_machine,
    interleave,
    take_times,
    timing,
)
from instantstyle.validation.measure.order import balanced_orders


class Workshop:
    """A clock and contestants that move it. The first pass after another contestant's is slowed, as by its spinning threads."""

    def __init__(self, **milliseconds: float) -> None:
        self.now = 0.0
        self.milliseconds = milliseconds
        self.order: list[str] = []

    def clock(self) -> float:
        return self.now

    def contestant(self, name: str):
        def run() -> None:
            disturbed = bool(self.order) and self.order[-1] != name
            self.order.append(name)
            self.now += self.milliseconds[name] / 1000 * (3 if disturbed else 1)

        return run

    def contestants(self) -> Contestants:
        return Contestants(*(self.contestant(name) for name in ("artifact", "ort_float", "pytorch")))


def test_latency_is_that_of_an_undisturbed_pass() -> None:
    shop = Workshop(artifact=10, ort_float=25, pytorch=40)
    found = compare("painter", [take_times(shop.contestants(), warmup=2, runs=36, clock=shop.clock)])
    low, high = 1 - BETWEEN_PROCESSES, 1 + BETWEEN_PROCESSES
    assert (found.graph, found.processes) == ("painter", 1)
    for each, expected in ((found.artifact, 10), (found.ort_float, 25), (found.pytorch, 40)):
        assert (each.p50_ms, each.p50_low_ms, each.p50_high_ms, each.p90_ms) == pytest.approx(
            (expected, expected * low, expected * high, expected)
        )
        assert each.runs == 36
    assert (found.over_ort_float, found.over_ort_float_low, found.over_ort_float_high) == pytest.approx((2.5, 2.5 * low, 2.5 * high))
    assert (found.over_pytorch, found.over_pytorch_low, found.over_pytorch_high) == pytest.approx((4.0, 4.0 * low, 4.0 * high))
    assert found.artifact.frames_per_second == pytest.approx(100)


def test_of_several_processes_the_interval_is_that_of_their_differences() -> None:
    """Ratios 2.0, 2.2 and 2.1 whatever the rounds of each process say; SciPy's t distribution is the witness."""
    ratios = np.array([2.0, 2.2, 2.1])
    ones = np.ones((6, TIMED_PASSES))
    found = compare("painter", [Times(10 * ones, 10 * ratio * ones, 40 * ones) for ratio in ratios])
    logs = np.log(ratios)
    low, high = np.exp(stats.t.interval(0.95, 2, loc=logs.mean(), scale=stats.sem(logs)))
    assert found.processes == 3 and found.artifact.runs == 54
    assert found.over_ort_float == pytest.approx(stats.gmean(ratios))
    assert (found.over_ort_float_low, found.over_ort_float_high) == pytest.approx((low, high), rel=1e-4)
    assert found.ort_float.p50_ms / found.artifact.p50_ms == pytest.approx(found.over_ort_float)
    assert (found.over_pytorch_low, found.over_pytorch_high) == pytest.approx((4.0, 4.0))


def test_each_stands_in_every_place_and_after_every_other_equally_often() -> None:
    for count in (2, 3, 4, 5):
        orders = balanced_orders(count)
        assert all(sorted(order) == list(range(count)) for order in orders)
        for place in range(count):
            assert {sum(order[place] == who for order in orders) for who in range(count)} == {len(orders) // count}
        followed = Counter(pair for order in orders for pair in pairwise(order))
        assert len(followed) == count * (count - 1) and len(set(followed.values())) == 1


def test_rounds_go_through_the_orders() -> None:
    shop = Workshop(a=1, b=1, c=1)
    interleave([shop.contestant(name) for name in "abc"], warmup=2, runs=3 * TIMED_PASSES, clock=shop.clock)
    turn = 1 + TIMED_PASSES
    assert "".join(shop.order[:6]) == "aabbcc"
    assert "".join(shop.order[6::turn]) == "".join("abc"[who] for order in balanced_orders(3) for who in order)


def test_passes_are_counted_in_whole_rounds_and_every_order_equally_often() -> None:
    shop = Workshop(a=1, b=2)
    times = interleave([shop.contestant(name) for name in "ab"], warmup=0, runs=2 * TIMED_PASSES + 1, clock=shop.clock)
    assert [each.shape for each in times] == [(4, TIMED_PASSES)] * 2
    assert shop.order.count("a") == 4 * (1 + TIMED_PASSES)


def test_no_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one run"):
        interleave([lambda: None], warmup=0, runs=0)


def test_percentiles_of_a_known_series() -> None:
    many = timing("artifact", [np.arange(1.0, 22.0).reshape(7, 3)])
    assert (many.runs, many.p50_ms, many.p90_ms) == (21, 11.0, pytest.approx(19.0))
    assert 0.95 <= many.p50_low_ms < 11.0 < many.p50_high_ms <= 21.0 * 1.05
    assert timing("artifact", [np.arange(1.0, 19.0).reshape(6, 3)]).p90_ms is None


@pytest.mark.parametrize(
    "all_used,own,expected",
    [(10.0, 10.0, 0.0), (15.0, 10.0, 0.25), (9.9, 10.0, 0.0), (40.0, 10.0, 1.0)],
)
def test_what_other_processes_took(monkeypatch: pytest.MonkeyPatch, all_used: float, own: float, expected: float) -> None:
    """Of 20 processor seconds that there were."""
    readings = iter([(100.0, 7.0, 1000.0), (100.0 + all_used, 7.0 + own, 1020.0)])
    monkeypatch.setattr(latency, "_used_seconds", lambda: next(readings))
    machine = latency.LoadMeter().machine(threads=4)
    assert machine.busy_elsewhere == pytest.approx(expected) and machine.threads == 4
    assert machine.is_disturbed == (expected > 0.1)


def test_own_work_is_not_that_of_others() -> None:
    all_before, own_before, available_before = latency._used_seconds()
    sum(range(10**7))
    all_after, own_after, available_after = latency._used_seconds()
    assert own_after > own_before
    assert 0 <= all_after - all_before <= available_after - available_before + 0.05


def test_the_machine_is_described() -> None:
    machine = describe_machine(threads=2, load_before=0.25)
    assert (machine.threads, machine.load_before) == (2, 0.25)
    assert machine.cores >= 1 and machine.cpu and machine.load_after >= 0 and machine.system
