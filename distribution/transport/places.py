"""The transport of an address."""

from pathlib import Path

from ..errors import RegistryError
from .base import Reader, Store
from .folder import FolderReader, FolderStore
from .http import HttpReader, HttpStore
from .oci import SCHEME, OciReader, OciStore

HTTP = ("http://", "https://")


def reader(place: str, timeout_s: float) -> Reader:
    """Of an address (``http://``, ``https://``, ``oci://``) or a folder.

    Args:
        timeout_s: how long a server may be silent.

    Raises:
        RegistryError: it is neither.
    """
    if place.startswith(SCHEME):
        return OciReader(place, timeout_s)
    return HttpReader(place, timeout_s) if _is_http(place) else FolderReader(Path(place))


def store(place: str, timeout_s: float, *, is_alone: bool) -> Store:
    """Likewise, for changes.

    Args:
        is_alone: nobody else publishes there meanwhile, so the registry need not be able to tell.
    """
    if place.startswith(SCHEME):
        return OciStore(place, timeout_s)
    return HttpStore(place, timeout_s, is_alone=is_alone) if _is_http(place) else FolderStore(Path(place))


def _is_http(place: str) -> bool:
    if "://" in place and not place.startswith(HTTP):
        raise RegistryError(f"{place}: give an address that starts with https://, http:// or {SCHEME}, or a folder")
    return "://" in place
