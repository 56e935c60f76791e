"""What every table of a recipe is made of: immutable sections, paths, patterns and sizes."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo


def _as_size(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _beside_recipe(value: Any, info: ValidationInfo) -> Any:
    """Paths in a recipe are relative to the recipe."""
    base = (info.context or {}).get("base")
    return base / value if isinstance(value, str) and base is not None else value


# What a validator takes besides is for the JSON schema.
Patterns = Annotated[tuple[str, ...], BeforeValidator(_as_tuple, json_schema_input_type=str | tuple[str, ...]), Field(min_length=1)]
RecipePath = Annotated[Path, BeforeValidator(_beside_recipe, json_schema_input_type=str)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=8, le=8192)]
PixelSize = Annotated[tuple[Pixels, Pixels], BeforeValidator(_as_size, json_schema_input_type=Pixels | tuple[Pixels, Pixels])]


class Section(BaseModel):
    """A table of a recipe: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)
