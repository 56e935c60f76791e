"""The stage that finds out how much of float16's range the float program needs: once for each size."""

from collections.abc import Callable, Sequence

from pydantic import TypeAdapter

from ...model.graph import Sample, Size
from ...recipe.precision import Precision
from ...system.disk import atomic_write
from ...system.progress import ReportProgress
from ...targets.base import Target
from ...validation.measure.magnitudes import measure_magnitudes
from ...validation.results.half_range import HalfRange, Magnitude
from ..cache.pipeline import Pipeline
from ..cache.store import Workspace
from ..source.source import Source
from .capture import capture, read_program

FILE = "magnitudes.json"
_MAGNITUDES = TypeAdapter(tuple[Magnitude, ...])


def half_range(
    pipeline: Pipeline, source: Source, *, size: Size, samples: Callable[[], Sequence[Sample]], target: Target, precision: Precision
) -> HalfRange | None:
    """Of an artifact of ``target``; None if it computes nothing in float16.

    Args:
        samples: gives the ordinary validation samples at that size.
    """
    if not target.computes_half(precision):
        return None
    program = capture(pipeline, source, size, None, None)

    def make(workspace: Workspace, report: ReportProgress) -> None:
        found = measure_magnitudes(source.model, read_program(program, source.model), samples(), report)
        atomic_write(workspace.output / FILE, _MAGNITUDES.dump_json(found, indent=1))

    entry = pipeline.run("headroom", f"{size[0]}x{size[1]}", {"program": program.digest, **source.validation.key}, make)
    return HalfRange.of(_MAGNITUDES.validate_json((entry.folder / FILE).read_bytes()), target.float32_operators)
