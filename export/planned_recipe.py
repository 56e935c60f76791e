"""``instantstyle plan``: makes the plan of quantisation, shows it, and writes it into a recipe."""

from pathlib import Path

import tomlkit

from ..compression.quantization.plan.plan import Plan
from ..recipe.recipe import Recipe
from ..system.disk import atomic_write, check_output, explained_disk_errors
from ..system.errors import RecipeError
from ..validation.report.plan import plan_tables
from ..validation.results.provenance import planned
from .session import cache_folder, session
from .source.checked_recipe import load_recipe
from .source.source import load
from .stages.plan import fit, wants_plan
from .stages.prune import prune
from .stages.quantize import read_plan


def show_plan(recipe_path: Path, output: Path | None, cache: Path | None) -> None:
    """Plans as the recipe says, prints the tables, and writes the recipe with what stays in float to ``output``.

    Raises:
        InstantStyleError: wrong input, or a recipe without a plan.
    """
    recipe = load_recipe(recipe_path)
    if not wants_plan(recipe.quantize):
        raise RecipeError(
            f'{recipe.path}: there is nothing to plan; it takes quantize.plan = "auto", int8, and no calibration table of its own'
        )
    if output is not None:
        if output.absolute().parent.resolve() != recipe.base.resolve():
            raise RecipeError(f"{output}: the paths in a recipe are relative to it, so the new one goes beside {recipe.path}")
        check_output(output, recipe.path, recipe.model.checkpoint)
    root = cache_folder(recipe, cache)
    with explained_disk_errors(root, *([output] if output else [])), session(root) as pipeline:
        source = prune(pipeline, load(pipeline, recipe))
        plan = read_plan(source, fit(pipeline, source))
        print("\n".join(plan_tables(*planned(plan))))
        if output is not None:
            atomic_write(output, recipe_with(recipe, plan))
            pipeline.display.notice(f"{output}: written")


def recipe_with(recipe: Recipe, plan: Plan) -> str:
    """The text of a recipe with a plan's layers in ``keep_float``; comments and all else stay."""
    document = tomlkit.parse(recipe.path.read_text(encoding="utf-8"))
    quantize = document.setdefault("quantize", tomlkit.table())
    quantize["keep_float"] = list(dict.fromkeys((*recipe.quantize.keep_float, *plan.keep_float)))
    return tomlkit.dumps(document)
