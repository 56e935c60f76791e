"""Latency of an artifact and of its float baselines, interleaved in one run so that all meet the same machine.

A round goes through the contestants in one of the orders of ``balanced_orders``. A contestant's turn is one pass that is not timed and then
a few that are: the threads of the contestant before it keep spinning for a while after its last pass, and its data has filled the caches.
The untimed pass takes both away, as in an app that runs one model again and again.

Where memory came to lie, and on which core a thread, differs from process to process and stays for the life of one. The interval of a
single process does not know that; ``compare`` makes it wider, and takes the interval of several processes from how they differ.
"""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import psutil

from ...metrics.statistics import Estimate, can_carry, geometric_mean, median, ratio_of_medians
from ...system.host import core_count, cpu_name
from ..results.timing import Latency, Machine, Timing
from .order import balanced_orders

TIMED_PASSES = 3
# How far the ratio of one process may be from that of many, beside what its own rounds show; see benchmarks/processes.py.
BETWEEN_PROCESSES = 0.05
# Graphs that run once a style rather than once a photo are timed with this share of the runs, but with LEAST_RUNS.
SIDE_GRAPH_SHARE = 3
LEAST_RUNS = 9
Pass = Callable[[], object]
Clock = Callable[[], float]  # seconds


@dataclass(frozen=True)
class Contestants:
    """One pass each of the same graph on the same inputs."""

    artifact: Pass
    ort_float: Pass
    pytorch: Pass


def runs_of(hot: bool, runs: int) -> int:
    """How many passes of a graph are timed at least, given the recipe's ``runs``."""
    return runs if hot else max(LEAST_RUNS, runs // SIDE_GRAPH_SHARE)


@dataclass(frozen=True)
class Times:
    """Milliseconds (rounds, TIMED_PASSES) of each contestant in one process."""

    artifact: np.ndarray
    ort_float: np.ndarray
    pytorch: np.ndarray


def take_times(contestants: Contestants, warmup: int, runs: int, clock: Clock = time.perf_counter) -> Times:
    """Times the contestants against each other in this process.

    Args:
        warmup: passes of each contestant before the first round.
        runs: how many passes of each are timed at least; whole rounds are run, and every order equally often.
    """
    return Times(*interleave((contestants.artifact, contestants.ort_float, contestants.pytorch), warmup, runs, clock))


def compare(graph: str, processes: Sequence[Times]) -> Latency:
    """The latency that one process or several independent ones measured.

    Args:
        graph: its name, for the result.
        processes: at least one.
    """
    artifact, ort_float, pytorch = ([getattr(times, name) for times in processes] for name in ("artifact", "ort_float", "pytorch"))
    over_ort_float, over_pytorch = _ratio(ort_float, artifact), _ratio(pytorch, artifact)
    return Latency(
        graph=graph,
        artifact=timing("artifact", artifact),
        ort_float=timing("ort_float", ort_float),
        pytorch=timing("pytorch", pytorch),
        over_ort_float=over_ort_float.value,
        over_pytorch=over_pytorch.value,
        over_ort_float_low=over_ort_float.low,
        over_ort_float_high=over_ort_float.high,
        over_pytorch_low=over_pytorch.low,
        over_pytorch_high=over_pytorch.high,
        processes=len(processes),
    )


def _ratio(numerators: Sequence[np.ndarray], denominators: Sequence[np.ndarray]) -> Estimate:
    if len(numerators) == 1:
        return ratio_of_medians(numerators[0], denominators[0]).widened(BETWEEN_PROCESSES)
    return geometric_mean([float(np.median(a) / np.median(b)) for a, b in zip(numerators, denominators, strict=True)])


def interleave(passes: Sequence[Pass], warmup: int, runs: int, clock: Clock = time.perf_counter) -> tuple[np.ndarray, ...]:
    """Milliseconds (rounds, TIMED_PASSES) of each contestant, in the order of ``passes``."""
    if runs < 1:
        raise ValueError(f"latency needs at least one run, got {runs}")
    for run in passes:
        for _ in range(warmup):
            run()
    orders = balanced_orders(len(passes))
    rounds = len(orders) * -(-runs // (TIMED_PASSES * len(orders)))
    times = np.empty((len(passes), rounds, TIMED_PASSES))
    for turn in range(rounds):
        for contestant in orders[turn % len(orders)]:
            passes[contestant]()
            for repeat in range(TIMED_PASSES):
                start = clock()
                passes[contestant]()
                times[contestant, turn, repeat] = 1000 * (clock() - start)
    return tuple(times)


def timing(name: str, processes: Sequence[np.ndarray]) -> Timing:
    """Statistics of one contestant's (rounds, passes) times in each process; of several, the geometric mean of their medians."""
    times_ms = np.concatenate([each.ravel() for each in processes])
    if len(processes) == 1:
        estimate = median(processes[0]).widened(BETWEEN_PROCESSES)
    else:
        estimate = geometric_mean([float(np.median(each)) for each in processes])
    p90_ms = float(np.percentile(times_ms, 90)) if can_carry(90, times_ms.size) else None
    return Timing(name, times_ms.size, estimate.value, estimate.low, estimate.high, p90_ms)


class LoadMeter:
    """Watches the machine from its creation to ``machine``: around the timed runs, with no process of ours beside this one."""

    def __init__(self) -> None:
        self._load_before = load_average()
        self._before = _used_seconds()

    def machine(self, threads: int) -> Machine:
        """This machine, with what it was loaded with since."""
        all_before, own_before, available_before = self._before
        all_after, own_after, available_after = _used_seconds()
        others = (all_after - all_before) - (own_after - own_before)
        share = others / max(available_after - available_before, 1e-9)
        return replace(describe_machine(threads, self._load_before), busy_elsewhere=min(1.0, max(0.0, share)))


def load_average() -> float:
    """The system's load average over one minute."""
    return psutil.getloadavg()[0]


def describe_machine(threads: int, load_before: float) -> Machine:
    """This machine, as it is now."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return Machine(cpu_name(), core_count(), threads, load_before, load_average(), system)


def _used_seconds() -> tuple[float, float, float]:
    """Processor seconds since some moment: used by all processes, used by this one, and there to be used."""
    times = psutil.cpu_times()
    available = sum(getattr(times, name) for name in times._fields if not name.startswith("guest"))  # guests are in user already
    idle = times.idle + getattr(times, "iowait", 0.0)
    return available - idle, time.process_time(), available
