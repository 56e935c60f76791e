"""What an app needs of a bundle: for each artifact that passed, the files of its folder after a pull."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..export.app.files import APP, STYLES, code_of
from ..targets.artifact import files_of, read_manifest
from ..targets.base import Artifact, ArtifactFile
from ..validation.golden.pairs import home
from ..validation.judge.levels import enough, names, reaches
from ..validation.results.bundle import Bundle, BundleArtifact
from .index import Package, PackageFile, Part

SOURCE_SUFFIXES = (".kt", ".swift")  # the code of an artifact that an app compiles


def packages(bundle: Bundle, folder: Path) -> tuple[Package, ...]:
    """Of every artifact that may be used: the level that it reached suffices for it. A target's chosen artifact is its only one."""
    left_out = _not_chosen(bundle)
    usable = [artifact for artifact in bundle.artifacts if _passed(bundle, artifact) and artifact.name not in left_out]
    return tuple(Package(artifact.target, artifact.name, tuple(_files(bundle, artifact, folder))) for artifact in usable)


def _passed(bundle: Bundle, artifact: BundleArtifact) -> bool:
    return reaches(artifact.status, enough(names(artifact), bundle.levels))


def _not_chosen(bundle: Bundle) -> set[str]:
    chosen = {choice.artifact for choice in bundle.choices}
    places = {(choice.target, choice.size) for choice in bundle.choices}
    return {artifact.name for artifact in bundle.artifacts if (artifact.target, artifact.size) in places and artifact.name not in chosen}


def _files(bundle: Bundle, entry: BundleArtifact, folder: Path) -> Iterator[PackageFile]:
    artifact = read_manifest(folder / entry.folder)
    for file in _carried(artifact):
        part = "code" if PurePosixPath(file.path).suffix in SOURCE_SUFFIXES else "model"
        yield PackageFile(file.path, file.size_bytes, file.sha256, part)
    for file in bundle.files:
        for source, place, part in _places(entry):
            if file.path.startswith(source):
                yield PackageFile(f"{place}{file.path.removeprefix(source)}", file.size_bytes, file.sha256, part)


def _places(entry: BundleArtifact) -> Iterator[tuple[str, str, Part]]:
    """Folders and files of the bundle that an artifact's app gets, and where they go."""
    yield f"{APP}/{entry.name}/", "", "app"
    yield f"{STYLES}/", "styles/", "app"
    yield f"{home(entry.size)}/", "golden/", "golden"
    for path in code_of(entry.target):
        yield path, PurePosixPath(path).name, "code"


def _carried(artifact: Artifact) -> Iterator[ArtifactFile]:
    """The model files, and the code beside them; not the reports."""
    models = {file.path: file for graph in artifact.graphs for file in files_of(artifact, graph.file)}
    yield from models.values()
    yield from (file for file in artifact.files if file.path not in models and PurePosixPath(file.path).suffix in SOURCE_SUFFIXES)
