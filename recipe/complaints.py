"""Turns what pydantic says about a recipe into sentences for the person who wrote it."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..system.errors import InstantStyleError

Location = tuple[int | str, ...]
Options = TypeVar("Options", bound=BaseModel)
HEADER = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+")


def describe(error: ValidationError, path: Path, text: str, root: type[BaseModel]) -> str:
    """All problems of a recipe, one line each: file, line, dotted key, what was found, what is allowed."""
    lines = []
    problems = error.errors()
    for problem in problems:
        if _is_consequence(problem, problems):
            continue
        location = _as_written(problem["loc"])
        lines.append(f"{path}{locate(text, location)}: {_sentence(problem, location, root)}")
    return "\n".join(dict.fromkeys(lines))


def _is_consequence(problem: ErrorDetails, problems: list[ErrorDetails]) -> bool:
    """Whether pydantic found a list too short only because it had refused something in it, which is told already."""
    inside = (other["loc"] for other in problems if other is not problem)
    return problem["type"] == "too_short" and any(loc[: len(problem["loc"])] == problem["loc"] for loc in inside)


def suggestion(found: str, known: Iterable[str]) -> str:
    """ ", did you mean 'x'?" or nothing."""
    close = difflib.get_close_matches(found, list(known), n=1, cutoff=0.6)
    return f", did you mean '{close[0]}'?" if close else ""


def locate(text: str, location: Location) -> str:
    """ ":line" of a key in the TOML text, or of the table that it is missing from; empty if not found."""
    names = [part for part in location if isinstance(part, str)]
    lines = dict(_keys(text))
    for length in range(len(names), 0, -1):
        line = lines.get(".".join(names[:length]))
        if line is not None:
            return f":{line}"
    return ""


def _keys(text: str) -> Iterator[tuple[str, int]]:
    """Dotted key and line of every table and every assignment, last first so that a dict keeps the first."""
    found: list[tuple[str, int]] = []
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := HEADER.match(line):
            table = _bare(header[1])
            found.append((table, number))
        elif assignment := re.match(r"\s*([A-Za-z0-9_.\"' -]+?)\s*=", line):
            found.append((f"{table}.{_bare(assignment[1])}".lstrip("."), number))
    return reversed(found)


def _bare(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def _as_written(location: Location) -> Location:
    """Our own ``target_limits.android.x`` is ``limits.android.x`` in the file."""
    return ("limits", *location[1:]) if location[:1] == ("target_limits",) else location


def _dotted(location: Location) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def _sentence(problem: ErrorDetails, location: Location, root: type[BaseModel]) -> str:
    key, found, context = _dotted(location), problem["input"], problem.get("ctx", {})
    match problem["type"]:
        case "extra_forbidden":
            allowed = _allowed_keys(root, problem["loc"][:-1])
            return f"unknown key '{key}'{suggestion(str(location[-1]), allowed)}; allowed: {', '.join(allowed)}"
        case "missing" if isinstance(location[-1], int):
            return f"{_dotted(location[:-1])}: found {found!r}; a value is missing"
        case "missing":
            return f"missing key '{key}'"
        case "literal_error":
            close = suggestion(found, re.findall(r"'([^']+)'", context["expected"])) if isinstance(found, str) else ""
            return f"{key}: found {found!r}{close}; allowed: {context['expected']}"
        case "too_short":
            return f"{key}: found nothing; at least {context['min_length']} needed"
        case _:
            return f"{key}: found {found!r}; {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _allowed_keys(root: type[BaseModel], location: Location) -> list[str]:
    hidden = {"path", "sha256", "target_limits"}
    model = root
    for part in location:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        for kind in (annotation, *get_args(annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return [name for name in model.model_fields if name not in hidden]


def parse_options(kind: type[Options], options: Mapping[str, Any]) -> Options:
    """``[targets.options.<name>]`` as ``kind``.

    Raises:
        InstantStyleError: an unknown key, with those that exist, or a wrong value.
    """
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            raise InstantStyleError(f"unknown key '{key}'; known are {', '.join(kind.model_fields)}") from error
        raise InstantStyleError(f"{key} = {problem['input']!r}: {problem['msg']}") from error
