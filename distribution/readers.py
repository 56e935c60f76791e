"""Where a registry is read from: a folder, or any web server. Both give the bytes of a file from some place on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DownloadError, RegistryError
from .keys import INSTALL

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0
REDIRECTS = 3
OK, PARTIAL, NOT_FOUND, TOO_MANY_REQUESTS, RANGE_NOT_SATISFIABLE, SERVER_ERRORS = 200, 206, 404, 429, 416, 500


class TransientError(DownloadError):
    """The transport failed in a way that another attempt may not."""


class Reader(ABC):
    """Reads files of a registry."""

    where: str

    @abstractmethod
    @contextmanager
    def open(self, path: str, offset: int, size_bytes: int | None) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Where the bytes start that come, ``offset`` or 0, and the bytes.

        Args:
            path: in the registry.
            size_bytes: of the whole file, if it is known; a server that says another size is not believed.

        Raises:
            RegistryError: there is no such file.
            TransientError: the transport failed; also while the bytes are read.
            DownloadError: it failed for good.
        """
        yield 0, iter(())

    def close(self) -> None:  # noqa: B027 - a folder holds nothing
        """Ends its connections."""


def reader(place: str, timeout_s: float) -> Reader:
    """Of an address (``http://``, ``https://``) or a folder.

    Args:
        timeout_s: how long a server may be silent.
    """
    if "://" in place and not place.startswith(("http://", "https://")):
        raise RegistryError(f"{place}: give an address that starts with https:// or http://, or a folder")
    return HttpReader(place, timeout_s) if "://" in place else FolderReader(Path(place))


class FolderReader(Reader):
    """A registry in a folder."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise RegistryError(f"{folder}: there is no such folder; give the registry's folder or address")
        self.where, self.folder = str(folder), folder

    @contextmanager
    def open(self, path: str, offset: int, size_bytes: int | None) -> Iterator[tuple[int, Iterator[bytes]]]:
        try:
            with (self.folder / path).open("rb") as file:
                file.seek(offset)
                yield offset, iter(lambda: file.read(CHUNK_BYTES), b"")
        except FileNotFoundError as error:
            raise RegistryError(f"{self.where}: has no {path}") from error
        except IsADirectoryError as error:
            raise RegistryError(f"{self.where}: {path} is a folder") from error


class HttpReader(Reader):
    """A registry behind a web server. Everything that it sends is checked by others, so redirections may lead anywhere."""

    def __init__(self, address: str, timeout_s: float) -> None:
        try:
            import urllib3
        except ImportError as error:
            raise RegistryError(f"downloads need urllib3 ({error}): {INSTALL}") from error
        self.where, self._address = address, address.rstrip("/")
        timeout = urllib3.Timeout(connect=min(CONNECT_SECONDS, timeout_s), read=timeout_s)
        retries = urllib3.Retry(total=REDIRECTS, connect=0, read=0, redirect=REDIRECTS, status=0, other=0, raise_on_status=False)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=retries)

    def close(self) -> None:
        self._pool.clear()

    @contextmanager
    def open(self, path: str, offset: int, size_bytes: int | None) -> Iterator[tuple[int, Iterator[bytes]]]:
        from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError

        address = f"{self._address}/{path}"
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        try:
            response = self._pool.request("GET", address, headers=headers, preload_content=False)
            try:
                start = _start(response, address, offset, size_bytes)
                yield start, response.stream(CHUNK_BYTES, decode_content=False)
            finally:
                response.close()
        except LocationValueError as error:
            raise RegistryError(f"{address}: is no address ({error})") from error
        except (HTTPError, OSError) as error:
            if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
                raise  # of the disk that the caller writes to
            cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
            raise TransientError(f"{address}: {_sentence(cause)}") from error


def _start(response: "BaseHTTPResponse", address: str, offset: int, size_bytes: int | None) -> int:
    """Where the bytes of an answer start."""
    status = response.status
    if status == NOT_FOUND:
        raise RegistryError(f"{address}: there is no such file; check the address, the model's name and whether the registry is complete")
    if status >= SERVER_ERRORS or status == TOO_MANY_REQUESTS:
        raise TransientError(f"{address}: the server answered {status}")
    if status == RANGE_NOT_SATISFIABLE:
        raise TransientError(f"{address}: the server has fewer than {offset:,} bytes of it")
    if status not in (OK, PARTIAL):
        raise DownloadError(f"{address}: the server answered {status}; check the address and whether it may be read")
    start = 0 if status == OK else _range_start(response.headers.get("Content-Range", ""), address)
    if start not in (0, offset):
        raise TransientError(f"{address}: bytes from {offset:,} on were asked for, and those from {start:,} on came")
    length = response.headers.get("Content-Length")
    if size_bytes is not None and length is not None and length != str(size_bytes - start):
        raise TransientError(f"{address}: the server has {length} bytes where {size_bytes - start:,} are left")
    return start


def _range_start(header: str, address: str) -> int:
    text = header.removeprefix("bytes ").partition("-")[0]
    if not text.isascii() or not text.isdigit():
        raise TransientError(f"{address}: the server sent a part and does not say which")
    return int(text)


def _sentence(error: BaseException) -> str:
    from urllib3 import exceptions

    if isinstance(error, exceptions.NameResolutionError):
        return "the server's name is not known"
    if isinstance(error, exceptions.ReadTimeoutError | TimeoutError):
        return "the server was silent for too long"
    if isinstance(error, exceptions.ConnectTimeoutError | exceptions.NewConnectionError):
        return "the server cannot be reached"
    if isinstance(error, exceptions.SSLError):
        return f"the connection is not secure ({error})"
    return f"the connection was lost ({type(error).__name__})"
