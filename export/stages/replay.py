"""The stage that runs golden pairs once through every artifact that runs here."""

import platform
from dataclasses import asdict

import numpy as np

from ...system.disk import atomic_write
from ...system.errors import ExecutionError, TargetUnavailableError
from ...system.host import cpu_name
from ...system.progress import ReportProgress
from ...system.versions import TARGET_LIBRARIES, library_versions
from ...validation.golden.chain import outputs
from ...validation.golden.pairs import read_golden
from ...validation.golden.pictures import png, to_levels
from ...validation.golden.replay import Replay, Runtime, replay, worst
from ...validation.measure.built import Built
from ...validation.results.codec import encode
from ..cache.pipeline import Pipeline
from ..cache.store import Entry, Workspace
from ..source.source import Source
from .emit import Emitted, configured, foreign_source

REPLAY, PICTURE = "replay.json", "worst.png"


def replayed(pipeline: Pipeline, source: Source, emitted: Emitted, pairs: Entry) -> Entry | None:
    """The golden pairs through an artifact on this machine; None if it does not run here."""
    target = configured(source.recipe, emitted.spec.target)
    available = target.availability()
    if not available.can_run:
        pipeline.pass_over("replay", emitted.spec.name, "cannot run here")
        return None

    def make(workspace: Workspace, report: ReportProgress) -> None:
        built = Built(emitted.artifact, emitted.folder, target).on(target.units()[0])
        found = read_golden(pairs.folder)
        windows: dict[str, np.ndarray] = {}
        result = Replay(emitted.spec.name, runtime(), ())
        if found.pairs:
            result = replay(found, pairs.folder, built, result.runtime, lambda each, window: windows.update({each.pair: window}))
        lowest = worst(result)
        if lowest is not None and np.isfinite(windows[lowest.pair]).all():
            spec = outputs(emitted.artifact.graphs)[found.output]
            atomic_write(workspace.output / PICTURE, png(to_levels(spec, windows[lowest.pair])))
        atomic_write(workspace.output / REPLAY, encode(result))

    inputs = {
        "golden": pairs.digest,
        "artifact": emitted.entry.digest,
        "options": source.recipe.targets.options.get(emitted.spec.target, {}),
        "source": foreign_source(target),
        "availability": asdict(available),
    }
    try:
        return pipeline.run("replay", emitted.spec.name, inputs, make)
    except (ExecutionError, TargetUnavailableError) as error:
        pipeline.display.notice(f"{emitted.spec.name}: no golden pair is recorded: {error}")
        return None


def runtime() -> Runtime:
    """What the bits of an output depend on here."""
    libraries = tuple(sorted(library_versions(TARGET_LIBRARIES).items()))
    return Runtime(cpu_name(), f"{platform.system()} {platform.machine()}", libraries)
