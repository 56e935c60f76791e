"""``instantstyle divergence``: which modules an artifact loses quality and time by, and what would help most."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ..calibration.samples import make_samples
from ..calibration.table import CalibrationTable
from ..capture.program import Program
from ..export.cache.pipeline import Pipeline
from ..export.cache.store import Entry
from ..export.session import cache_folder, session
from ..export.source.checked_recipe import load_recipe
from ..export.source.source import Source, load
from ..export.stages.capture import capture, read_program
from ..export.stages.emit import BASELINE_TARGET, ArtifactSpec, Emitted, configured, emit
from ..export.stages.plan import fit
from ..export.stages.prune import prune
from ..export.stages.quantize import calibrate, read_plan, table_path, tuned_weights
from ..model.graph import Arrays, Sample
from ..model.runs import graph_inputs
from ..recipe.precision import Precision
from ..system.errors import ArtifactError, InstantStyleError
from ..targets.artifact import read_manifest, verify
from ..targets.base import Artifact, Divergence, Target
from ..validation.measure.blame import Blame, Losses, advice, blame, with_times

SAMPLES = 4
NOTHING = "-"


def show_divergence(folder: Path, recipe_path: Path, graph: str | None, cache: Path | None, as_json: bool) -> None:
    """Prints what a graph of an artifact loses, module by module, and operation by operation where its target can look inside.

    Args:
        folder: of an artifact that the recipe's release built.
        graph: its name; the graph that runs once per image by default.

    Raises:
        ArtifactError: the artifact is damaged or has no such graph.
        InstantStyleError: nothing can be said of the artifact: it is no int8, and its target cannot look inside.
    """
    artifact = read_manifest(folder)
    verify(artifact, folder)
    recipe = load_recipe(recipe_path)
    with session(cache_folder(recipe, cache), as_json) as pipeline:
        source = prune(pipeline, load(pipeline, recipe))
        name = graph or source.model.hot_graph
        if name not in {each.name for each in artifact.graphs}:
            raise ArtifactError(f"{folder} has no graph '{name}'; it has {', '.join(each.name for each in artifact.graphs)}")
        int8 = artifact.precision is Precision.INT8
        tuned = fit(pipeline, source) if int8 else None
        table = calibrate(pipeline, source, tuned) if int8 else None
        images = source.validation
        samples = list(islice(make_samples(source.model, artifact.size, images.sets, images.settings.pairing), SAMPLES))
        fed = next(iter(graph_inputs(source.model, samples[:1])))
        inputs = {key: np.ascontiguousarray(value, np.float32) for key, value in fed[name].items()}
        target = configured(recipe, artifact.target)
        operations: tuple[Divergence, ...] = ()
        if not int8 or type(target).divergence is not Target.divergence:
            program: Program = read_program(capture(pipeline, source, artifact.size, tuned, table), source.model)
            operations = target.divergence(artifact, folder, program, name, inputs)
        losses, rows = None, ()
        if table is not None:
            losses = _losses(pipeline, source, artifact, name, samples, tuned, table)
            rows = with_times(losses, *_times(pipeline, source, target, artifact, folder, name, inputs))
    said = advice(rows, name)
    if as_json:
        print(json.dumps({"operations": [asdict(row) for row in operations], "modules": [asdict(row) for row in rows], "advice": said}))
        return
    console = Console()
    if operations:
        console.print(_operations(operations, f"{artifact.name}: {name}, {samples[0].name}"))
    if losses is not None:
        title = f"{artifact.name}: {name}, {len(samples)} samples, SSIM {losses.ssim_mean:.4f}, worst {losses.ssim_worst:.4f}"
        console.print(_modules(rows, title))
        console.print(said or "no module alone would help", highlight=False, markup=False, soft_wrap=True)


def _losses(
    pipeline: Pipeline, source: Source, artifact: Artifact, name: str, samples: Sequence[Sample], tuned: Entry | None, table: Entry
) -> Losses:
    """Of one graph, by fake quantisation with the ranges and weights of the artifact."""
    from ..compression.quantization.quantize import load_weights, prepare, refresh_weight_ranges
    from ..compression.quantization.ranges import set_activation_ranges

    graph, settings = source.model.graph(name), source.recipe.quantize
    with pipeline.display.stage("blame", name) as stage:
        plan = read_plan(tuned)
        prepared = prepare(graph, artifact.size, plan.applied(settings), factors=plan.factors.get(name, {}))
        weights = tuned_weights(tuned)
        if name in weights:
            load_weights(prepared, weights[name])
        ranges = CalibrationTable.load(table_path(table)).entries
        set_activation_ranges(prepared, {entry.tensor: entry for entry in ranges if entry.graph == name})
        refresh_weight_ranges(prepared)
        return blame(source.model, graph, prepared, samples, stage)


def _times(
    pipeline: Pipeline, source: Source, target: Target, artifact: Artifact, folder: Path, name: str, inputs: Arrays
) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds by module of the artifact, and of the float graph in ONNX Runtime; empty where a runtime does not tell."""
    threads = source.recipe.latency.threads
    if not target.availability().can_run:
        return {}, {}
    own = dict(target.module_times(artifact, folder, name, inputs=inputs, threads=threads))
    spec = ArtifactSpec(BASELINE_TARGET, Precision.FLOAT32, artifact.size)
    made = emit(pipeline, source, spec, capture(pipeline, source, artifact.size, None, None)) if own else None
    if not isinstance(made, Emitted):
        return own, {}
    try:
        baseline = configured(source.recipe, BASELINE_TARGET)
        return own, dict(baseline.module_times(made.artifact, made.folder, name, inputs=inputs, threads=threads))
    except InstantStyleError as error:
        pipeline.display.notice(f"{made.spec.name}: no times: {error}")
        return own, {}


def _modules(rows: Sequence[Blame], title: str) -> Table:
    caption = "SSIM gained if the module alone stays in float (PyTorch); ms of it and what follows up to the next layer"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("module")
    for column in ("SSIM gained", "int8 ms", "float ms", "bytes more"):
        table.add_column(column, justify="right")
    for row in rows:
        times = (NOTHING if each is None else f"{each:.2f}" for each in (row.int8_ms, row.float_ms))
        table.add_row(row.module_path, f"{row.ssim_gained:+.4f}", *times, f"{row.more_bytes:,}")
    return table


def _operations(rows: Sequence[Divergence], title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("operation", "operator", "module"):
        table.add_column(column)
    for column in ("SNR dB", "max abs", "unit"):
        table.add_column(column, justify="right")
    for row in rows:
        unit = "" if row.unit == 1 else f"{row.unit:.4g}"
        table.add_row(row.operation, row.operator, row.module_path, f"{row.snr_db:.1f}", f"{row.max_abs:.4g}", unit)
    return table
