"""Writing to disk so that a crash leaves the old content or the new one, and errors of the disk as sentences."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InstantStyleError

FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
# Libraries that write from C++ lose the error number; a disk with less than this left explains their failure.
NOTHING_LEFT_BYTES = 64 * 1024


class OutputError(InstantStyleError):
    """A folder cannot be written: full disk, read-only, or in use by another build."""


def atomic_write(path: Path, content: bytes | str) -> None:
    """Replaces ``path`` with ``content`` (text as UTF-8): written under a temporary name beside it, synced and renamed, so that a crash
    leaves the old file or the new one. The folder is created if it is missing.

    Raises:
        OSError: no space, no permission; ``path`` is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path: Path, *read: Path | None, folder: bool = False) -> None:
    """Refuses, before any work is done, an output that could not be written at its end, or that would replace what is read.

    Args:
        read: files that the command reads.
        folder: whether ``path`` is to be a folder.

    Raises:
        OutputError: says what is in the way.
    """
    if path.exists() and path.is_dir() != folder:
        kinds = ("a file", "a folder") if folder else ("a folder", "a file")
        raise OutputError(f"{path}: is {kinds[0]}, not {kinds[1]}. Choose another name")
    if any(other is not None and other.resolve() == path.resolve() for other in read):
        raise OutputError(f"{path}: is read by this command, and would be replaced. Choose another name")
    check_writable(path if folder else path.absolute().parent, path, "choose another name")


def check_writable(folder: Path, what: Path, otherwise: str) -> None:
    """Refuses a folder in which ``what`` cannot be made, where the folder need not exist yet. OutputError says so."""
    closest = existing_parent(folder)
    if not closest.is_dir():
        raise OutputError(f"{closest}: is a file, so {what} cannot be written below it. C{otherwise[1:]}")
    # Root may write anywhere; the permission bits still say what is meant.
    if not os.access(closest, os.W_OK) or not closest.stat().st_mode & 0o222:
        raise OutputError(f"{closest}: is read-only, {what.name} cannot be written. Make it writable, or {otherwise}")


def sync_tree(folder: Path) -> None:
    """Flushes all files and folders under ``folder`` to the disk, so that a rename afterwards publishes complete content."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(Path(parent, name), os.O_RDONLY)
        _sync(Path(parent), os.O_RDONLY | os.O_DIRECTORY)


def sync_folder(folder: Path) -> None:
    """Flushes the entries of ``folder``, such as a rename, to the disk."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def free_bytes(path: Path) -> int:
    """Free space of the file system that holds ``path``, which need not exist yet."""
    return shutil.disk_usage(existing_parent(path)).free


def existing_parent(path: Path) -> Path:
    """``path`` or its closest parent that exists."""
    path = path.absolute()
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())


@contextmanager
def explained_disk_errors(*folders: Path) -> Iterator[None]:
    """Turns the errors of a full or read-only disk, wrapped by a library or not, into one OutputError that names the path.

    Args:
        folders: what the block writes to, in case the error does not say.
    """
    try:
        yield
    except OutputError:
        raise
    except Exception as error:
        explanation = _explain(error, folders)
        if explanation is None:
            raise
        raise OutputError(explanation) from error


def _explain(error: BaseException, folders: tuple[Path, ...]) -> str | None:
    if isinstance(error, InstantStyleError) and not isinstance(error.__cause__, OSError):
        return None
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in FULL:
            return _full(Path(cause.filename) if isinstance(cause.filename, str | os.PathLike) else _fullest(folders))
        if isinstance(cause, OSError) and cause.errno in NOT_WRITABLE and _is_inside(cause.filename, folders):
            return f"cannot write {cause.filename}: {os.strerror(cause.errno or 0).lower()}. Choose another folder, or make it writable"
        if "No space left on device" in str(cause):
            return _full(_fullest(folders))
    fullest = _fullest(folders)
    return _full(fullest) if free_bytes(fullest) < NOTHING_LEFT_BYTES else None


def _is_inside(name: object, folders: tuple[Path, ...]) -> bool:
    if not isinstance(name, str | os.PathLike):
        return False
    return any(Path(name).absolute().is_relative_to(folder.absolute().parent) for folder in folders)


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _fullest(folders: tuple[Path, ...]) -> Path:
    return min(folders, key=free_bytes) if folders else Path.cwd()


def _full(path: Path) -> str:
    return f"the disk is full: could not write {path} ({free_bytes(path):,} bytes free). Make room and run the same command again"


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
