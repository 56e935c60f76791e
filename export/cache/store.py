"""The stages' cache: results by content, complete or absent, whatever kills the process.

::

    <root>/entries/<stage>/<key>/manifest.json     stage and key, sizes and hashes of the files
                                 files/…           the result
    <root>/work/<stage>-<key>/output/…             being written; removed if its process died
                              state/…              a stage's own checkpoints; kept, so that it can resume
    <root>/work/<stage>-<key>.lock                 held by the process that writes
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...system.disk import atomic_write, explained_disk_errors, sync_folder, sync_tree
from ...system.errors import InstantStyleError
from ...system.hashing import file_sha256
from ...system.lock import Lock

KEY_CHARACTERS = 24
STATE_KEPT_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True)
class Workspace:
    """Where a stage writes: its result into ``output``, what it needs to resume after a kill into ``state``."""

    output: Path
    state: Path


@dataclass(frozen=True)
class Entry:
    """A complete result. ``folder`` is read-only by convention.

    ``digest`` is that of its content, not of what it was made from: what is made from a result that came out differently is made again.
    """

    stage: str
    digest: str
    folder: Path


class Store:
    """A folder of entries; several processes may use it at once.

    Args:
        root: made if it does not exist.
        notice: is told what was repaired.
    """

    def __init__(self, root: Path, notice: Callable[[str], None] = lambda text: None) -> None:
        self.root = root.absolute()
        self.notice = notice
        self._work = self.root / "work"

    def find(self, stage: str, key: str) -> Entry | None:
        """The entry, its files verified; a damaged one is dropped and counts as absent."""
        folder = self._entry(stage, key)
        if not folder.exists():
            return None
        damage = _damage(folder, stage, key)
        if damage:
            self.notice(f"cache: the result of {stage} is damaged ({damage}); it will be made again")
            self.drop(stage, key)
            return None
        return Entry(stage, _stored_digest(folder), folder / "files")

    def build(self, stage: str, key: str, make: Callable[[Workspace], None]) -> Entry:
        """Runs ``make`` and keeps what it wrote; waits if another process is making the same, and takes that.

        If ``make`` raises, nothing is kept but its state.

        Raises:
            OutputError: the disk is full or read-only.
        """
        with self._workspace(stage, key) as workspace:
            found = self.find(stage, key)
            if found is not None:
                return found
            target = self._entry(stage, key)
            # Here rather than further out: how full the disk is must be seen before the leftovers are removed.
            with explained_disk_errors(self.root):
                make(workspace)
                complete = workspace.output.parent
                _write_manifest(workspace.output, stage, key)
                sync_tree(complete)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(complete, target)
                sync_folder(target.parent)
        return Entry(stage, _stored_digest(target), target / "files")

    def drop(self, stage: str, key: str) -> None:
        """Forgets an entry, if it exists."""
        doomed = self._work / f"dropped-{os.getpid()}-{time.monotonic_ns()}"
        self._work.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(self._entry(stage, key), doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed)

    def clean(self) -> None:
        """Removes what killed processes left behind, except the state that a stage can resume from."""
        if not self._work.is_dir():
            return
        for path in sorted(self._work.iterdir()):
            if path.suffix == ".lock":
                continue
            with _if_free(path.with_name(path.name + ".lock")) as free:
                if free:
                    self._clean_workspace(path)
        for path in sorted(self._work.glob("*.lock")):
            with _if_free(path):
                pass  # releasing removes the file

    def clear(self) -> int:
        """Removes everything; the bytes freed.

        Raises:
            InstantStyleError: a build is using the cache.
        """
        if not self.root.is_dir():
            return 0
        for path in sorted(self._work.glob("*.lock")):
            with _if_free(path) as free:
                if not free:
                    raise InstantStyleError(f"{self.root}: a build is using this cache ({Lock(path).owner()}). Wait for it, then clear")
        size_bytes = sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())
        for name in ("entries", "work"):
            if (self.root / name).exists():
                shutil.rmtree(self.root / name)
        return size_bytes

    def _entry(self, stage: str, key: str) -> Path:
        return self.root / "entries" / stage / key[:KEY_CHARACTERS]

    @contextmanager
    def _workspace(self, stage: str, key: str) -> Iterator[Workspace]:
        folder = self._work / f"{stage}-{key[:KEY_CHARACTERS]}"
        lock = Lock(folder.with_name(folder.name + ".lock"))
        if not lock.acquire():
            self.notice(f"{stage}: {lock.owner()} is making the same; waiting for it")
            lock.acquire(wait=True)
        try:
            self._clean_workspace(folder)
            workspace = Workspace(folder / "output" / "files", folder / "state")
            workspace.output.mkdir(parents=True)
            workspace.state.mkdir(exist_ok=True)
            yield workspace
        finally:
            self._clean_workspace(folder)
            lock.release()

    def _clean_workspace(self, folder: Path) -> None:
        if folder.name.startswith("dropped-"):
            shutil.rmtree(folder)
            return
        shutil.rmtree(folder / "output", ignore_errors=True)
        stage, _, key = folder.name.rpartition("-")
        state = folder / "state"
        if state.is_dir():
            for half_written in state.glob("*.tmp"):
                half_written.unlink()
            old = time.time() - state.stat().st_mtime > STATE_KEPT_SECONDS
            if old or not any(state.iterdir()) or self._entry(stage, key).exists():
                shutil.rmtree(state)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def _if_free(path: Path) -> Iterator[bool]:
    """Holds the lock at ``path`` if nobody else does."""
    lock = Lock(path)
    free = lock.acquire()
    try:
        yield free
    finally:
        lock.release()


def content_digest(files: Path) -> str:
    """SHA-256 of the paths and contents of all files below a folder, as ``Entry.digest``."""
    return _digest_of(_rows(files))


def _stored_digest(folder: Path) -> str:
    """The same of an entry that is known to be undamaged."""
    return _digest_of(json.loads((folder / "manifest.json").read_text())["files"])


def _digest_of(rows: dict[str, dict[str, object]]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def _rows(files: Path) -> dict[str, dict[str, object]]:
    return {
        path.relative_to(files).as_posix(): {"size_bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(files.rglob("*"))
        if path.is_file()
    }


def _write_manifest(files: Path, stage: str, key: str) -> None:
    content = {"stage": stage, "key": key, "files": _rows(files)}
    atomic_write(files.parent / "manifest.json", json.dumps(content, indent=1))


def _damage(folder: Path, stage: str, key: str) -> str:
    """What is wrong with an entry, empty if nothing is."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        rows, of = manifest["files"], (manifest["stage"], manifest["key"])
    except (OSError, ValueError, LookupError, TypeError):
        return "no readable manifest"
    if of != (stage, key):
        return f"it is a result of {of[0]} for other inputs"
    files = folder / "files"
    link = next((path for path in files.rglob("*") if path.is_symlink()), None)
    if link is not None:
        return f"{link.relative_to(files).as_posix()} is a link"
    found = _rows(files)
    if found.keys() != rows.keys():
        return f"{sorted(found.keys() ^ rows.keys())[0]} is missing or was added"
    altered = next((name for name, row in found.items() if row != rows[name]), None)
    return f"{altered} was altered" if altered else ""
