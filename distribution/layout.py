"""Where a registry has what: blobs by their content, and an index for each model."""

from dataclasses import dataclass


def index_path(model: str) -> str:
    """Where a registry has a model's index."""
    return f"{model}/index.json"


def blob_path(sha256: str) -> str:
    """Where a registry has a file of that content."""
    return f"blobs/sha256/{sha256[:2]}/{sha256}"


@dataclass(frozen=True)
class Blob:
    """A file that a registry has by its content."""

    sha256: str
    size_bytes: int

    @property
    def path(self) -> str:
        """In the registry."""
        return blob_path(self.sha256)
