"""A recipe whose targets and files exist here."""

from pathlib import Path

from ...recipe.complaints import locate, suggestion
from ...recipe.precision import Precision
from ...recipe.recipe import Recipe, parse_recipe, read_toml
from ...recipe.shipped import recipe_file
from ...system.errors import InstantStyleError, RecipeError


def load_recipe(path: Path) -> Recipe:
    """Reads and checks a recipe, the names of its targets and the files that it names included.

    Args:
        path: of the file, or the name of one that comes with the package (``mobile``).

    Raises:
        RecipeError: says file, line, key, what was found and what is allowed.
    """
    recipe = parse_recipe(recipe_file(path))
    text, _ = read_toml(recipe.path)
    _check_targets(recipe, text)
    table = recipe.quantize.calibration_table
    if table is not None and not table.is_file():
        raise RecipeError(
            f"{recipe.path}{locate(text, ('quantize', 'calibration_table'))}: quantize.calibration_table: no such file {table}"
        )
    return recipe


def _check_targets(recipe: Recipe, text: str) -> None:
    from ...targets.registry import targets

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
