"""The stage that asks every target whether it will like the model, before anything is trained."""

from pydantic import TypeAdapter

from ..model.errors import CaptureError
from ..model.graph import Size
from ..targets.base import Finding, Precision, Target
from .disk import atomic_write
from .emission import configured_targets, foreign_source
from .pipeline import Pipeline
from .progress import Report
from .stages import Source, capture, read_program
from .store import Workspace

FILE = "findings.json"
_FINDINGS = TypeAdapter(tuple[Finding, ...])


def preflight(pipeline: Pipeline, source: Source) -> None:
    """Shows what targets have against the model at each size.

    Raises:
        CaptureError: a required target will not be able to emit; lists all that is in its way, by module path.
    """
    targets = source.recipe.targets
    for name, target in configured_targets(source.recipe).items():
        precisions = targets.build[name]
        if type(target).preflight is Target.preflight or not target.availability().can_emit:
            continue
        for size in source.recipe.model.sizes:
            found = _ask(pipeline, source, target, tuple(map(Precision, precisions)), size)
            if found and any(targets.named(required)[0] == name for required in targets.required):
                listed = "\n".join(f"  {finding}" for finding in found)
                raise CaptureError(f"target '{name}' will refuse this model, so nothing was trained:\n{listed}")
            for finding in found:
                pipeline.display.notice(f"{name}, which is not required, will refuse this model: {finding}")


def _ask(pipeline: Pipeline, source: Source, target: Target, precisions: tuple[Precision, ...], size: Size) -> tuple[Finding, ...]:
    program = capture(pipeline, source, size, None, None)

    def make(workspace: Workspace, report: Report) -> None:
        found = target.preflight(read_program(program, source.model), precisions)
        atomic_write(workspace.output / FILE, _FINDINGS.dump_json(found, indent=1))

    inputs = {
        "program": program.digest,
        "target": target.name,
        "precisions": precisions,
        "options": source.recipe.targets.options.get(target.name, {}),
        "source": foreign_source(target),
    }
    entry = pipeline.run("preflight", f"{target.name} {size[0]}x{size[1]}", inputs, make)
    return _FINDINGS.validate_json((entry.folder / FILE).read_bytes())
