"""One file of a registry to the disk: goes on where it was cut off, and is the announced content or nothing."""

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import DownloadError
from .index import blob_path
from .readers import Reader, TransientError

TRIES = 5  # in a row without a new byte
MOST_CONNECTIONS = 1000  # for one file
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
TellBytes = Callable[[int], object]  # is told of every new byte


@dataclass(frozen=True)
class Blob:
    """A file that a registry has by its content."""

    sha256: str
    size_bytes: int


def download_text(source: Reader, path: str, most_bytes: int) -> bytes:
    """A small file, whole.

    Raises:
        DownloadError: it did not come after some tries, or is larger than ``most_bytes``.
    """
    failures = 0
    while True:
        try:
            return _whole(source, path, most_bytes)
        except TransientError as error:
            failures += 1
            _pause_or_give_up(failures, error)


def _whole(source: Reader, path: str, most_bytes: int) -> bytes:
    content = bytearray()
    with source.open(path, 0, None) as (_, chunks):
        for chunk in chunks:
            content += chunk
            if len(content) > most_bytes:
                raise DownloadError(f"{source.where}: {path} is larger than {most_bytes:,} bytes, which no index is")
    return bytes(content)


def download_blob(source: Reader, blob: Blob, place: Path, report: TellBytes) -> None:
    """Writes a blob to ``place``, of which a part may be there from an earlier attempt; ``place`` has the whole content then.

    Raises:
        DownloadError: the server does not send it, or sends something else; a wrong content is removed.
    """
    for is_last in (False, True):
        _fill(source, blob, place, report)
        found = _sha256(place)
        if found == blob.sha256:
            return
        # What was left by an earlier attempt may be at fault: once more from the start.
        place.unlink()
        report(-blob.size_bytes)
        if is_last:
            raise DownloadError(
                f"{source.where}: {blob_path(blob.sha256)} has another content (SHA-256 {found[:12]}…) than its name says; "
                "the registry is damaged, or somebody between you and it changes what it sends"
            )


def download_content(source: Reader, blob: Blob) -> bytes:
    """A blob's content, without leaving a file. Raises as ``download_blob``."""
    with tempfile.TemporaryDirectory(prefix="instantstyle-pull-") as scratch:
        place = Path(scratch, blob.sha256)
        download_blob(source, blob, place, lambda count: None)
        return place.read_bytes()


def _fill(source: Reader, blob: Blob, place: Path, report: TellBytes) -> None:
    """Until the file has as many bytes as it should."""
    failures = 0
    for _ in range(MOST_CONNECTIONS):
        have = place.stat().st_size if place.exists() else 0
        if have == blob.size_bytes:
            return
        try:
            _append(source, blob, place, have, report)
        except TransientError as error:
            now = place.stat().st_size if place.exists() else 0
            failures = 0 if now > have else failures + 1
            if failures:
                _pause_or_give_up(failures, error)
    raise DownloadError(f"{source.where}: {blob_path(blob.sha256)} did not arrive in {MOST_CONNECTIONS} connections; try again later")


def _append(source: Reader, blob: Blob, place: Path, have: int, report: TellBytes) -> None:
    offset = have if have < blob.size_bytes else 0
    with source.open(blob_path(blob.sha256), offset, blob.size_bytes) as (start, chunks), place.open("ab") as file:
        if start != have:
            report(start - have)
            file.truncate(start)
        written = start
        for chunk in chunks:
            if written + len(chunk) > blob.size_bytes:
                file.truncate(0)
                report(-written)
                raise TransientError(f"{source.where}: {blob_path(blob.sha256)}: more came than its {blob.size_bytes:,} bytes")
            file.write(chunk)
            written += len(chunk)
            report(len(chunk))
    if written < blob.size_bytes:
        raise TransientError(f"{source.where}: {blob_path(blob.sha256)}: {written:,} of {blob.size_bytes:,} bytes came")


def _pause_or_give_up(failures: int, error: TransientError) -> None:
    if failures >= TRIES:
        raise DownloadError(f"{error}; that was the last of {TRIES} attempts. What came so far is kept: try again later") from error
    time.sleep(min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
