"""A registry behind a web server: read by GET with ranges, changed by PUT if the server keeps to conditions (RFC 9110, 13.1)."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DownloadError, RegistryError
from ..keys import INSTALL
from ..layout import Blob, blob_path, index_path
from ..patience import TransientError, patiently
from ..signing import LARGEST_TEXT_BYTES
from .answers import ERRORS, NOT_FOUND, OK, check_readable, check_transient, check_written, explained, start_of
from .base import Found, Reader, Store

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

AUTHORIZATION = "INSTANTSTYLE_AUTHORIZATION"
WAY_OUT = f'{AUTHORIZATION}="Bearer …" in the environment is sent as the header Authorization'
CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0
REDIRECTS = 3
NO_COLLECTION = (404, 409)  # a WebDAV server wants the folder first
CHANGED = (409, 412)
NO_SUCH_TAG, PROBE = '"no-file-has-this-tag"', b"instantstyle: does this server keep to conditions?\n"
CANNOT_TELL = (
    ", so of two publications at a time one could be lost; publish into a folder and copy that, "
    "or say with --alone that nobody else publishes there meanwhile"
)


class HttpReader(Reader):
    """Reads a registry behind a web server. Everything that it sends is checked by others, so redirections may lead anywhere."""

    def __init__(self, address: str, timeout_s: float) -> None:
        try:
            import urllib3
        except ImportError as error:
            raise RegistryError(f"downloads need urllib3 ({error}): {INSTALL}") from error
        if "@" in address.partition("://")[2].partition("/")[0]:
            raise RegistryError(f"--from, --to: an address is shown in messages, so it holds no password; {WAY_OUT}")
        self.where, self._address = address, address.rstrip("/")
        timeout = urllib3.Timeout(connect=min(CONNECT_SECONDS, timeout_s), read=timeout_s)
        retries = urllib3.Retry(total=REDIRECTS, connect=0, read=0, redirect=REDIRECTS, status=0, other=0, raise_on_status=False)
        known = {"Authorization": os.environ[AUTHORIZATION]} if os.environ.get(AUTHORIZATION) else {}
        self._pool = urllib3.PoolManager(timeout=timeout, retries=retries, headers=known)

    def close(self) -> None:
        self._pool.clear()

    def address(self, path: str) -> str:
        """Of a file of the registry."""
        return f"{self._address}/{path}"

    @contextmanager
    def open_index(self, model: str) -> Iterator[Iterator[bytes]]:
        with self.asked("GET", index_path(model)) as response:
            check_readable(response, self.address(index_path(model)))
            yield response.stream(CHUNK_BYTES, decode_content=False)

    @contextmanager
    def open_blob(self, blob: Blob, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        address = self.address(blob.path)
        with self.asked("GET", blob.path, {"Range": f"bytes={offset}-"} if offset else {}) as response:
            check_readable(response, address)
            yield start_of(response, address, offset, blob.size_bytes), response.stream(CHUNK_BYTES, decode_content=False)

    @contextmanager
    def asked(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Iterator["BaseHTTPResponse"]:
        """The answer to one request, whatever its status; closed in the end. Failures of the connection are TransientError."""
        sent = {**self._pool.headers, "Accept-Encoding": "identity", **(headers or {})}
        with explained(self.address(path)):
            response = self._pool.request(method, self.address(path), headers=sent, body=body, preload_content=False)
            try:
                yield response
            finally:
                response.close()


class HttpStore(Store):
    """Changes a registry behind a server that takes PUT: WebDAV, or a bucket.

    The index is replaced with ``If-Match``, so of two publications at a time the later one sees the other's. Before that, the server has
    to show that it keeps to conditions: it is sent a small blob, and then the same again under two conditions that do not hold.
    """

    def __init__(self, address: str, timeout_s: float, *, is_alone: bool) -> None:
        self._reader = HttpReader(address, timeout_s)
        self.where, self._is_alone = address, is_alone

    def close(self) -> None:
        self._reader.close()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Refuses a server that does what it is asked even though a condition does not hold, before anything else is sent."""
        path = blob_path(hashlib.sha256(PROBE).hexdigest())
        for condition in () if self._is_alone else ({}, {"If-None-Match": "*"}, {"If-Match": NO_SUCH_TAG}):
            response = patiently(lambda given=condition: self._put(path, PROBE, given))
            if not condition:
                check_written(response, self._reader.address(path), WAY_OUT)
            elif response.status < ERRORS:
                raise RegistryError(f"{self.where}: ignores {next(iter(condition))}{CANNOT_TELL}")
        yield

    def find(self, model: str) -> Found | None:
        path = index_path(model)

        def attempt() -> Found | None:
            with self._reader.asked("GET", path) as response:
                if response.status == NOT_FOUND:
                    return None
                check_readable(response, self._reader.address(path))
                content = bytearray()
                for chunk in response.stream(CHUNK_BYTES, decode_content=False):
                    content += chunk
                    if len(content) > LARGEST_TEXT_BYTES:
                        raise DownloadError(f"{self._reader.address(path)}: is larger than any index")
                return Found((bytes(content),), response.headers.get("ETag", ""))

        return patiently(attempt)

    def put(self, content: Path, blob: Blob) -> int:
        data = content.read_bytes()
        if hashlib.sha256(data).hexdigest() != blob.sha256:
            raise RegistryError(f"{content}: was changed while it was published; build and sign the bundle again")
        if patiently(lambda: self._has(blob)):
            return 0

        def attempt() -> None:
            check_written(self._put(blob.path, data, {}), self._reader.address(blob.path), WAY_OUT)
            if not self._has(blob):
                raise TransientError(f"{self._reader.address(blob.path)}: the server has not what it was sent")

        patiently(attempt)
        return blob.size_bytes

    def replace(self, model: str, content: str, serial: int, before: Found | None) -> None:
        path = index_path(model)
        tag = before.tag if before else ""
        if before and not tag and not self._is_alone:
            raise RegistryError(f"{self._reader.address(path)}: has no ETag{CANNOT_TELL}")
        condition = {} if self._is_alone else {"If-Match": tag} if before else {"If-None-Match": "*"}

        def attempt() -> None:
            response = self._put(path, content.encode(), condition)
            if response.status not in CHANGED:
                check_written(response, self._reader.address(path), WAY_OUT)

        patiently(attempt)

    def _put(self, path: str, data: bytes, condition: dict[str, str]) -> "BaseHTTPResponse":
        """The answer to a file, after its folders were made where the server wants them first."""
        response = self._sent("PUT", path, data, condition)
        if response.status not in NO_COLLECTION:
            return response
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            self._sent("MKCOL", "/".join(parts[:depth]) + "/", b"", {})
        return self._sent("PUT", path, data, condition)

    def _sent(self, method: str, path: str, data: bytes, headers: dict[str, str]) -> "BaseHTTPResponse":
        with self._reader.asked(method, path, headers, data) as response:
            check_transient(response, self._reader.address(path))
            response.drain_conn()
            return response

    def _has(self, blob: Blob) -> bool:
        """Whether the server gives that content under its name."""
        with self._reader.asked("GET", blob.path) as response:
            if response.status == NOT_FOUND:
                return False
            check_readable(response, self._reader.address(blob.path))
            found = hashlib.sha256()
            for chunk in response.stream(CHUNK_BYTES, decode_content=False):
                found.update(chunk)
            return response.status == OK and found.hexdigest() == blob.sha256
