"""An artifact on disk: the manifest ``artifact.json`` beside its files, and the hashes that prove them."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..capture.program import Program
from ..recipe.precision import Precision
from ..system.errors import ArtifactError
from ..system.hashing import file_sha256
from ..system.strict_json import parse
from .base import Artifact, ArtifactFile, GraphArtifact

MANIFEST = "artifact.json"
_ADAPTER = TypeAdapter(Artifact)


def describe_files(folder: Path) -> tuple[ArtifactFile, ...]:
    """Path, size and SHA-256 of every file below ``folder`` in the order of their paths, without the manifest."""
    return tuple(file for file in describe_all(folder) if file.path != MANIFEST)


def describe_all(folder: Path) -> tuple[ArtifactFile, ...]:
    """The same with the manifest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(ArtifactFile(path.relative_to(folder).as_posix(), path.stat().st_size, file_sha256(path)) for path in files)


def describe(
    target: str,
    program: Program,
    precision: Precision,
    folder: Path,
    *,
    graphs: Sequence[GraphArtifact],
    notes: tuple[str, ...],
    shipped: Callable[[str], bool] = lambda path: True,
) -> Artifact:
    """The artifact that a target has written into ``folder``.

    Args:
        shipped: whether an app carries the file of that path, relative to the folder.
    """
    files = describe_files(folder)
    shipped_bytes = sum(file.size_bytes for file in files if shipped(file.path))
    source = (program.model, program.provenance)
    return Artifact(target, precision, program.size, tuple(graphs), files, shipped_bytes, notes, *source)


def write_manifest(artifact: Artifact, folder: Path) -> None:
    """Writes ``artifact.json``, all of it or nothing."""
    temporary = folder / f".{MANIFEST}.{os.getpid()}"
    try:
        temporary.write_bytes(_ADAPTER.dump_json(artifact, indent=1))
        os.replace(temporary, folder / MANIFEST)
    finally:
        temporary.unlink(missing_ok=True)


def read_manifest(folder: Path) -> Artifact:
    """Reads ``artifact.json``.

    Raises:
        ArtifactError: it is missing, is no artifact's manifest, or lists a graph whose file it does not list.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} is missing or cannot be read ({error.strerror}); build the artifact again") from None
    content = parse(text, f"{path} is not an artifact's manifest")
    try:
        artifact = _ADAPTER.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ArtifactError(f"{path} is not an artifact's manifest: {where}: {first['msg']}; build the artifact again") from None
    unknown = _unknown(content, _ADAPTER.dump_python(artifact, mode="json"))
    if unknown:
        raise ArtifactError(f"{path} is not an artifact's manifest: unknown key '{unknown}'; build the artifact again")
    for graph in artifact.graphs:
        if not files_of(artifact, graph.file):
            raise ArtifactError(
                f"{path}: graph '{graph.name}' names the file '{graph.file}', which is not listed; build the artifact again"
            )
    return artifact


def _unknown(found: Any, known: Any) -> str:
    """The first key that is nothing in a manifest; empty if there is none."""
    if isinstance(found, dict):
        return next(filter(None, (key if key not in known else _unknown(value, known[key]) for key, value in found.items())), "")
    if isinstance(found, list):
        return next(filter(None, map(_unknown, found, known)), "")
    return ""


def files_of(artifact: Artifact, name: str) -> tuple[ArtifactFile, ...]:
    """The file of that name, or all files in the folder of that name."""
    return tuple(file for file in artifact.files if file.path == name or file.path.startswith(f"{name}/"))


def verify(artifact: Artifact, folder: Path) -> None:
    """Checks every file of an artifact against its size and hash.

    Raises:
        ArtifactError: one is missing, altered or outside the folder.
    """
    for file in artifact.files:
        verify_file(file, folder)


def verify_file(file: ArtifactFile, folder: Path) -> None:
    """Checks one file. Raises ArtifactError as ``verify`` does."""
    inside = PurePosixPath(file.path)
    if inside.is_absolute() or ".." in inside.parts:
        raise ArtifactError(f"{folder / MANIFEST} lists '{file.path}', which is outside of the artifact's folder")
    path = folder / inside
    if not path.is_file():
        raise ArtifactError(f"{path} is missing; build the artifact again")
    size_bytes = path.stat().st_size
    if size_bytes != file.size_bytes:
        raise ArtifactError(f"{path} was altered after the build: {size_bytes} bytes, not {file.size_bytes}; build the artifact again")
    if file_sha256(path) != file.sha256:
        raise ArtifactError(f"{path} was altered after the build: its SHA-256 is not the manifest's; build the artifact again")


def graph_path(artifact: Artifact, folder: Path, graph: str) -> Path:
    """The verified model file of one graph. Raises ArtifactError as ``verify`` does, KeyError if there is no such graph."""
    name = artifact.graph(graph).file
    files = files_of(artifact, name)
    if not files:
        raise ArtifactError(f"{folder / MANIFEST}: graph '{graph}' names the file '{name}', which is not listed; build the artifact again")
    for file in files:
        verify_file(file, folder)
    return folder / name
