"""Files that are never half written."""

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Writes under a temporary name beside ``path``, syncs and renames; the folder is created if it is missing.

    Raises:
        OSError: no space, no permission; ``path`` is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
