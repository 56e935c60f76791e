"""The stage that runs golden pairs once through every artifact that runs here."""

import platform
from dataclasses import asdict

from ..model.errors import ExecutionError, TargetUnavailableError
from ..validation.built import Built
from ..validation.codec import encode
from ..validation.golden.pairs import read_golden
from ..validation.golden.replay import Replay, Runtime, replay
from .dependencies import TARGET_LIBRARIES
from .disk import atomic_write
from .doctor import cpu_name
from .emission import Emitted, configured, foreign_source
from .fingerprint import library_versions
from .pipeline import Pipeline
from .progress import Report
from .stages import Source
from .store import Entry, Workspace

REPLAY = "replay.json"


def replayed(pipeline: Pipeline, source: Source, emitted: Emitted, pairs: Entry) -> Entry | None:
    """The golden pairs through an artifact on this machine; None if it does not run here."""
    target = configured(source.recipe, emitted.job.target)
    available = target.availability()
    if not available.can_run:
        pipeline.pass_over("replay", emitted.job.name, "cannot run here")
        return None

    def make(workspace: Workspace, report: Report) -> None:
        built = Built(emitted.artifact, emitted.folder, target).on(target.units()[0])
        found = read_golden(pairs.folder)
        result = replay(found, pairs.folder, built, runtime()) if found.pairs else Replay(emitted.job.name, runtime(), ())
        atomic_write(workspace.output / REPLAY, encode(result))

    inputs = {
        "golden": pairs.digest,
        "artifact": emitted.entry.digest,
        "options": source.recipe.targets.options.get(emitted.job.target, {}),
        "source": foreign_source(target),
        "availability": asdict(available),
    }
    try:
        return pipeline.run("replay", emitted.job.name, inputs, make)
    except (ExecutionError, TargetUnavailableError) as error:
        pipeline.display.notice(f"{emitted.job.name}: no golden pair is recorded: {error}")
        return None


def runtime() -> Runtime:
    """What the bits of an output depend on here."""
    libraries = tuple(sorted(library_versions(TARGET_LIBRARIES).items()))
    return Runtime(cpu_name(), f"{platform.system()} {platform.machine()}", libraries)
