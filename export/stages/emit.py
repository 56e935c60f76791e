"""The stage that turns captured programs into artifacts, one folder for each target, precision and size."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ...capture.program import Provenance
from ...model.graph import Size
from ...recipe.precision import Precision
from ...recipe.recipe import Recipe
from ...system.disk import OutputError, explained_disk_errors
from ...system.errors import ArtifactError, CaptureError, InstantStyleError, TargetUnavailableError
from ...system.events import ArtifactReady
from ...system.foreign import foreign_errors
from ...system.hashing import file_sha256
from ...system.progress import ReportProgress
from ...targets.artifact import describe_files, read_manifest, write_manifest
from ...targets.base import Artifact, Availability, Target
from ...targets.registry import get_target
from ..cache.fingerprint import user_sources_of
from ..cache.pipeline import Pipeline
from ..cache.store import Entry, Workspace
from ..source.source import Source
from .capture import read_program

BASELINE_TARGET = "onnx"


@dataclass(frozen=True)
class ArtifactSpec:
    """One artifact that the recipe asks for."""

    target: str
    precision: Precision
    size: Size

    @property
    def name(self) -> str:
        """The artifact's name in the bundle, as ``Artifact.name``."""
        return f"{self.target}-{self.precision}-{self.size[0]}x{self.size[1]}"


@dataclass(frozen=True)
class Emitted:
    """An artifact in the cache."""

    spec: ArtifactSpec
    artifact: Artifact
    entry: Entry

    @property
    def folder(self) -> Path:
        """The artifact's folder."""
        return self.entry.folder


@dataclass(frozen=True)
class NotEmitted:
    """An artifact that could not be made, and why. ``refused`` if the target cannot express the model, not if it is unavailable."""

    spec: ArtifactSpec
    reason: str
    refused: bool


def emit(pipeline: Pipeline, source: Source, spec: ArtifactSpec, program: Entry) -> Emitted | NotEmitted:
    """Emits ``spec`` from a captured program, int8 or float as its precision is."""
    target = configured(source.recipe, spec.target)
    available = target.availability()
    if not available.can_emit:
        pipeline.pass_over("emit", spec.name, "not available here")
        return NotEmitted(spec, why_not(available), refused=False)

    provenance = _provenance(source.recipe)

    def make(workspace: Workspace, report: ReportProgress) -> None:
        captured = replace(read_program(program, source.model), provenance=provenance)
        what = f"target '{spec.target}' cannot make {spec.name} of this model"
        with foreign_errors(CaptureError, what), explained_disk_errors(workspace.output):
            artifact = target.emit(captured, spec.precision, workspace.output)
        # Of a target that does not know where its programs come from, too.
        artifact = replace(artifact, model=captured.model, provenance=provenance)
        _check_emitted(spec, artifact, workspace.output)
        write_manifest(artifact, workspace.output)

    inputs = {
        "program": program.digest,
        "artifact": spec.name,
        "options": source.recipe.targets.options.get(spec.target, {}),
        "provenance": asdict(provenance),
        "source": foreign_source(target),
    }
    try:
        entry = pipeline.run("emit", spec.name, inputs, make)
    except TargetUnavailableError as error:
        return NotEmitted(spec, str(error), refused=False)
    except OutputError:
        raise
    except InstantStyleError as error:
        # Whatever is wrong with one target costs that target alone; the gate decides what it means for the build.
        return NotEmitted(spec, str(error), refused=True)
    artifact = read_manifest(entry.folder)
    pipeline.display.show(ArtifactReady(artifact.name, artifact.shipped_bytes))
    return Emitted(spec, artifact, entry)


def _check_emitted(spec: ArtifactSpec, artifact: Artifact, folder: Path) -> None:
    """ArtifactError if a target did not do what it says."""
    if artifact.name != spec.name:
        raise ArtifactError(f"target '{spec.target}' was asked for {spec.name} and emitted {artifact.name}: a defect of the target")
    if artifact.files != describe_files(folder):
        raise ArtifactError(f"target '{spec.target}' lists other files of {spec.name} than it wrote: a defect of the target")
    empty = next((file.path for file in artifact.files if file.size_bytes == 0), None)
    if empty is not None:
        raise ArtifactError(f"target '{spec.target}' wrote an empty file, {empty}, into {spec.name}: a defect of the target")


def configured(recipe: Recipe, name: str) -> Target:
    """A target with the recipe's options."""
    return get_target(name).configured(recipe.targets.options.get(name, {}))


def configured_targets(recipe: Recipe) -> dict[str, Target]:
    """All targets that the recipe builds."""
    return {name: configured(recipe, name) for name in recipe.targets.build}


def _provenance(recipe: Recipe) -> Provenance:
    model, checkpoint = recipe.model, recipe.model.checkpoint
    return Provenance(model.author, model.license, model.version, recipe.name, file_sha256(checkpoint) if checkpoint else "")


def why_not(availability: Availability) -> str:
    """Why a target cannot emit or run here, and what would help."""
    return f"{availability.reason}; {availability.remedy}" if availability.remedy else availability.reason


def foreign_source(target: Target) -> str:
    """Hash of the code of a target from another package; the product's own counts for every ``emit`` anyway."""
    module = type(target).__module__
    return "" if module.partition(".")[0] == __name__.partition(".")[0] else user_sources_of(module)
