"""The recipe: one TOML file that says what to build, from what, for whom, and what it must reach."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ..system.errors import RecipeError
from ..system.hashing import file_sha256
from .complaints import describe, locate
from .latency import LatencySettings
from .limits import Limits, LimitTable
from .release_settings import AppSettings, ParitySettings
from .section import RecipePath, Section
from .settings import ImageSettings, ModelSettings, PruneSettings, QuantizeSettings, TargetSettings


class Recipe(Section):
    """A whole recipe.

    Attributes:
        sha256: of the file.
        name: of the model, in reports and artifacts.
        cache: folder where finished stages are kept, relative to the recipe; by default ``.instantstyle/cache`` where the command runs.
        limits: for every artifact.
        target_limits: by target (``android``) or target and precision (``android-int8``); they replace ``limits`` one by one.
    """

    path: Path
    sha256: str = ""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    cache: RecipePath | None = None
    model: ModelSettings
    images: ImageSettings
    prune: PruneSettings = PruneSettings()
    quantize: QuantizeSettings = QuantizeSettings()
    targets: TargetSettings
    limits: Limits = Limits()
    target_limits: dict[str, Limits] = {}
    latency: LatencySettings = LatencySettings()
    app: AppSettings = AppSettings()
    parity: ParitySettings = ParitySettings()

    @property
    def base(self) -> Path:
        """The folder that relative paths in the recipe start from."""
        return self.path.parent

    def limits_for(self, target: str, precision: str) -> Limits:
        """What an artifact has to reach."""
        return LimitTable(self.limits, self.target_limits).of(target, precision)


def parse_recipe(path: Path) -> Recipe:
    """What a recipe says, whether or not its targets and files exist here: that of a bundle may be far from home.

    Raises:
        RecipeError: as ``load_recipe``.
    """
    path = path.absolute()
    text, content = read_toml(path)
    for reserved in ("path", "sha256", "target_limits"):
        if reserved in content:
            raise RecipeError(f"{path}{locate(text, (reserved,))}: unknown key '{reserved}'")
    limits, target_limits = split_limits(content.pop("limits", {}))
    merged = {**content, "path": path, "sha256": file_sha256(path), "limits": limits, "target_limits": target_limits}
    try:
        return Recipe.model_validate(merged, context={"base": path.parent})
    except ValidationError as error:
        raise RecipeError(describe(error, path, text, Recipe)) from error


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a recipe and what it says.

    Raises:
        RecipeError: missing, unreadable or not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: no such recipe") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error


def split_limits(table: object) -> tuple[object, dict[str, object]]:
    """``[limits]`` to the limits of all targets and, by target, the tables in it."""
    if not isinstance(table, Mapping):
        return table, {}
    common = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
    return common, {name: value for name, value in table.items() if isinstance(value, Mapping)}
