"""The stages of quantisation: training with fake quantisers, and the calibration table."""

from pathlib import Path

from torch import Tensor

from ...calibration.samples import count_samples
from ...calibration.table import CalibrationTable
from ...compression.quantization.graph_tensors import read_graph_tensors, write_graph_tensors
from ...compression.quantization.plan.plan import Plan
from ...system.hashing import file_sha256
from ...system.progress import ReportProgress
from ..cache.pipeline import Pipeline
from ..cache.store import Entry, Workspace
from ..source.source import Source

WEIGHTS, TABLE = "weights.safetensors", "calibration.json"


def tune(pipeline: Pipeline, source: Source) -> Entry | None:
    """Weights after quantisation-aware training, or None if the recipe asks for none."""
    settings = source.recipe.quantize
    if settings.method != "qat":
        pipeline.pass_over("qat", "", "off")
        return None

    def make(workspace: Workspace, report: ReportProgress) -> None:
        from ...compression.quantization.qat import tune as train

        model, images, side = source.model, source.calibration, settings.crop
        samples = list(images.samples(model, (side, side)))
        state = workspace.state / "qat.pt"
        ranges, tuned = train(model, source.reference, samples=samples, settings=settings, state_file=state, report=report)
        ranges.save(workspace.output)
        write_graph_tensors(tuned, workspace.output / WEIGHTS)

    inputs = {"model": source.fingerprint, "reference": source.reference_fingerprint, **quantization_key(source)}
    return pipeline.run("qat", "", inputs, make)


def calibrate(pipeline: Pipeline, source: Source, tuned: Entry | None) -> Entry:
    """The calibration table, measured or taken from the recipe's file. ``tuned``: weights, perhaps with a plan."""
    settings = source.recipe.quantize
    table = settings.calibration_table

    def make(workspace: Workspace, report: ReportProgress) -> None:
        if table is not None:
            CalibrationTable.load(table).save(workspace.output / TABLE)
            return
        from ...compression.quantization.ranges import calibrate as measure

        model, size, images = source.model, source.recipe.model.sizes[0], source.calibration
        samples = images.samples(model, size)
        total = count_samples(model, images.sets, images.settings.pairing)
        hashes = "+".join(images_set.sha256 for images_set in images.sets)
        measured = measure(
            model,
            samples,
            total=total,
            size=size,
            tuned=tuned_weights(tuned),
            settings=settings,
            image_set_sha256=hashes,
            report=report,
            plan=read_plan(source, tuned),
        )
        measured.save(workspace.output / TABLE)

    inputs = {"model": source.fingerprint, "tuned": tuned.digest if tuned else None, **quantization_key(source)}
    return pipeline.run("calibrate", "", inputs, make)


def table_path(entry: Entry) -> Path:
    """Where ``calibrate`` stored the table."""
    return entry.folder / TABLE


def tuned_weights(tuned: Entry | None) -> dict[str, dict[str, Tensor]]:
    """Tuned weights by graph and name; empty without tuning."""
    return read_graph_tensors(tuned.folder / WEIGHTS) if tuned else {}


def read_plan(source: Source, tuned: Entry | None) -> Plan:
    """The plan beside tuned weights; without them one of the ranges that the model's own weights were trained with, if they were."""
    return Plan.load(tuned.folder) if tuned else Plan(learnt=source.learnt)


def quantization_key(source: Source) -> dict[str, object]:
    """What every stage of quantisation depends on."""
    settings = source.recipe.quantize
    table = settings.calibration_table
    return {
        "settings": settings.model_dump(mode="json", exclude={"minimum_images", "calibration_table", "fallback"}),
        "table_file": file_sha256(table) if table else None,
        "calibration_size": source.recipe.model.sizes[0],
        **source.calibration.key,
    }
