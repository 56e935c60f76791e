"""A folder that is replaced as a whole by one system call where the system has it: the old one or the new one, whatever happens."""

import ctypes
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import with_config

from ..export.bundle.swap import JUNK
from ..system.disk import OutputError, atomic_write, sync_folder, sync_tree
from ..system.errors import ArtifactError
from ..system.hashing import file_sha256
from ..targets.base import ArtifactFile
from ..validation.judge.listing import check_paths
from ..validation.results.codec import STRICT, decode, encode

RECEIPT = "release.json"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@with_config(STRICT)
@dataclass(frozen=True)
class Receipt:
    """What was pulled into a folder, and from whom.

    Attributes:
        model, version, artifact: what it is.
        key: SHA-256 of the public key that everything was signed with.
        serial: the registry's when it was pulled; an older registry is refused later.
        files: all others of the folder.
    """

    model: str
    version: str
    artifact: str
    key: str
    serial: int
    files: tuple[ArtifactFile, ...]


def write_receipt(receipt: Receipt, folder: Path) -> None:
    """Writes it into the folder, all of it or nothing."""
    atomic_write(folder / RECEIPT, encode(receipt))


def read_receipt(folder: Path) -> Receipt | None:
    """That of a folder that was pulled; None of one that is empty or missing.

    Raises:
        OutputError: the folder is somebody's who did not pull it, or holds files that were not pulled.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder}: is no folder of its own. Choose another one with --to")
    found = _content(folder) if folder.is_dir() else set()
    if not found:
        return None
    if RECEIPT not in found:
        raise OutputError(f"{folder}: is not empty and holds no {RECEIPT}, so it is not replaced. Choose another folder with --to")
    path = folder / RECEIPT
    try:
        receipt = decode(Receipt, path.read_bytes(), str(path))
        check_paths(receipt.files, path, folder)
    except ArtifactError as error:
        raise OutputError(
            f"{path}: is none that pull wrote ({error}), so {folder} is not replaced. Choose another folder with --to"
        ) from error
    strangers = sorted(found - {file.path for file in receipt.files} - {RECEIPT})
    if strangers:
        raise OutputError(
            f"{folder}: holds {strangers[0]}, which was not pulled, so it is not replaced. Move that, or choose another folder"
        )
    return receipt


def intact(receipt: Receipt, folder: Path) -> dict[str, Path]:
    """The files of a pulled folder that are as they were pulled, by SHA-256."""
    found = {}
    for file in receipt.files:
        path = folder / file.path
        if path.is_file() and not path.is_symlink() and path.stat().st_size == file.size_bytes and file_sha256(path) == file.sha256:
            found[file.sha256] = path
    return found


def install(new: Path, folder: Path) -> None:
    """``new`` becomes ``folder``; what was there before is removed."""
    sync_tree(new)
    if not folder.exists():
        os.rename(new, folder)
    elif _exchange(new, folder):
        sync_folder(folder.parent)
        shutil.rmtree(new)
    else:
        previous = _previous(folder)
        os.rename(folder, previous)
        os.rename(new, folder)
        shutil.rmtree(previous)
    sync_folder(folder.parent)


def restore(folder: Path) -> None:
    """Puts back what a pull had moved away when it was killed, where the system cannot exchange folders, and removes half a receipt."""
    for half in folder.glob(f".{RECEIPT}.*.tmp"):  # as ``atomic_write`` names it; it would count as a stranger's file
        half.unlink()
    previous = _previous(folder)
    if previous.exists() and not folder.exists():
        os.rename(previous, folder)
    if previous.exists():
        shutil.rmtree(previous)


def _previous(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous")


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two folders of one file system in one step; False where the system or the file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0


def _content(folder: Path) -> set[str]:
    """Everything but folders, and what file managers leave."""
    paths = (path for path in folder.rglob("*") if not stat.S_ISDIR(path.lstat().st_mode))
    return {path.relative_to(folder).as_posix() for path in paths if path.name not in JUNK}
