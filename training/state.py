"""The state of a training run on disk."""

import io
import json
from pathlib import Path
from typing import Any

import torch

from ..model.finite import not_finite
from ..system.disk import atomic_write
from ..system.errors import RecipeError
from .recipe import TrainingRecipe

STATE = "state.pt"
LENGTH = ("epochs", "steps", "minutes", "warmup")


def save_state(folder: Path, recipe: TrainingRecipe, state: dict[str, Any]) -> None:
    """Writes ``state`` and what of the recipe it depends on; a kill at any moment leaves the earlier one."""
    buffer = io.BytesIO()
    torch.save({**state, "settings": json.dumps(_settings(recipe, state["stage"]))}, buffer)
    atomic_write(folder / STATE, buffer.getvalue())


def load_state(folder: Path, recipe: TrainingRecipe) -> dict[str, Any] | None:
    """The state that ``save_state`` wrote, or None.

    Raises:
        RecipeError: the file is damaged, or the recipe's seed or a stage that has begun are not those of the state.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        before = json.loads(state["settings"])
    except Exception as error:
        raise RecipeError(f"{path}: damaged ({error}); delete it to start again, or restore it") from error
    wrong = not_finite(state["average"]) + not_finite(state["network"])
    if wrong:
        raise RecipeError(f"{path}: NaN or infinity in {wrong[0]}, so this run is lost; --restart, at a lower learning rate")
    if state["stage"] >= len(recipe.stages):
        raise RecipeError(f"{path}: made by a recipe of more stages; give the run another folder (--run), or --restart")
    now = _settings(recipe, state["stage"])
    if now != before:
        changed = ", ".join(sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key)))
        raise RecipeError(
            f"{path}: this run was started with other settings ({changed}); give the new one another folder (--run), or --restart"
        )
    return state


def _settings(recipe: TrainingRecipe, stage: int) -> dict[str, Any]:
    """What must not change under a run: seed, precision and the stages up to the one at hand. Later stages may."""
    flat: dict[str, Any] = {"run.seed": recipe.run.seed, "run.precision": recipe.run.precision, "run.ema": recipe.run.ema}
    for index, settings in enumerate(recipe.stages[: stage + 1]):
        # Without what is left at its default, so that a setting which a later version adds does not end the run.
        dumped = settings.model_dump(mode="json", exclude_defaults=True)
        if index == stage and settings.schedule == "constant":
            # Nothing that was done depends on when it is to end, so that a stage can be made longer, or shorter and followed by the next.
            dumped = {name: value for name, value in dumped.items() if name not in LENGTH}
        flat |= {f"stages[{index}].{name}": value for name, value in dumped.items()}
    return flat
