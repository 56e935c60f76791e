"""The stage that plans quantisation, see ``compression/quantization/plan``."""

import json
from typing import TYPE_CHECKING

from ...compression.quantization.graph_tensors import write_graph_tensors
from ...model.graph import Sample, Size
from ...recipe.limits import Limits
from ...recipe.precision import Precision
from ...recipe.recipe import QuantizeSettings, Recipe
from ...system.disk import atomic_write
from ...system.progress import ReportProgress
from ..cache.pipeline import Pipeline
from ..cache.store import Entry, Workspace
from ..source.source import Source
from .quantize import WEIGHTS, quantization_key, read_plan, tune, tuned_weights

if TYPE_CHECKING:
    from ...compression.quantization.plan.task import Wanted

STATE = "scores.json"
# Ranges and grids are fitted on this many calibration samples, plans compared on others.
FITTED, JUDGED = 8, 4


def fit(pipeline: Pipeline, source: Source) -> Entry | None:
    """Weights as they are quantised, with the plan: after training and planning; None if the recipe asks for neither."""
    return plan(pipeline, source, tune(pipeline, source))


def plan(pipeline: Pipeline, source: Source, tuned: Entry | None) -> Entry | None:
    """The plan with its weights; ``tuned`` itself if the recipe wants none."""
    recipe = source.recipe
    if not wants_plan(recipe.quantize):
        pipeline.pass_over("plan", "", "off")
        return tuned
    limits = [limits.model_dump(mode="json", include=set(_WANTED)) for limits in _limits(recipe)]

    def make(workspace: Workspace, report: ReportProgress) -> None:
        from ...compression.quantization.plan.make import make_plan
        from ...compression.quantization.plan.task import Task

        state = workspace.state / STATE
        known = {name: (mean, worst) for name, (mean, worst) in json.loads(state.read_text()).items()} if state.exists() else {}
        size, full = _size(source), recipe.model.sizes[0]
        fitted, judged = _samples(source, size)
        task = Task(
            model=source.model,
            reference=source.reference,
            size=size,
            fitted=fitted,
            judged=judged,
            full_size=full,
            full=fitted if full == size else _samples(source, full)[0],
            tuned=tuned_weights(tuned),
            learnt=read_plan(source, tuned).learnt,
            settings=recipe.quantize,
            wanted=_wanted(recipe),
        )
        made, weights = make_plan(task, known, lambda: atomic_write(state, json.dumps(known)), report)
        made.save(workspace.output)
        write_graph_tensors(weights, workspace.output / WEIGHTS)

    inputs = {
        "model": source.fingerprint,
        "reference": source.reference_fingerprint,
        "tuned": tuned.digest if tuned else None,
        "limits": limits,
        **quantization_key(source),
    }
    return pipeline.run("plan", "", inputs, make)


def wants_plan(settings: QuantizeSettings) -> bool:
    """Whether there is a plan to make: the ranges of a table of one's own would not fit it."""
    return settings.plan == "auto" and settings.method != "off" and settings.calibration_table is None


_WANTED = ("min_ssim_mean", "min_ssim_worst", "min_over_ort_float", "max_bytes")


def _limits(recipe: Recipe) -> list[Limits]:
    """Of every int8 artifact that has to pass."""
    named = (recipe.targets.named(name) for name in recipe.targets.required)
    return [recipe.limits_for(target, Precision.INT8) for target, precisions in named if Precision.INT8 in precisions]


def _wanted(recipe: Recipe) -> "Wanted":
    """The strictest of each limit."""
    from ...compression.quantization.plan.task import Wanted

    given = {name: [value for limits in _limits(recipe) if (value := getattr(limits, name)) is not None] for name in _WANTED}
    speeds, sizes = given["min_over_ort_float"], given["max_bytes"]
    return Wanted(
        ssim_mean=max(given["min_ssim_mean"], default=None),
        ssim_worst=max(given["min_ssim_worst"], default=None),
        time_share=1 / max(speeds) if speeds else None,
        weight_bytes=min(sizes) if sizes else None,
    )


def _samples(source: Source, size: Size) -> tuple[list[Sample], list[Sample]]:
    """Calibration samples to fit on, and others to compare plans on; the same where there is only one."""
    images = source.calibration
    drawn = images.first(source.model, size, FITTED + JUDGED)
    judged = range(2, len(drawn), 3)[:JUDGED]
    if not judged:
        return drawn, drawn
    return [sample for index, sample in enumerate(drawn) if index not in judged], [drawn[index] for index in judged]


def _size(source: Source) -> Size:
    """Plans are compared at the side that weights are tuned at, where that is smaller: a quarter of the work."""
    height, width = source.recipe.model.sizes[0]
    crop = source.recipe.quantize.crop
    return (crop, crop) if source.recipe.quantize.method == "qat" and crop < min(height, width) else (height, width)
