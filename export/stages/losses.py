"""The stage that finds out at which modules the int8 program leaves float: once for each size, for the report."""

from collections.abc import Sequence

from ...model.graph import Size
from ...system.disk import atomic_write
from ...system.progress import ReportProgress
from ...validation.measure.module_losses import measure_losses
from ...validation.results.module_losses import FILE, LOSSES, ModuleLosses
from ..cache.pipeline import Pipeline
from ..cache.store import Entry, Workspace
from ..source.source import Source
from .capture import read_program

SAMPLES = 2  # modules differ by orders of magnitude, samples by a few per cent


def losses(pipeline: Pipeline, source: Source, size: Size, program: Entry) -> Entry:
    """Of the int8 program at one size, over the first validation samples."""

    def make(workspace: Workspace, report: ReportProgress) -> None:
        images = source.validation
        samples = images.first(source.model, size, SAMPLES)
        found = measure_losses(source.model, read_program(program, source.model), samples, report)
        atomic_write(workspace.output / FILE, LOSSES.dump_json((ModuleLosses(size, found),)))

    inputs = {"program": program.digest, "samples": SAMPLES, **source.validation.key}
    return pipeline.run("losses", f"{size[0]}x{size[1]}", inputs, make)


def losses_file(entries: Sequence[Entry]) -> bytes:
    """The bundle's file about all sizes."""
    return LOSSES.dump_json(tuple(row for entry in entries for row in LOSSES.validate_json((entry.folder / FILE).read_bytes())), indent=1)
