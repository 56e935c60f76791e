"""The recipe: one TOML file that says what to build, from what, for whom, and what it must reach."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ..model.errors import InstantStyleError, RecipeError
from ..targets.base import Precision
from ..validation.limits import Limits, LimitTable
from .fingerprint import file_sha256
from .recipe_errors import describe, locate, suggestion
from .settings import (
    AppSettings,
    ImageSettings,
    LatencySettings,
    ModelSettings,
    ParitySettings,
    PruneSettings,
    QuantizeSettings,
    RecipePath,
    Section,
    TargetSettings,
)


class Recipe(Section):
    """A whole recipe.

    Attributes:
        sha256: of the file.
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


def load_recipe(path: Path) -> Recipe:
    """Reads and checks a recipe, the names of its targets and the files that it names included.

    Raises:
        RecipeError: says file, line, key, what was found and what is allowed.
    """
    recipe = parse_recipe(path)
    text, _ = read_toml(recipe.path)
    _check_targets(recipe, text)
    table = recipe.quantize.calibration_table
    if table is not None and not table.is_file():
        raise RecipeError(
            f"{recipe.path}{locate(text, ('quantize', 'calibration_table'))}: quantize.calibration_table: no such file {table}"
        )
    return recipe


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


def _check_targets(recipe: Recipe, text: str) -> None:
    from ..targets.registry import targets

    known = targets()

    def refuse(key: tuple[str, ...], problem: str) -> RecipeError:
        return RecipeError(f"{recipe.path}{locate(text, key)}: {'.'.join(key)}: {problem}")

    for name, precisions in recipe.targets.build.items():
        key = ("targets", "build", name)
        if name not in known:
            raise refuse(key, f"unknown target '{name}'{suggestion(name, known)}; existing targets: {', '.join(sorted(known))}")
        for precision in precisions:
            if precision not in known[name].precisions:
                allowed = ", ".join(known[name].precisions)
                raise refuse(key, f"found '{precision}', which {name} cannot build; allowed: {allowed}")
            if precision == Precision.INT8 and recipe.quantize.method == "off":
                raise refuse(
                    key, "found 'int8', but quantize.method is 'off'; allowed: float32, float16, or another quantize.method (qat, ptq)"
                )
    build = recipe.targets.build
    built = [*build, *(f"{name}-{precision}" for name, precisions in build.items() for precision in precisions)]
    named = [(("targets", "required"), name) for name in recipe.targets.required]
    for key, name in named + [(("limits", name), name) for name in recipe.target_limits]:
        if name not in built:
            raise refuse(key, f"found '{name}', which is not built{suggestion(name, built)}; allowed: {', '.join(built)}")
    for name in recipe.targets.level:
        if name not in recipe.targets.required:
            required = ", ".join(recipe.targets.required)
            raise refuse(("targets", "level", name), f"'{name}' is not required, so it needs no level; allowed: {required}")
    for name, options in recipe.targets.options.items():
        key = ("targets", "options", name)
        if name not in build:
            raise refuse(key, f"found '{name}', which is not built{suggestion(name, build)}; allowed: {', '.join(build)}")
        try:
            known[name].configured(options)
        except InstantStyleError as error:
            raise refuse(key, str(error)) from error
