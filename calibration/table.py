"""The calibration table: the range of every quantised activation of a model, as a JSON file."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..model.graph import Size
from ..system.errors import InstantStyleError
from .tensor_range import TensorRange, symmetric_scale

__all__ = ["CalibrationTable", "CalibrationTableError", "TensorRange", "check_fits", "library_versions", "symmetric_scale"]

VERSION = 1
LIBRARIES = ("instantstyle", "torch", "torchao", "numpy", "pillow")


class CalibrationTableError(InstantStyleError):
    """A calibration table cannot be read or written, or does not fit the model."""


@dataclass(frozen=True)
class CalibrationTable:
    """The ranges of a model's activations and where they come from. ``of`` makes one.

    Attributes:
        model: its name.
        size: height and width at which it was calibrated.
        observer: the recipe's; an entry may name another.
        image_set_sha256: of the calibration images.
        libraries: name and version of what computed the ranges.
        entries: sorted by (graph, tensor), no key twice (ValueError).
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str
    size: Size
    observer: str
    image_set_sha256: str
    libraries: tuple[tuple[str, str], ...]
    entries: tuple[TensorRange, ...]

    @classmethod
    def of(cls, model: str, size: Size, observer: str, image_set_sha256: str, entries: Iterable[TensorRange]) -> Self:
        """A table of entries in any order, with the versions of the installed libraries."""
        ordered = tuple(sorted(entries, key=lambda entry: entry.key))
        return cls(model, size, observer, image_set_sha256, library_versions(), ordered)

    def __post_init__(self) -> None:
        keys = [entry.key for entry in self.entries]
        for earlier, later in pairwise(keys):
            if earlier >= later:
                problem = "is there twice" if earlier == later else "is out of order"
                raise ValueError(f"entry {_spell(later)} {problem}; entries are sorted by graph and tensor")

    def by_key(self) -> Mapping[tuple[str, str], TensorRange]:
        """Entries by (graph, tensor)."""
        return {entry.key: entry for entry in self.entries}

    def save(self, path: Path) -> None:
        """Writes the table as JSON, replacing the file in one step. CalibrationTableError if that is not possible."""
        content = {"version": VERSION, **asdict(self), "libraries": dict(self.libraries)}
        text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            try:
                temporary.write_text(text, encoding="utf-8")
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise CalibrationTableError(f"{path}: the calibration table cannot be written ({error.strerror})") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what ``save`` wrote.

        Raises:
            CalibrationTableError: the file is missing, no JSON (with line and column), no calibration table, of another
                version, or an entry is wrong (with its place).
        """
        content = _read(path)
        version = content.pop("version")
        if version != VERSION:
            kind = "a newer" if isinstance(version, int) and version > VERSION else "an unknown"
            raise CalibrationTableError(
                f"{path}: calibration table of {kind} version, {version!r}; this instantstyle reads version {VERSION}. Calibrate again"
            )
        if isinstance(content.get("libraries"), dict):
            content["libraries"] = list(content["libraries"].items())
        try:
            # As JSON text again, because there strict means no "0.1" for 0.1, but still a list for a tuple.
            return TypeAdapter(cls).validate_json(json.dumps(content), strict=True)
        except ValidationError as error:
            raise CalibrationTableError(f"{path}: not a valid calibration table: {_explain(error, content)}") from error


def check_fits(table: CalibrationTable, tensors: Iterable[tuple[str, str]]) -> None:
    """Refuses a table for a model whose quantised activations, as (graph, tensor), are not exactly the table's.

    Raises:
        CalibrationTableError: names what the table lacks and what it has too much.
    """
    wanted, present = set(tensors), {entry.key for entry in table.entries}
    missing, extra = sorted(wanted - present), sorted(present - wanted)
    if not missing and not extra:
        return
    problems = [f"it lacks {_some(missing)}"] * bool(missing) + [f"it has {_some(extra)}, which this model has not"] * bool(extra)
    raise CalibrationTableError(
        f"the calibration table of model '{table.model}' with {len(present)} tensors does not fit this model with {len(wanted)}: "
        f"{'; '.join(problems)}. Use the table of this model, or remove it from the recipe to calibrate again"
    )


def library_versions() -> tuple[tuple[str, str], ...]:
    """Name and version of the libraries that ranges depend on, those that are installed."""
    versions: list[tuple[str, str]] = []
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions.append((name, metadata.version(name)))
    return tuple(versions)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationTableError(f"{path}: the calibration table cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise CalibrationTableError(f"{path}: not JSON ({error}); the file may be truncated, calibrate again") from error
    if not isinstance(content, dict) or "version" not in content:
        raise CalibrationTableError(f"{path}: not a calibration table, it has no 'version'")
    return content


def _explain(error: ValidationError, content: dict[str, Any]) -> str:
    """The first error with its place, e.g. "entries[3].scale ('stylizer', 'decoder.head'): Input should be …"."""
    first = error.errors(include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    more = f" (and {error.error_count() - 1} more errors)" * (error.error_count() > 1)
    entry = content["entries"][first["loc"][1]] if first["loc"][:1] == ("entries",) and len(first["loc"]) > 1 else None
    name = f" of tensor '{entry.get('tensor')}'" if isinstance(entry, dict) else ""
    return f"{place or 'the table'}{name}: {first['msg']}{more}"


def _some(keys: list[tuple[str, str]], shown: int = 5) -> str:
    rest = f" and {len(keys) - shown} more" * (len(keys) > shown)
    return ", ".join(_spell(key) for key in keys[:shown]) + rest


def _spell(key: tuple[str, str]) -> str:
    return f"'{key[1]}' of graph '{key[0]}'"
