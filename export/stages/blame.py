"""The stages that find out which modules an int8 artifact loses its quality and time by."""

import json

import numpy as np

from ...calibration.table import CalibrationTable
from ...model.graph import Arrays, Model, Sample, Size
from ...model.runs import graph_inputs
from ...recipe.precision import Precision
from ...system.disk import atomic_write
from ...system.errors import InstantStyleError
from ...system.progress import ReportProgress
from ...targets.base import Target
from ...validation.judge.fallback import missed as missed_its_limits
from ...validation.measure.advice import advice, with_times
from ...validation.results.blame import LOSSES, GraphBlame, Losses
from ...validation.results.bundle import BundleArtifact
from ..cache.pipeline import Pipeline
from ..cache.store import Entry, Workspace
from ..source.source import Source
from .capture import capture
from .emit import BASELINE_TARGET, ArtifactSpec, Emitted, configured, emit
from .quantize import quantization_key, read_plan, table_path, tuned_weights

SAMPLES = 4
FILE = "blame.json"
# Limits that say nothing of the picture.
_OF_SPEED = ("min_over_ort_float", "min_over_pytorch", "max_p50_ms", "int8_faster_than_float")
_OF_SIZE = ("max_bytes", "max_memory_bytes")


def blame_failed(
    pipeline: Pipeline, source: Source, made: Emitted, entry: BundleArtifact, *, tuned: Entry | None, table: Entry
) -> tuple[GraphBlame, ...]:
    """What the modules of an int8 artifact lose that missed limits of the picture or of speed; of the latter the times alone.
    Empty for any other artifact."""
    missed = [failure.limit for failure in entry.failures if not failure.limit.startswith(_OF_SIZE)]
    if not missed_its_limits(entry) or not missed:
        return ()
    if not all(limit.startswith(_OF_SPEED) for limit in missed):
        graphs = [graph.name for graph in made.artifact.graphs if graph.int8_convolutions]
        return tuple(blame_graph(pipeline, source, made, name, tuned=tuned, table=table) for name in graphs)
    about = {limit.partition(":")[2] for limit in missed}
    slow = [graph.name for graph in made.artifact.graphs if graph.name in about] or [source.model.hot_graph]
    timed = [(name, with_times((), *_times(pipeline, source, made, name))) for name in slow]
    return tuple(GraphBlame(entry.name, name, 0, None, None, rows, advice(rows, name)) for name, rows in timed if rows)


def blame_graph(pipeline: Pipeline, source: Source, made: Emitted, graph: str, *, tuned: Entry | None, table: Entry) -> GraphBlame:
    """Losses and times of every module of one graph of an int8 artifact; times where its runtime tells them and can run here."""
    losses = graph_losses(pipeline, source, made.spec.size, graph, tuned=tuned, table=table)
    rows = with_times(losses.modules, *_times(pipeline, source, made, graph))
    return GraphBlame(made.spec.name, graph, SAMPLES, losses.ssim_mean, losses.ssim_worst, rows, advice(rows, graph))


def graph_losses(pipeline: Pipeline, source: Source, size: Size, graph: str, *, tuned: Entry | None, table: Entry) -> Losses:
    """Of one graph by fake quantisation, with the ranges and weights that artifacts get."""

    def make(workspace: Workspace, report: ReportProgress) -> None:
        found = _measure(source, size, graph, tuned=tuned, table=table, report=report)
        atomic_write(workspace.output / FILE, LOSSES.dump_json(found))

    inputs = {
        "model": source.fingerprint,
        "graph": graph,
        "size": size,
        "tuned": tuned.digest if tuned else None,
        "table": table.digest,
        "quantization": quantization_key(source),
        "samples": SAMPLES,
        **source.validation.key,
    }
    entry = pipeline.run("blame", f"{graph} {size[0]}x{size[1]}", inputs, make)
    return LOSSES.validate_json((entry.folder / FILE).read_bytes())


def samples_at(source: Source, size: Size) -> list[Sample]:
    """The validation samples that modules are blamed on."""
    return source.validation.first(source.model, size, SAMPLES)


def graph_arrays(model: Model, sample: Sample, graph: str) -> Arrays:
    """What a graph is fed for one sample."""
    fed = next(iter(graph_inputs(model, [sample])))[graph]
    return {name: np.ascontiguousarray(value, np.float32) for name, value in fed.items()}


def _measure(source: Source, size: Size, name: str, *, tuned: Entry | None, table: Entry, report: ReportProgress) -> Losses:
    from ...compression.quantization.quantize import load_weights, prepare, refresh_weight_ranges
    from ...compression.quantization.ranges import set_activation_ranges
    from ...validation.measure.blame import blame

    graph, plan = source.model.graph(name), read_plan(source, tuned)
    prepared = prepare(graph, size, plan.applied(source.recipe.quantize), factors=plan.factors.get(name, {}))
    weights = tuned_weights(tuned)
    if name in weights:
        load_weights(prepared, weights[name])
    ranges = CalibrationTable.load(table_path(table)).entries
    set_activation_ranges(prepared, {entry.tensor: entry for entry in ranges if entry.graph == name})
    refresh_weight_ranges(prepared)
    return blame(source.model, graph, prepared, samples_at(source, size), report)


def _times(pipeline: Pipeline, source: Source, made: Emitted, graph: str) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds by module of the artifact, and of the float graph in ONNX Runtime; empty where a runtime does not tell."""
    own = _module_times(pipeline, source, made, graph)
    if not own:
        return {}, {}
    spec = ArtifactSpec(BASELINE_TARGET, Precision.FLOAT32, made.spec.size)
    baseline = emit(pipeline, source, spec, capture(pipeline, source, spec.size, None, None))
    return own, _module_times(pipeline, source, baseline, graph) if isinstance(baseline, Emitted) else {}


def _module_times(pipeline: Pipeline, source: Source, made: Emitted, graph: str) -> dict[str, float]:
    target, threads = configured(source.recipe, made.spec.target), source.recipe.latency.threads
    if type(target).module_times is Target.module_times or not target.availability().can_run:
        return {}

    def make(workspace: Workspace, report: ReportProgress) -> None:
        inputs = graph_arrays(source.model, samples_at(source, made.spec.size)[0], graph)
        times = target.module_times(made.artifact, made.folder, graph, inputs=inputs, threads=threads)
        atomic_write(workspace.output / FILE, json.dumps(dict(times)))

    inputs = {"artifact": made.entry.digest, "model": source.fingerprint, "graph": graph, "threads": threads, **source.validation.key}
    try:
        entry = pipeline.run("times", f"{made.spec.name} {graph}", inputs, make)
    except InstantStyleError as error:
        pipeline.display.notice(f"{made.spec.name}: no times of its modules: {error}")
        return {}
    return json.loads((entry.folder / FILE).read_bytes())
