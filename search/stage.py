"""Sensitivity as a stage: cached, and resumed after the last module that was measured."""

import json
from dataclasses import asdict

from pydantic import TypeAdapter

from ..export.cache.pipeline import Pipeline
from ..export.cache.store import Workspace
from ..export.source.source import Source
from ..export.stages.prune import importance, read_scores
from ..model.graph import Size
from ..system.disk import atomic_write
from ..system.progress import ReportProgress
from .sensitivity import Sensitivity, ranked

ROWS = TypeAdapter(tuple[Sensitivity, ...])
FILE = "sensitivity.json"


def sensitivity(pipeline: Pipeline, source: Source) -> tuple[Sensitivity, ...]:
    """What every module of the whole model costs the picture, most harmful first.

    Raises:
        PruneError: a graph's channels cannot be traced.
        CaptureError: a graph cannot be captured.
    """
    recipe, images = source.recipe, source.calibration
    scored = {graph.name: importance(pipeline, source, graph.name) for graph in source.model.graphs}
    size = picture_size(source)

    def make(workspace: Workspace, report: ReportProgress) -> None:
        from .analysis import SensitivityAnalysis

        samples = images.first(source.model, size, recipe.prune.samples)
        scores = {name: read_scores(entry) for name, entry in scored.items()}
        analysis = SensitivityAnalysis(source.model, samples, size=size, quantize=recipe.quantize, prune=recipe.prune, scores=scores)
        state = workspace.state / FILE
        rows = list(ROWS.validate_json(state.read_bytes())) if state.exists() else []

        def keep(row: Sensitivity) -> None:
            rows.append(row)
            atomic_write(state, ROWS.dump_json(tuple(rows)))

        analysis.measure(tuple(rows), keep, report)
        atomic_write(workspace.output / FILE, as_json(ranked(rows)))

    key = {
        "scores": {name: entry.digest for name, entry in scored.items()},
        "size": size,
        "samples": recipe.prune.samples,
        "multiple": recipe.prune.multiple,
        "quantize": recipe.quantize.model_dump(mode="json", include={"method", "observer", "percentile"}),
        **images.key,
    }
    entry = pipeline.run("sensitivity", "", key, make)
    return ROWS.validate_json((entry.folder / FILE).read_bytes())


def picture_size(source: Source) -> Size:
    """Pictures are compared at the side that quantisation is tuned at, where that is smaller: a quarter of the work."""
    height, width = source.recipe.model.sizes[0]
    crop = source.recipe.quantize.crop
    return (crop, crop) if source.recipe.quantize.method == "qat" and crop < min(height, width) else (height, width)


def as_json(rows: tuple[Sensitivity, ...]) -> str:
    """For people and programs."""
    return json.dumps([asdict(row) for row in rows], indent=1)
