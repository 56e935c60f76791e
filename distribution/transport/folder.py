"""A registry in a folder, which any web server or bucket can serve.

Every file is written under a temporary name first, and one publication at a time holds the folder's lock. So a publication that is
killed leaves at most blobs that nothing names yet.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...system.disk import OutputError, atomic_write, check_output, explained_disk_errors
from ...system.hashing import file_sha256
from ...system.lock import Lock
from ..errors import RegistryError
from ..layout import Blob, index_path
from .base import Found, Reader, Store

LOCK = ".lock"
CHUNK_BYTES = 64 * 1024


class FolderReader(Reader):
    """Reads a registry in a folder."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise RegistryError(f"{folder}: there is no such folder; give the registry's folder or address")
        self.where, self.folder = str(folder), folder

    @contextmanager
    def open_index(self, model: str) -> Iterator[Iterator[bytes]]:
        with self._open(index_path(model), 0) as chunks:
            yield chunks

    @contextmanager
    def open_blob(self, blob: Blob, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        with self._open(blob.path, offset) as chunks:
            yield offset, chunks

    @contextmanager
    def _open(self, path: str, offset: int) -> Iterator[Iterator[bytes]]:
        try:
            with (self.folder / path).open("rb") as file:
                file.seek(offset)
                yield iter(lambda: file.read(CHUNK_BYTES), b"")
        except FileNotFoundError as error:
            raise RegistryError(f"{self.where}: has no {path}") from error
        except IsADirectoryError as error:
            raise RegistryError(f"{self.where}: {path} is a folder") from error


class FolderStore(Store):
    """Changes a registry in a folder, which is made if there is none."""

    def __init__(self, folder: Path) -> None:
        self.where, self.folder = str(folder), folder

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One publication at a time; what a killed one left half-written is removed."""
        check_output(self.folder, folder=True)
        with explained_disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = Lock(self.folder / LOCK)
            if not lock.acquire():
                raise OutputError(f"{self.folder}: another publication is at work ({lock.owner()}); try again when it is done")
            try:
                for leftover in (*self.folder.glob("blobs/sha256/*/.*.tmp"), *self.folder.glob("*/.index.json.*.tmp")):
                    leftover.unlink()
                yield
            finally:
                lock.release()

    def find(self, model: str) -> Found | None:
        path = self.folder / index_path(model)
        return Found((path.read_bytes(),), "") if path.exists() else None

    def put(self, content: Path, blob: Blob) -> int:
        place = self.folder / blob.path
        if place.is_file() and place.stat().st_size == blob.size_bytes and file_sha256(place) == blob.sha256:
            return 0
        atomic_write(place, content.read_bytes())
        if file_sha256(place) != blob.sha256:
            place.unlink()
            raise RegistryError(f"{content}: was changed while it was published; build and sign the bundle again")
        return blob.size_bytes

    def replace(self, model: str, content: str, serial: int, before: Found | None) -> None:
        atomic_write(self.folder / index_path(model), content)  # under the lock, so nobody changed it

    def models(self) -> Sequence[str]:
        return sorted(path.parent.name for path in self.folder.glob("*/index.json"))
