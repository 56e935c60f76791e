"""Dataclasses to JSON and back, strictly, and their JSON schema with the descriptions of their docstrings.

JSON has no NaN or infinity: they are written as the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, and read back.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

import jsonschema
from jsonschema.exceptions import best_match
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.json_schema import JsonSchemaValue

from ...system.described_schema import DIALECT, DescribedSchema
from ...system.errors import ArtifactError
from ...system.strict_json import parse

# For the dataclass at the root; those inside of it follow it.
STRICT = ConfigDict(ser_json_inf_nan="strings", extra="forbid")
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
# Keys by which the entries of lists are known.
NAMING = ("name", "sample", "graph", "path", "unit")
T = TypeVar("T")


def encode(value: object) -> str:
    """Indented JSON of a dataclass that is decorated with ``with_config(STRICT)``."""
    return _adapter(type(value)).dump_json(value, indent=1).decode() + "\n"


def decode(kind: type[T], text: str | bytes, where: str) -> T:
    """The dataclass that ``encode`` wrote.

    Args:
        where: the file, for messages.

    Raises:
        ArtifactError: not JSON, or not of this schema; names the place.
    """
    return decode_parsed(kind, parse(text, where), where)


def decode_parsed(kind: type[T], content: Any, where: str) -> T:
    """The same of JSON that was parsed already."""
    problem = best_match(_validator(kind).iter_errors(content))
    if problem is not None:
        raise ArtifactError(f"{where}: {problem.json_path}: {problem.message[:300]}{_within(content, problem.absolute_path)}")
    try:
        return _adapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place, found = ".".join(map(str, first["loc"])), repr(first["input"])[:80]
        raise ArtifactError(f"{where}: {place}: found {found}: {first['msg']}{_within(content, first['loc'])}") from error


def _within(content: Any, path: Iterable[str | int]) -> str:
    """The names of what lies on the way to a place, e.g. `` (in 'android-int8-512x512', 'flat black')``."""
    names: list[str] = []
    for step in path:
        try:
            content = content[step]
        except (LookupError, TypeError):  # pydantic's own names of alternatives are part of its paths
            continue
        if isinstance(content, dict) and isinstance(step, int):
            names += [repr(content[key]) for key in NAMING if isinstance(content.get(key), str)][:1]
    return f" (in {', '.join(names)})" if names else ""


@cache
def schema(kind: type) -> dict[str, Any]:
    """JSON schema (draft 2020-12) of what ``encode`` writes."""
    return {"$schema": DIALECT, **_adapter(kind).json_schema(mode="serialization", schema_generator=_Schema)}


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


@cache
def _validator(kind: type) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(kind))


class _Schema(DescribedSchema):
    """With numbers that are not finite."""

    def float_schema(self, schema: Any) -> JsonSchemaValue:
        number = super().float_schema(schema)
        return number if schema.get("allow_inf_nan") is False else {"anyOf": [number, {"enum": list(NOT_FINITE)}]}
