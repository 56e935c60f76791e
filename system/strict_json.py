"""JSON as its standard has it: Python's own reader lets NaN and a key that is there twice pass."""

import json
import math
from typing import Any

from .errors import ArtifactError


def parse(text: str | bytes, where: str) -> Any:
    """The content of ``text``.

    Args:
        where: the file, for messages.

    Raises:
        ArtifactError: not JSON, two equal keys in one object, or a number that is not finite; names the key.
    """

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in pairs:
            if key in content:
                raise ArtifactError(f"{where}: the key '{key}' is there twice in one object")
            if isinstance(value, float) and not math.isfinite(value):
                raise ArtifactError(f"{where}: '{key}' is {value}, which is not a number in JSON")
            content[key] = value
        return content

    try:
        return json.loads(text, object_pairs_hook=checked)
    except ArtifactError:
        raise
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where}: not valid JSON: {error}") from error
