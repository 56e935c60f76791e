"""The bundle as ``dist/bundle.json``, with digests of its parts. Its schema is docs/bundle.schema.json."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from ...system.disk import atomic_write
from ...system.errors import ArtifactError
from ...system.strict_json import parse
from .bundle import FILE_NAME, FORMAT, Bundle, PartDigest
from .codec import decode_parsed, encode, schema


def digests(bundle: Bundle) -> tuple[PartDigest, ...]:
    """Of every part of ``bundle.json``."""
    parts = json.loads(encode(bundle))
    del parts["digests"]
    for index, artifact in enumerate(parts.pop("artifacts")):
        parts |= {f"artifacts[{index}].{key}": value for key, value in artifact.items()}
    return tuple(PartDigest(part, _canonical_sha256(value)) for part, value in parts.items())


def _canonical_sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_bundle(bundle: Bundle, folder: Path) -> Path:
    """Writes ``bundle.json`` with its digests into ``folder``, all of it or nothing."""
    path = folder / FILE_NAME
    atomic_write(path, encode(replace(bundle, digests=digests(bundle))))
    return path


def read_bundle(folder: Path) -> Bundle:
    """Reads ``bundle.json``. What it says is not checked; ``integrity.verify`` does that.

    Raises:
        ArtifactError: it is missing, of another format, or not what its schema says.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); `instantstyle release` makes it") from error
    return decode_bundle(text, str(path))


def decode_bundle(text: bytes, where: str) -> Bundle:
    """What the text of a ``bundle.json`` says; ``where`` it is from, for messages. Raises ArtifactError as ``read_bundle``."""
    content = parse(text, where)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT and isinstance(found, int):
        raise ArtifactError(f"{where}: format {found}; this version reads format {FORMAT}. `instantstyle release` makes it again")
    return decode_parsed(Bundle, content, where)


def schema_text() -> str:
    """What docs/bundle.schema.json holds."""
    return json.dumps(schema(Bundle), indent=1) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
