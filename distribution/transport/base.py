"""What every transport can do: give a registry's files, and take new ones so that nobody's change is lost."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...targets.base import ArtifactFile
from ..layout import Blob


class Reader(ABC):
    """Reads files of a registry."""

    where: str

    @abstractmethod
    @contextmanager
    def open_index(self, model: str) -> Iterator[Iterator[bytes]]:
        """The bytes of a model's index. Raises as ``open_blob``."""
        yield iter(())

    @abstractmethod
    @contextmanager
    def open_blob(self, blob: Blob, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Where the bytes start that come, ``offset`` or 0, and the bytes; a server that says another size is not believed.

        Raises:
            RegistryError: there is no such file.
            TransientError: the transport failed; also while the bytes are read.
            DownloadError: it failed for good.
        """
        yield 0, iter(())

    def close(self) -> None:  # noqa: B027 - a folder holds nothing
        """Ends its connections."""


@dataclass(frozen=True)
class Found:
    """A model's index as a registry has it now.

    Attributes:
        contents: of the file; several where publications met and the transport kept them all.
        tag: what the transport knows this state by.
    """

    contents: tuple[bytes, ...]
    tag: str


class Store(ABC):
    """Changes a registry. A change is read, made and written again until what is read already has it, so ``replace`` may fail to write."""

    where: str

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around all that is written. OutputError if others are at it and cannot be waited for."""
        yield

    @abstractmethod
    def find(self, model: str) -> Found | None:
        """The index of a model; None if there is none."""

    @abstractmethod
    def put(self, content: Path, blob: Blob) -> int:
        """Puts a file among the blobs, and is sure that it is there; how many bytes that took, none if it was.

        Raises:
            RegistryError: the registry does not keep what it is given.
        """

    @abstractmethod
    def replace(self, model: str, content: str, serial: int, before: Found | None) -> None:
        """Writes an index if nobody changed it since ``before``; does nothing if somebody did.

        Args:
            serial: of the new index.

        Raises:
            RegistryError: the registry cannot tell whether somebody did.
        """

    def keep(self, model: str, version: str, files: Sequence[ArtifactFile]) -> None:  # noqa: B027 - files keep themselves
        """Lets the registry know which blobs belong to a version, where it removes what nothing refers to."""

    def models(self) -> Sequence[str]:
        """Models that it is known to have, for a message."""
        return ()

    def close(self) -> None:  # noqa: B027 - a folder holds nothing
        """Ends its connections."""
