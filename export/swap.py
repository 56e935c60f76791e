"""Replaces a dist folder as a whole: it is the old one or the new one, never a mixture and never half."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .disk import OutputError, existing_parent, explained_disk_errors, sync_folder, sync_tree

MARK = "bundle.json"


def check_replaceable(dist: Path) -> None:
    """Refuses, before any work is done, a dist folder that could not or should not be replaced.

    Raises:
        OutputError: not a folder, read-only, or a folder with other content than a bundle.
    """
    dist = dist.absolute()
    if dist.exists() and not dist.is_dir():
        raise OutputError(f"{dist}: is a file, not a folder. Choose another folder with --out")
    for folder in {existing_parent(dist), existing_parent(dist.parent)}:
        # Root may write anywhere; the permission bits still say what is meant.
        if not os.access(folder, os.W_OK) or not folder.stat().st_mode & 0o222:
            remedy = "Make it writable, or choose another folder with --out"
            raise OutputError(f"{folder}: is read-only, {dist.name} cannot be written. {remedy}")
    if dist.is_dir() and any(dist.iterdir()) and not (dist / MARK).is_file():
        raise OutputError(f"{dist}: is not empty and holds no {MARK}, so it is not replaced. Choose another folder with --out")


def recover(dist: Path) -> None:
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
        OutputError: the disk is full or read-only.
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
                os.rename(dist, _previous(dist))
            os.rename(new, dist)
            sync_folder(dist.parent)
    finally:
        recover(dist)


def _previous(dist: Path) -> Path:
    return dist.with_name(f".{dist.name}.previous")
