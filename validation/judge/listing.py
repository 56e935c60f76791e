"""The files of a bundle against the list of them: each of them there and unaltered, and nothing besides."""

import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ...system.errors import ArtifactError
from ...targets.artifact import describe_all, verify_file
from ...targets.base import ArtifactFile
from ..results.bundle import FILE_NAME, SIGNATURE

# What lists or covers the other files, and so is not listed itself.
APART = (FILE_NAME, SIGNATURE)


def list_files(folder: Path) -> tuple[ArtifactFile, ...]:
    """Every file of a bundle but ``bundle.json`` and its signature, in the order of their paths."""
    return tuple(file for file in describe_all(folder) if file.path not in APART)


def check_files(files: Sequence[ArtifactFile], folder: Path) -> None:
    """Compares a bundle's folder with the list in its ``bundle.json``.

    Raises:
        ArtifactError: a path that leaves the folder or is there twice, an empty file, one that is missing or altered, one that is not
            listed, a link, or a folder without a listed file; names it.
    """
    check_paths(files, folder / FILE_NAME, folder)
    listed = {file.path for file in files}
    homes = {str(parent) for path in listed for parent in PurePosixPath(path).parents}
    for path, mode in _walk(folder, folder):
        if stat.S_ISLNK(mode):
            raise ArtifactError(f"{folder / path} is a link; a bundle consists of files. Copy the file there, or build the bundle again")
        if stat.S_ISDIR(mode):
            if path not in homes:
                raise ArtifactError(f"{folder / path} is a folder that {FILE_NAME} does not list; remove it, or build the bundle again")
        elif not stat.S_ISREG(mode):
            raise ArtifactError(f"{folder / path} is neither a file nor a folder; remove it, or build the bundle again")
        elif path not in listed and path not in APART:
            raise ArtifactError(f"{folder / path} is not listed in {FILE_NAME}; remove it, or build the bundle again")
    for file in files:
        verify_file(file, folder)


def check_paths(files: Sequence[ArtifactFile], where: Path | str, folder: Path) -> None:
    """Checks that files can lie side by side below a folder, on any file system.

    Args:
        where: what lists them, for messages.

    Raises:
        ArtifactError: a path that leaves the folder, is there twice where case does not count, or is of an empty file.
    """
    seen: dict[str, str] = {name: name for name in APART}
    for file in files:
        parts = file.path.split("/")
        if "\\" in file.path or ":" in file.path or not file.path.isprintable() or any(part in ("", ".", "..") for part in parts):
            raise ArtifactError(f"{where} lists the path {file.path!r}, which is not one of a file inside of {folder}")
        name = unicodedata.normalize("NFC", file.path).casefold()
        if name in seen:
            raise ArtifactError(f"{where} lists '{file.path}' twice, or the same as '{seen[name]}' where case does not count")
        seen[name] = file.path
        if file.size_bytes <= 0:
            raise ArtifactError(f"{where} lists '{file.path}' with a size of {file.size_bytes} bytes; no file of a bundle is empty")


def _walk(folder: Path, root: Path) -> Iterator[tuple[str, int]]:
    """Paths below ``root`` and what they are, in their order; links are not followed."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            mode = entry.stat(follow_symlinks=False).st_mode
            yield Path(entry.path).relative_to(root).as_posix(), mode
            if stat.S_ISDIR(mode):
                yield from _walk(Path(entry.path), root)
