"""``instantstyle divergence``: where an artifact's results leave PyTorch's, operation by operation."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ..calibration.samples import make_samples
from ..export.session import cache_folder, session
from ..export.source.checked_recipe import load_recipe
from ..export.source.source import load
from ..export.stages.capture import capture, read_program
from ..export.stages.emit import configured
from ..export.stages.plan import fit
from ..export.stages.prune import prune
from ..export.stages.quantize import calibrate
from ..model.runs import graph_inputs
from ..recipe.precision import Precision
from ..system.errors import ArtifactError
from ..targets.artifact import read_manifest, verify
from ..targets.base import Divergence


def show_divergence(folder: Path, recipe_path: Path, graph: str | None, cache: Path | None, as_json: bool) -> None:
    """Prints every operation of one graph beside the captured program's, on the first pair of validation images.

    Args:
        folder: of an artifact that the recipe's release built.
        graph: its name; the graph that runs once per image by default.

    Raises:
        ArtifactError: the artifact is damaged or has no such graph.
        InstantStyleError: its target cannot look inside its artifacts.
    """
    artifact = read_manifest(folder)
    verify(artifact, folder)
    recipe = load_recipe(recipe_path)
    with session(cache_folder(recipe, cache), as_json) as pipeline:
        source = prune(pipeline, load(pipeline, recipe))
        name = graph or source.model.hot_graph
        if name not in {each.name for each in artifact.graphs}:
            raise ArtifactError(f"{folder} has no graph '{name}'; it has {', '.join(each.name for each in artifact.graphs)}")
        tuned = fit(pipeline, source) if artifact.precision is Precision.INT8 else None
        table = calibrate(pipeline, source, tuned) if artifact.precision is Precision.INT8 else None
        program = read_program(capture(pipeline, source, artifact.size, tuned, table), source.model)
        images = source.validation
        (sample,) = islice(make_samples(source.model, artifact.size, images.sets, images.settings.pairing), 1)
        (fed,) = graph_inputs(source.model, [sample])
        inputs = {key: np.ascontiguousarray(value, np.float32) for key, value in fed[name].items()}
        target = configured(recipe, artifact.target)
        rows = target.divergence(artifact, folder, program, name, inputs)
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        Console().print(_table(rows, f"{artifact.name}: {name}, {sample.name}"))


def _table(rows: Sequence[Divergence], title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("operation", "operator", "module"):
        table.add_column(column)
    for column in ("SNR dB", "max abs", "unit"):
        table.add_column(column, justify="right")
    for row in rows:
        unit = "" if row.unit == 1 else f"{row.unit:.4g}"
        table.add_row(row.operation, row.operator, row.module_path, f"{row.snr_db:.1f}", f"{row.max_abs:.4g}", unit)
    return table
