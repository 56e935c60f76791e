"""A table of options as a target's own type, with errors for the person who wrote it."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..model.errors import InstantStyleError

Options = TypeVar("Options", bound=BaseModel)


def parse(kind: type[Options], options: Mapping[str, Any]) -> Options:
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
