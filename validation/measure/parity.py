"""Measures one artifact against the float PyTorch reference: quality, latency, memory, and what executed."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...model.cached_run import CachedRun
from ...model.graph import Arrays, Model, Run, Sample, Size
from ...model.runs import runs_from_modules, torch_threads
from ...recipe.limits import Limits
from ...system.errors import ExecutionError
from ...system.foreign import foreign_errors
from ...system.progress import ReportProgress
from ...targets.artifact import describe_all
from ...targets.base import Artifact, ArtifactFile, Runner
from ...targets.declared import check_manifest
from ..judge.speed import graph_checks
from ..results.evidence import Evidence, GraphCalls, SampleSet
from ..results.half_range import HalfRange
from ..results.measurements import GraphExecution, Measurements, UnitMeasurements
from ..results.timing import Latency, Machine
from .built import Built
from .latency import Contestants, describe_machine, load_average, runs_of
from .memory import Request, peak_over_baseline
from .quality import checked_run, compare_all
from .quiet import Patience
from .reference import Reference
from .timed_runs import FreshRuns, time_here, time_until_decided

if TYPE_CHECKING:
    from ...recipe.latency import LatencySettings


@dataclass(frozen=True)
class Task:
    """What to measure an artifact on and against.

    Attributes:
        size: height and width; also that of ``reference`` and both artifacts.
        samples: the ordinary ones; at least one. Latency and memory take the first.
        ort_float: the same model in float for ONNX Runtime, the baseline of the latencies; without it nothing is timed.
        sample_set: what the samples are made of.
        reference_sha256: of the weights of ``model``.
        own: the float network that the artifacts were made of, ``reference`` itself without pruning.
        half_range: of the artifact, if it computes in float16.
        limits: that a speed is measured for until it is decided, within the settings' budgets.
        load_model: ``model`` for another process; can be pickled. Without it this process alone measures.
        patience: shared by all artifacts of a build.
    """

    model: Model
    size: Size
    samples: Sequence[Sample]
    hard_samples: Sequence[Sample]
    reference: Reference
    ort_float: Built | None
    settings: "LatencySettings"
    sample_set: SampleSet
    reference_sha256: str
    own: Reference
    half_range: HalfRange | None = None
    limits: Limits = field(default_factory=Limits)
    load_model: Callable[[], Model] | None = None
    patience: Patience = field(default_factory=lambda: Patience(0))

    def evidence(self, files: tuple[ArtifactFile, ...], baseline: tuple[ArtifactFile, ...]) -> Evidence:
        """Of measurements of these files."""
        ordinary, extreme = (
            Counter(call.graph for sample in samples for call in self.reference.of(sample).calls)
            for samples in (self.samples, self.hard_samples)
        )
        calls = tuple(GraphCalls(graph.name, ordinary[graph.name], extreme[graph.name]) for graph in self.model.graphs)
        hard = tuple(sample.name for sample in self.hard_samples)
        return Evidence(files, baseline, self.reference_sha256, self.sample_set, hard, calls)


def measure(task: Task, built: Built, report: ReportProgress) -> Measurements:
    """All that ``judge`` needs to know about ``built``, on every compute unit that its target has here.

    Where something stands in for the artifact's runtime, quality alone is measured.

    Args:
        report: is told of every sample, graph and the memory.

    Raises:
        TargetUnavailableError: the artifact cannot run on this machine.
        ExecutionError: it ran something else than was asked for, crashed, or returned other outputs than declared; or its files changed
            meanwhile.
    """
    before = _opened_files(task, built)
    artifact, settings = built.artifact, task.settings
    check_manifest(artifact, task.model)
    units = built.target.units()
    inputs = {call.graph: _in_memory(call.inputs) for call in task.reference.of(task.samples[0]).calls}
    timed = len(inputs) if task.ort_float is not None and built.target.availability().can_run else 0
    total = len(units) * (len(task.samples) + len(task.hard_samples) + timed) + 1
    steps = iter(range(1, total + 1))

    def tick(note: str) -> None:
        report(next(steps), total, note)

    with ThreadPoolExecutor(1) as background:
        memory = background.submit(_peak_memory, built.on(units[0]), inputs, settings.threads)  # beside the samples
        measured = [_measure_unit(task, built.on(unit), unit=unit, inputs=inputs, tick=tick, memory=memory) for unit in units]
        peak_memory_bytes = memory.result()
        tick("memory")
    first = measured[0].unit
    if before != _opened_files(task, built):
        raise ExecutionError(f"{artifact.name}: its files, or the baseline's, were changed while they were measured; measure again")
    return Measurements(
        artifact=artifact.name,
        precision=artifact.precision,
        hot_graph=task.model.hot_graph,
        end_to_end=first.end_to_end,
        graphs=first.graphs,
        latency=first.latency,
        executions=first.executions,
        # A target that runs here may still have artifacts that something else computes.
        peak_memory_bytes=0 if measured[0].evaluator else peak_memory_bytes,
        shipped_bytes=artifact.shipped_bytes,
        machine=measured[0].machine,
        evidence=task.evidence(*before),
        evaluator=measured[0].evaluator,
        by_vendor=measured[0].by_vendor,
        unit=first.unit,
        other_units=tuple(found.unit for found in measured[1:]),
        half_range=task.half_range,
        departures=first.departures,
    )


def _opened_files(task: Task, built: Built) -> tuple[tuple[ArtifactFile, ...], tuple[ArtifactFile, ...]]:
    """The artifact's files and the baseline's, as they are now."""
    return describe_all(built.folder), describe_all(task.ort_float.folder) if task.ort_float else ()


@dataclass(frozen=True)
class _Measured:
    """One compute unit's measurements, what stood in for the runtime, whether that was the vendor's, and the machine meanwhile."""

    unit: UnitMeasurements
    evaluator: str
    by_vendor: bool
    machine: Machine


def _measure_unit(
    task: Task, built: Built, *, unit: str, inputs: Mapping[str, Arrays], tick: Callable[[str], None], memory: "Future[int]"
) -> _Measured:
    model, artifact, threads = task.model, built.artifact, task.settings.threads
    with ExitStack() as stack:
        runners = {graph.name: stack.enter_context(built.open(graph.name, threads)) for graph in model.graphs}
        evaluators = [runner.execution for runner in runners.values() if runner.execution.evaluator]
        # What the vendor's library did not execute is what counts.
        stand_in = min(evaluators, key=lambda execution: execution.by_vendor, default=None)
        evaluator, by_vendor = (stand_in.evaluator, stand_in.by_vendor) if stand_in else ("", False)
        runs = {graph.name: checked_run(runners[graph.name].run, graph, task.size, artifact.name) for graph in model.graphs}
        cached = {name: CachedRun(run) for name, run in runs.items()}
        qualities = compare_all(
            model,
            cached,
            references=(task.reference, task.own),
            samples=task.samples,
            hard_samples=task.hard_samples,
            tick=tick,
            shown=built.target.shown,
        )
        memory.result()  # nothing else may run while latency is measured
        load_before = load_average()
        timed = (
            ()
            if evaluator or task.ort_float is None
            else tuple(_time_all(task, built, ort_float=task.ort_float, inputs=inputs, runs=runs, tick=tick))
        )
    executions = tuple(_execution(artifact, name, runner) for name, runner in runners.items())
    latency = tuple(latency for latency, _ in timed)
    busy = max((at.busy_elsewhere or 0.0 for _, at in timed), default=None)
    machine = replace(describe_machine(threads, load_before), busy_elsewhere=busy)
    found = UnitMeasurements(unit, qualities.end_to_end, qualities.graphs, latency, executions, qualities.departures)
    return _Measured(found, evaluator, by_vendor, machine)


def _peak_memory(built: Built, inputs: Mapping[str, Arrays], threads: int) -> int:
    """In a process of its own; 0 where the artifact itself does not run."""
    if not built.target.availability().can_run:
        return 0
    return peak_over_baseline(Request(built.target, built.artifact, built.folder, inputs, threads))


def _time_all(
    task: Task, built: Built, *, ort_float: Built, inputs: Mapping[str, Arrays], runs: Mapping[str, Run], tick: Callable[[str], None]
) -> Iterator[tuple[Latency, Machine]]:
    """Every graph that has inputs, against its baselines, and the machine meanwhile."""
    settings, hot = task.settings, task.model.hot_graph
    pytorch = runs_from_modules(task.model)
    for graph, given in inputs.items():
        count = runs_of(graph == hot, settings.runs)
        with ort_float.open(graph, settings.threads) as baseline, torch_threads(settings.threads):
            passes = Contestants(*(partial(run, given) for run in (runs[graph], baseline.run, pytorch[graph])))
            first = partial(time_here, passes, settings.threads, settings.warmup, count)
            fresh = task.load_model and FreshRuns(graph, built, ort_float, task.load_model, given, settings.threads, settings.warmup, count)
            with foreign_errors(ExecutionError, f"graph '{graph}' crashed while it was timed"):
                found = time_until_decided(
                    graph,
                    first,
                    fresh=fresh,
                    is_open=partial(_is_open, task, built.artifact),
                    most_processes=settings.processes,
                    patience=task.patience,
                )
            yield found
        tick(f"latency of {graph}")


def _is_open(task: Task, artifact: Artifact, latency: Latency) -> bool:
    """Whether a limit of speed is undecided at this latency."""
    limits = task.limits if latency.graph == task.model.hot_graph else None
    return any(
        found.undecided
        for found in graph_checks(artifact.name, latency.graph, precision=artifact.precision, latency=latency, limits=limits)
    )


def _in_memory(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in arrays.items()}


def _execution(artifact: Artifact, graph: str, runner: Runner) -> GraphExecution:
    ran = runner.execution
    asked = artifact.graph(graph).int8_convolutions
    return GraphExecution(graph, ran.provider, ran.convolutions, ran.int8_convolutions, asked, runner.overflow)
