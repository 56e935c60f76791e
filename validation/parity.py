"""Measures one artifact against the float PyTorch reference: quality, latency, memory, and what executed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..calibration.samples import Sample
from ..export.progress import Report
from ..model.errors import ExecutionError
from ..model.graph import Arrays, Model, Run, Size
from ..targets.base import Artifact, Runner, Target
from .cached_run import CachedRun
from .latency import Contestants, LoadMeter, compare
from .measurements import GraphExecution, Latency, Measurements
from .memory import Request, peak_over_baseline
from .quality import checked_run, compare_all
from .reference import Reference, runs_from_modules, torch_threads

if TYPE_CHECKING:
    from ..export.recipe import LatencySettings

# Graphs that run once a style rather than once a photo are timed with this share of the runs, but with LEAST_RUNS.
SIDE_GRAPH_SHARE = 3
LEAST_RUNS = 9


@dataclass(frozen=True)
class Built:
    """An artifact, the folder it lies in, and the target that opens it."""

    artifact: Artifact
    folder: Path
    target: Target

    def open(self, graph: str, threads: int) -> Runner:
        """A runner for one graph."""
        return self.target.open(self.artifact, self.folder, graph, threads)


def measure(
    model: Model,
    size: Size,
    samples: Sequence[Sample],
    hard_samples: Sequence[Sample],
    reference: Reference,
    built: Built,
    ort_float: Built,
    settings: "LatencySettings",
    report: Report,
) -> Measurements:
    """All that ``judge`` needs to know about ``built``.

    Args:
        size: height and width; also that of ``reference`` and both artifacts.
        samples: the ordinary ones; at least one. Latency and memory take the first.
        ort_float: the same model in float for ONNX Runtime, the baseline of the latencies.
        report: is told of every sample, graph and the memory.

    Raises:
        TargetUnavailableError: the artifact cannot run on this machine.
        ExecutionError: it ran something else than was asked for, crashed, or returned other outputs than declared.
    """
    artifact = built.artifact
    _check_graphs(model, artifact)
    inputs = {call.graph: _in_memory(call.inputs) for call in reference.of(samples[0]).calls}
    total = len(samples) + len(hard_samples) + len(inputs) + 1
    steps = iter(range(1, total + 1))

    def tick(note: str) -> None:
        report(next(steps), total, note)

    request = Request(built.target, artifact, built.folder, inputs, settings.threads)
    with ThreadPoolExecutor(1) as background, ExitStack() as stack:
        runners = {graph.name: stack.enter_context(built.open(graph.name, settings.threads)) for graph in model.graphs}
        memory = background.submit(peak_over_baseline, request)  # a process of its own, beside the samples
        runs = {graph.name: checked_run(runners[graph.name].run, graph, size, artifact.name) for graph in model.graphs}
        cached = {name: CachedRun(run) for name, run in runs.items()}
        qualities = compare_all(model, cached, reference, samples, hard_samples, tick)
        peak_memory_bytes = memory.result()
        tick("memory")
        meter = LoadMeter()
        latency = tuple(_time_all(model, inputs, runs, ort_float, settings, tick))
        machine = meter.machine(settings.threads)
    return Measurements(
        artifact=artifact.name,
        precision=artifact.precision,
        hot_graph=model.hot_graph,
        end_to_end=qualities.end_to_end,
        graphs=qualities.graphs,
        latency=latency,
        executions=tuple(_execution(artifact, name, runner) for name, runner in runners.items()),
        peak_memory_bytes=peak_memory_bytes,
        shipped_bytes=artifact.shipped_bytes,
        machine=machine,
    )


def _check_graphs(model: Model, artifact: Artifact) -> None:
    wanted, found = {graph.name for graph in model.graphs}, {graph.name for graph in artifact.graphs}
    if wanted != found:
        raise ExecutionError(f"{artifact.name} has the graphs {', '.join(sorted(found))}; the model has {', '.join(sorted(wanted))}")


def _time_all(
    model: Model,
    inputs: Mapping[str, Arrays],
    runs: Mapping[str, Run],
    ort_float: Built,
    settings: "LatencySettings",
    tick: Callable[[str], None],
) -> Iterator[Latency]:
    """Every graph that has inputs, against its baselines."""
    pytorch = runs_from_modules(model)
    side_runs = max(LEAST_RUNS, settings.runs // SIDE_GRAPH_SHARE)
    for graph, given in inputs.items():
        with ort_float.open(graph, settings.threads) as baseline, torch_threads(settings.threads):
            passes = (partial(run, given) for run in (runs[graph], baseline.run, pytorch[graph]))
            yield compare(graph, Contestants(*passes), settings.warmup, settings.runs if graph == model.hot_graph else side_runs)
        tick(f"latency of {graph}")


def _in_memory(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in arrays.items()}


def _execution(artifact: Artifact, graph: str, runner: Runner) -> GraphExecution:
    ran = runner.execution
    return GraphExecution(graph, ran.provider, ran.convolutions, ran.int8_convolutions, artifact.graph(graph).int8_convolutions)
