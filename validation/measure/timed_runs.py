"""Times one graph until its speed is decided: in this process first, then, if a limit lies inside the interval, in fresh ones."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ...model.graph import Arrays, Model
from ...model.runs import runs_from_modules, torch_threads
from ...system.child import ask
from ..results.timing import Latency, Machine
from .built import Built
from .latency import Contestants, LoadMeter, Times, compare, take_times
from .quiet import Patience

Timed = tuple[Times, Machine]


@dataclass(frozen=True)
class FreshRuns:
    """Everything that a process of its own needs to time one graph. Can be pickled; calling it does it.

    Attributes:
        load_model: the float model in PyTorch; can be pickled.
        inputs: of the graph.
    """

    graph: str
    artifact: Built
    ort_float: Built
    load_model: Callable[[], Model]
    inputs: Arrays
    threads: int
    warmup: int
    runs: int

    def __call__(self) -> Timed:
        pytorch = runs_from_modules(self.load_model())[self.graph]
        with (
            self.artifact.open(self.graph, self.threads) as artifact,
            self.ort_float.open(self.graph, self.threads) as ort_float,
            torch_threads(self.threads),
        ):
            passes = Contestants(*(partial(run, self.inputs) for run in (artifact.run, ort_float.run, pytorch)))
            return time_here(passes, self.threads, self.warmup, self.runs)


def time_here(passes: Contestants, threads: int, warmup: int, runs: int) -> Timed:
    """Times in this process, and the machine meanwhile."""
    meter = LoadMeter()
    times = take_times(passes, warmup, runs)
    return times, meter.machine(threads)


def time_until_decided(
    graph: str,
    first: Callable[[], Timed],
    *,
    fresh: FreshRuns | None,
    is_open: Callable[[Latency], bool],
    most_processes: int,
    patience: Patience,
) -> tuple[Latency, Machine]:
    """The latency of a graph, and the machine while it was measured.

    A process of its own tells what a fresh start of the app would; the interval of two and more comes from how they differ. The
    times of this process only decide what is clear beyond the share by which processes differ.

    Args:
        first: times the graph in this process.
        fresh: times it in a process of its own; None where that cannot be done.
        is_open: whether a limit is undecided at this latency.
        most_processes: of their own, until it is decided.

    Raises:
        ExecutionError: a process crashed.
    """
    times, machine = patience.undisturbed(first)
    latency = compare(graph, [times])
    processes: list[Times] = []
    while fresh is not None and len(processes) < most_processes and not machine.is_disturbed and is_open(latency):
        times, machine = patience.undisturbed(partial(ask, fresh, fresh.artifact.artifact.name, "measures its latency"))
        processes.append(times)
        if len(processes) > 1:
            latency = compare(graph, processes)
    return latency, machine
