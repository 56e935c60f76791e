"""JSON schemas with the texts of docstrings: what pydantic's generator leaves out."""

import inspect
import re
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class DescribedSchema(GenerateJsonSchema):
    """A class's docstring describes its table, the lines of its ``Attributes`` section describe the keys."""

    def dataclass_schema(self, schema: Any) -> JsonSchemaValue:
        return _described(super().dataclass_schema(schema), schema["cls"])

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        return _described(super().model_schema(schema), schema["cls"])


def _described(generated: JsonSchemaValue, kind: type) -> JsonSchemaValue:
    text, attributes = _documentation(kind)
    for name, entry in generated["properties"].items():
        entry.pop("title", None)
        if name in attributes:
            entry["description"] = attributes[name]
    return {**generated, "description": text}


def _documentation(kind: type) -> tuple[str, dict[str, str]]:
    """A docstring's text, and what its ``Attributes`` section says about each of them; a subclass inherits the latter."""
    text, attributes = _parsed(kind)
    for parent in kind.__mro__[1:]:
        attributes = {**_parsed(parent)[1], **attributes}
    return text, attributes


def _parsed(kind: type) -> tuple[str, dict[str, str]]:
    text, _, rest = (inspect.cleandoc(kind.__doc__ or "")).partition("\nAttributes:\n")
    attributes: dict[str, str] = {}
    names: list[str] = []
    for line in rest.split("\n\n")[0].splitlines():
        start = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
        if start:
            names = start[1].split(", ")
        for name in names:
            attributes[name] = f"{attributes[name]} {line.strip()}" if not start else start[2]
    return text.strip(), attributes
