"""``instantstyle divergence``: which modules an artifact loses quality and time by, and what would help most."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..capture.program import Program
from ..export.cache.store import Entry, content_digest
from ..export.session import cache_folder, session
from ..export.source.checked_recipe import load_recipe
from ..export.source.source import load
from ..export.stages.blame import blame_graph, graph_arrays, samples_at
from ..export.stages.capture import capture, read_program
from ..export.stages.emit import ArtifactSpec, Emitted, configured
from ..export.stages.plan import fit
from ..export.stages.prune import prune
from ..export.stages.quantize import calibrate
from ..recipe.precision import Precision
from ..system.errors import ArtifactError
from ..targets.artifact import read_manifest, verify
from ..targets.base import Divergence, Target
from ..validation.report.blame import blame_cells
from ..validation.results.blame import Blame


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
        target = configured(recipe, artifact.target)
        operations: tuple[Divergence, ...] = ()
        sample = samples_at(source, artifact.size)[0]
        if not int8 or type(target).divergence is not Target.divergence:
            program: Program = read_program(capture(pipeline, source, artifact.size, tuned, table), source.model)
            operations = target.divergence(artifact, folder, program, name, graph_arrays(source.model, sample, name))
        found = None
        if table is not None:
            spec = ArtifactSpec(artifact.target, artifact.precision, artifact.size)
            made = Emitted(spec, artifact, Entry("emit", content_digest(folder), folder))
            found = blame_graph(pipeline, source, made, name, tuned=tuned, table=table)
    if as_json:
        rows = [asdict(row) for row in found.modules] if found else []
        advice = found.advice if found else ()
        print(json.dumps({"operations": [asdict(row) for row in operations], "modules": rows, "advice": advice}))
        return
    console = Console()
    if operations:
        console.print(_operations(operations, f"{artifact.name}: {name}, {sample.name}"))
    if found is not None:
        title = f"{artifact.name}: {name}, {found.samples} samples, SSIM {found.ssim_mean:.4f}, worst {found.ssim_worst:.4f}"
        console.print(_modules(found.modules, title))
        for sentence in found.advice or ("no module alone would help",):
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _modules(rows: Sequence[Blame], title: str) -> Table:
    caption = "SSIM gained if the module alone stays in float (PyTorch); ms of it and what follows up to the next layer"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("module")
    for column in ("SSIM gained", "int8 ms", "float ms", "bytes more"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row.module_path, *blame_cells(row))
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
