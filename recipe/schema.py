"""JSON schemas of recipes, for editors: draft 7, which those that complete TOML (Taplo, Even Better TOML, Tombi) understand."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue

from ..system.described_schema import DescribedSchema
from .recipe import Recipe

DIALECT = "http://json-schema.org/draft-07/schema#"
DEFINITIONS = "definitions"
# Fields that say where a recipe lies or what became of its tables; no keys of the file.
NOT_WRITTEN = ("path", "sha256", "target_limits")
NULL = {"type": "null"}


class _Schema(DescribedSchema):
    """Tuples of fixed length as draft 7 writes them."""

    def tuple_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().tuple_schema(schema)
        return {"items" if key == "prefixItems" else key: value for key, value in made.items()}


def table_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a TOML file that is validated as ``kind``."""
    made = kind.model_json_schema(mode="validation", schema_generator=_Schema, ref_template=f"#/{DEFINITIONS}/{{model}}")
    for name in NOT_WRITTEN:
        made["properties"].pop(name, None)
    made["required"] = [name for name in made["required"] if name not in NOT_WRITTEN]
    definitions = made.pop("$defs")
    return {"$schema": DIALECT, **_of_toml(made), DEFINITIONS: _of_toml(definitions)}


def recipe_schema(precisions: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The JSON schema of recipes for ``instantstyle release``.

    Args:
        precisions: by target. Other targets are allowed, because other packages may add them, but these are offered.
    """
    made = table_schema(Recipe)
    definitions = made[DEFINITIONS]
    names = [*precisions, *(f"{target}-{precision}" for target, some in precisions.items() for precision in some)]
    definitions["LimitTables"] = _limit_tables(definitions["Limits"], names)
    made["properties"]["limits"] = {"$ref": f"#/{DEFINITIONS}/LimitTables"}
    targets = definitions["TargetSettings"]["properties"]
    targets["build"]["properties"] = {
        target: {"type": "array", "minItems": 1, "items": {"enum": list(some)}} for target, some in precisions.items()
    }
    targets["level"]["properties"] = {name: targets["level"]["additionalProperties"] for name in names}
    targets["options"]["properties"] = {target: {"type": "object"} for target in precisions}
    return made


def _limit_tables(limits: JsonSchemaValue, names: Sequence[str]) -> JsonSchemaValue:
    """``[limits]``: limits for everything, and tables with those of a target, or of a target in one precision."""
    own = {"$ref": f"#/{DEFINITIONS}/Limits"}
    return {**limits, "properties": {**limits["properties"], **dict.fromkeys(names, own)}, "additionalProperties": own}


def _of_toml(value: Any) -> Any:
    """Without null, which TOML has not, and defaults of whole tables; ``$ref`` alone, because draft 7 overlooks what is beside it."""
    if isinstance(value, list):
        return [_of_toml(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {key: _of_toml(each) for key, each in value.items() if not (key == "default" and (each is None or isinstance(each, dict)))}
    if NULL in made.get("anyOf", ()):
        some = [each for each in made.pop("anyOf") if each != NULL]
        made |= some[0] if len(some) == 1 else {"anyOf": some}
    if "$ref" in made and len(made) > 1:
        made["allOf"] = [{"$ref": made.pop("$ref")}]
    return made
