"""One owner at a time: a file lock that the kernel releases when its process dies, however it dies."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock

from .disk import OutputError


class Lock:
    """An exclusive lock on a file, held from ``acquire`` to ``release``, that tells who holds it; also a context manager.

    The file's presence means nothing, only the kernel's lock on it: what a killed process leaves behind does not block.
    Not re-entrant: a second lock on the same path is refused even within one process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A build may end in another thread than it began in.
        self._lock = filelock.FileLock(path, thread_local=False, on_acquired=_sign)

    def acquire(self, wait: bool = False) -> bool:
        """Takes the lock; False if another holds it and ``wait`` is not set."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=wait)
        except filelock.Timeout:
            return False
        return True

    def release(self) -> None:
        """Gives the lock back and removes its file; does nothing if it is not held."""
        if not self._lock.is_locked:
            return
        # While it is held: who waits for it sees that the file is gone, and makes a new one. Windows keeps open files, so there it stays.
        with suppress(PermissionError):
            self.path.unlink(missing_ok=True)
        self._lock.release()

    def owner(self) -> str:
        """Who holds the lock, for a message."""
        try:
            content = json.loads(self.path.read_text())
            return f"process {content['pid']}, since {content['since']}"
        except (OSError, ValueError, KeyError):
            return "another process"

    def __enter__(self) -> Self:
        self.acquire(wait=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _sign(descriptor: int) -> None:
    """Writes the owner into the file of a lock that was just taken."""
    os.truncate(descriptor, 0)
    os.write(descriptor, json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}).encode())


def lock_output(folder: Path, option: str = "--out") -> Lock:
    """The lock of a folder that a command writes, held; it lies beside the folder, which may be replaced as a whole.

    Args:
        option: of the command line that names another folder.

    Raises:
        OutputError: another process is writing there.
    """
    lock = Lock(folder.absolute().parent / f".{folder.name}.lock")
    if not lock.acquire():
        raise OutputError(
            f"{folder}: another process is writing there ({lock.owner()}). Wait for it, or choose another folder with {option}"
        )
    return lock
