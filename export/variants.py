"""Recipes that differ from a file in one thing: without pruning, from another checkpoint, one target alone."""

from pathlib import Path

from ..recipe.complaints import suggestion
from ..recipe.recipe import Recipe
from ..recipe.settings import ImageSetSettings, RecoverSettings
from ..system.errors import RecipeError


def without_pruning(recipe: Recipe) -> Recipe:
    """The recipe of the whole model; how it would be pruned and recovered stays in it."""
    return recipe.model_copy(update={"prune": recipe.prune.model_copy(update={"method": "off", "result": None})})


def _with_images(recipe: Recipe, photos: tuple[str, ...], artworks: tuple[str, ...]) -> RecoverSettings:
    """How the recipe recovers, with other images."""
    recovery = recipe.prune.recover
    own = recovery.images or recipe.images.calibration
    given = [tuple(str(Path(pattern).absolute()) for pattern in patterns) for patterns in (photos, artworks)]
    return recovery.model_copy(update={"images": ImageSetSettings(photos=given[0] or own.photos, styles=given[1] or own.styles)})


def from_checkpoint(recipe: Recipe, start: str | None) -> Recipe:
    """The recipe that starts from the whole model's checkpoint, if ``start`` is its name, and prunes and recovers again.

    Raises:
        RecipeError: the recipe has no checkpoint of that name.
    """
    checkpoints = {path.stem: path for path in (recipe.prune.result, recipe.model.checkpoint) if path is not None}
    if start is None:
        return recipe
    if start not in checkpoints:
        raise RecipeError(f"{recipe.path}: --from {start}: the recipe's checkpoints are {', '.join(checkpoints) or 'none'}")
    if checkpoints[start] == recipe.prune.result:
        return recipe
    return recipe.model_copy(update={"prune": recipe.prune.model_copy(update={"result": None})})


def select(recipe: Recipe, only: str | None) -> Recipe:
    """The recipe with one of its targets, of which what is required stays required, or all if nothing was.

    Raises:
        RecipeError: the recipe does not build it.
    """
    if only is None:
        return recipe
    build = recipe.targets.build
    if only not in build:
        raise RecipeError(f"{recipe.path}: --only {only}: not built by this recipe{suggestion(only, build)}; allowed: {', '.join(build)}")
    targets = recipe.targets.model_copy(update={"build": {only: build[only]}, "required": recipe.targets.required_of(only)})
    return recipe.model_copy(update={"targets": targets})
