"""The stage that asks every target whether it will like the model, before anything is trained."""

from pydantic import TypeAdapter

from ...model.graph import Size
from ...recipe.precision import Precision
from ...system.disk import OutputError, atomic_write, explained_disk_errors
from ...system.errors import CaptureError, InstantStyleError
from ...system.foreign import foreign_errors
from ...system.progress import ReportProgress
from ...targets.base import Finding, Target
from ..cache.pipeline import Pipeline
from ..cache.store import Workspace
from ..source.source import Source
from .capture import capture, read_program
from .emit import configured_targets, foreign_source

FILE = "findings.json"
_FINDINGS = TypeAdapter(tuple[Finding, ...])


def preflight(pipeline: Pipeline, source: Source) -> None:
    """Shows what targets have against the model at each size, and which required ones cannot be emitted here at all.

    Raises:
        CaptureError: a required target will not be able to emit; lists all that is in its way, by module path.
    """
    targets, asked = source.recipe.targets, []
    for name, target in configured_targets(source.recipe).items():
        precisions = tuple(map(Precision, targets.build[name]))
        # A precision that nobody requires must not stop the others.
        required = tuple(each for each in precisions if {name, f"{name}-{each}"} & set(targets.required))
        availability = target.availability()
        if not availability.can_emit and required:
            way_out = f"; to get it: {availability.remedy}" if availability.remedy else ""
            pipeline.display.notice(
                f"{name} is required and cannot be emitted here, so this release will not pass: {availability.reason}{way_out}"
            )
        if type(target).preflight is not Target.preflight and availability.can_emit:
            asked.append((name, target, required, tuple(each for each in precisions if each not in required)))
    for name, target, required, rest in asked:
        for size in source.recipe.model.sizes:
            found = _ask(pipeline, source, target, required, size) if required else ()
            if found:
                listed = "\n".join(f"  {finding}" for finding in found)
                raise CaptureError(f"target '{name}' will refuse this model, so nothing was trained:\n{listed}")
            for finding in _ask(pipeline, source, target, rest, size) if rest else ():
                pipeline.display.notice(f"{name}, which is not required, will refuse this model: {finding}")


def _ask(pipeline: Pipeline, source: Source, target: Target, precisions: tuple[Precision, ...], size: Size) -> tuple[Finding, ...]:
    program = capture(pipeline, source, size, None, None)

    def make(workspace: Workspace, report: ReportProgress) -> None:
        captured = read_program(program, source.model)
        with foreign_errors(CaptureError, f"target '{target.name}' cannot look at this model"), explained_disk_errors(workspace.output):
            found = target.preflight(captured, precisions)
        atomic_write(workspace.output / FILE, _FINDINGS.dump_json(found, indent=1))

    inputs = {
        "program": program.digest,
        "target": target.name,
        "precisions": precisions,
        "options": source.recipe.targets.options.get(target.name, {}),
        "source": foreign_source(target),
    }
    try:
        entry = pipeline.run("preflight", f"{target.name} {size[0]}x{size[1]}", inputs, make)
    except OutputError:
        raise
    except InstantStyleError as error:
        return (Finding(f"target '{target.name}'", str(error), "see build.log in the cache, or take the target out of the recipe"),)
    return _FINDINGS.validate_json((entry.folder / FILE).read_bytes())
