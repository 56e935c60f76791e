"""What a web server's answers mean: where bytes start, which failures may pass, and each failure as a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import DownloadError, RegistryError
from ..patience import TransientError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

OK, PARTIAL, REDIRECTIONS, ERRORS, SERVER_ERRORS = 200, 206, 300, 400, 500
FORBIDDEN, NOT_FOUND, RANGE_NOT_SATISFIABLE, TOO_MANY_REQUESTS = (401, 403), 404, 416, 429
NO_SUCH_METHOD, TOO_LARGE, NO_SPACE = (405, 501), 413, 507


def check_readable(response: "BaseHTTPResponse", address: str) -> None:
    """Refuses an answer that is not the file or a part of it.

    Raises:
        RegistryError: there is no such file.
        TransientError: the server may answer otherwise soon.
        DownloadError: it will not.
    """
    status = response.status
    if status == NOT_FOUND:
        raise RegistryError(f"{address}: there is no such file; check the address, the model's name and whether the registry is complete")
    check_transient(response, address)
    if status == RANGE_NOT_SATISFIABLE:
        raise TransientError(f"{address}: the server has fewer bytes of it than came before")
    if status not in (OK, PARTIAL):
        raise DownloadError(f"{address}: the server answered {status}; check the address and whether it may be read")


def check_transient(response: "BaseHTTPResponse", address: str) -> None:
    """TransientError for an answer that another attempt may not get."""
    status = response.status
    if status not in (*NO_SUCH_METHOD, NO_SPACE) and (status >= SERVER_ERRORS or status == TOO_MANY_REQUESTS):
        raise TransientError(f"{address}: the server answered {status}")


def check_written(response: "BaseHTTPResponse", address: str, way_out: str) -> None:
    """Refuses an answer to a file that was sent, unless the server took it. Raises RegistryError or TransientError."""
    status = response.status
    check_transient(response, address)
    if status in FORBIDDEN:
        raise RegistryError(f"{address}: may not be written ({status}); {way_out}")
    if status in NO_SUCH_METHOD:
        raise RegistryError(f"{address}: the server takes no files ({status}); publish into a folder, and copy that to the server")
    if status == TOO_LARGE:
        raise RegistryError(f"{address}: the server refuses a file of this size ({status}); raise its limit")
    if status == NO_SPACE:
        raise RegistryError(f"{address}: the server's disk is full ({status})")
    if not OK <= status < REDIRECTIONS:
        raise RegistryError(f"{address}: the server answered {status} to a file that was sent; check the address")


def start_of(response: "BaseHTTPResponse", address: str, offset: int, size_bytes: int) -> int:
    """Where the bytes of an answer start, ``offset`` or 0.

    Args:
        size_bytes: of the whole file.

    Raises:
        TransientError: it is another part, or of another length, than was asked for.
    """
    start = 0 if response.status == OK else _range_start(response.headers.get("Content-Range", ""), address)
    if start not in (0, offset):
        raise TransientError(f"{address}: bytes from {offset:,} on were asked for, and those from {start:,} on came")
    length = response.headers.get("Content-Length")
    if length is not None and length != str(size_bytes - start):
        raise TransientError(f"{address}: the server has {length} bytes where {size_bytes - start:,} are left")
    return start


def _range_start(header: str, address: str) -> int:
    text = header.removeprefix("bytes ").partition("-")[0]
    if not text.isascii() or not text.isdigit():
        raise TransientError(f"{address}: the server sent a part and does not say which")
    return int(text)


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Failures of a connection as TransientError, and of an address as RegistryError; those of a disk as they are."""
    from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError

    try:
        yield
    except LocationValueError as error:
        raise RegistryError(f"{address}: is no address ({error})") from error
    except (HTTPError, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
            raise  # of the disk that the caller writes to
        cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        raise TransientError(f"{address}: {_sentence(cause)}") from error


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
