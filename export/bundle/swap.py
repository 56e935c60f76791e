"""Replaces a dist folder as a whole: it is the old one or the new one, never a mixture and never half."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...system.disk import OutputError, check_writable, existing_parent, explained_disk_errors, sync_folder, sync_tree
from ...validation.results.bundle import FILE_NAME, RECIPE, SIGNATURE, TABLE

MANIFEST, SUMMARY, JUNIT = "artifact.json", "summary.md", "junit.xml"
# What file managers leave in every folder that they show.
JUNK = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
REMEDY = "choose another folder with --out"


def check_replaceable(dist: Path, *kept: Path) -> None:
    """Refuses, before any work is done, a dist folder that could not or should not be replaced.

    Args:
        kept: folders that must not lie in it, because they would go with it.

    Raises:
        OutputError: not a folder, read-only, or a folder with other content than a bundle.
    """
    dist = dist.absolute()
    if dist.exists() and not dist.is_dir():
        raise OutputError(f"{dist}: is a file, not a folder. C{REMEDY[1:]}")
    for folder in dict.fromkeys((existing_parent(dist), existing_parent(dist.parent))):
        check_writable(folder, dist, REMEDY)
    for folder in kept:
        if folder.resolve().is_relative_to(dist.resolve()):
            raise OutputError(f"{dist}: is replaced as a whole, and {folder} in it would be lost. C{REMEDY[1:]}")
    _check_ours(dist)


def _check_ours(dist: Path) -> None:
    """Refuses a folder that holds anything that no bundle of ours lists. OutputError names it."""
    if not dist.is_dir():
        return
    found = {path.relative_to(dist).as_posix() for path in dist.rglob("*") if path.is_symlink() or not path.is_dir()}
    found = {name for name in found if name.rpartition("/")[2] not in JUNK}
    if found and FILE_NAME not in found:
        raise OutputError(f"{dist}: is not empty and holds no {FILE_NAME}, so it is not replaced. C{REMEDY[1:]}")
    strangers = sorted(found - _listed(dist / FILE_NAME)) if found else []
    if strangers:
        more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        raise OutputError(f"{dist}: holds {strangers[0]}{more}, which is not of its bundle, so it is not replaced. Move that, or {REMEDY}")


def _listed(mark: Path) -> set[str]:
    """The files of a bundle, of any version of it.

    Raises:
        OutputError: it is not a bundle's.
    """
    try:
        bundle = json.loads(mark.read_bytes())
        own = {f"{part['folder']}/{file['path']}" for part in bundle["artifacts"] for file in part["files"]}
        manifests = {f"{part['folder']}/{MANIFEST}" for part in bundle["artifacts"]}
        own |= {file["path"] for file in bundle.get("files", ())}
        str(bundle["recipe"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(f"{mark.parent}: its {FILE_NAME} is none that release wrote, so it is not replaced. C{REMEDY[1:]}") from None
    return own | manifests | {FILE_NAME, RECIPE, TABLE, SUMMARY, JUNIT, SIGNATURE, "report.html"}


def restore(dist: Path) -> None:
    """Puts back or removes what a build killed during the swap left beside ``dist``. The caller holds the folder's lock."""
    previous = _previous(dist)
    if previous.exists() and not dist.exists():
        os.rename(previous, dist)
    for leftover in (previous, *dist.parent.glob(f".{dist.name}.new-*")):
        if leftover.exists():
            shutil.rmtree(leftover)


@contextmanager
def replacing(dist: Path) -> Iterator[Path]:
    """An empty folder to fill, which then becomes ``dist``; if the block raises, ``dist`` stays as it was.

    Raises:
        OutputError: the disk is full or read-only, or a stranger's file came into ``dist``.
    """
    dist = dist.absolute()
    dist.parent.mkdir(parents=True, exist_ok=True)
    new = dist.with_name(f".{dist.name}.new-{os.getpid()}")
    new.mkdir()
    try:
        with explained_disk_errors(new):
            yield new
            sync_tree(new)
            if dist.exists():
                _check_ours(dist)  # again: the work took a while
                os.rename(dist, _previous(dist))
            os.rename(new, dist)
            sync_folder(dist.parent)
    finally:
        restore(dist)


def _previous(dist: Path) -> Path:
    return dist.with_name(f".{dist.name}.previous")
