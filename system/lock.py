"""One owner at a time: a file lock that the kernel releases when its process dies, however it dies."""

import fcntl
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from .disk import OutputError


class FileLock:
    """An exclusive lock on a file, held from ``acquire`` to ``release``; also a context manager.

    The file's presence means nothing, only the kernel's lock on it: what a killed process leaves behind does not block.
    Not re-entrant: a second lock on the same path blocks even within one process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, wait: bool = False) -> bool:
        """Takes the lock; False if another process holds it and ``wait`` is not set."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                os.close(descriptor)
                return False
            if self._is_current(descriptor):
                break
            # The owner before us removed the file between our open and our lock.
            os.close(descriptor)
        self._descriptor = descriptor
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}).encode())
        return True

    def release(self) -> None:
        """Gives the lock back and removes its file; does nothing if it is not held."""
        if self._descriptor is None:
            return
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def owner(self) -> str:
        """Who holds the lock, for a message."""
        try:
            content = json.loads(self.path.read_text())
            return f"process {content['pid']}, since {content['since']}"
        except (OSError, ValueError, KeyError):
            return "another process"

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def __enter__(self) -> Self:
        self.acquire(wait=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def lock_output(dist: Path) -> FileLock:
    """The lock of a dist folder, held; it lies beside the folder, which is replaced as a whole.

    Raises:
        OutputError: another build is writing there.
    """
    lock = FileLock(dist.absolute().parent / f".{dist.name}.lock")
    if not lock.acquire():
        raise OutputError(f"{dist}: another build is writing there ({lock.owner()}). Wait for it, or choose another folder with --out")
    return lock
