"""``instantstyle evaluate``: which images, and the figures as a table or as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..calibration.imageset import ImageSet
from ..export.progress import make_display
from ..model.checkpoint import load_checkpoint
from .evaluate import TARGETS, Evaluation, evaluate
from .images import split_data
from .recipe import load_training_recipe

SAMPLES = Path("samples/validation")
TITLES = {
    "teacher_l1": "L1 to the teacher's output",
    "photo_l1": "  the plain photo's",
    "style_share": "style distance, share of the plain photo's",
    "teacher_style_share": "  the teacher's",
    "diversity": "diversity over the teacher's",
    "swept": "pairs at every alpha",
    "identity_ssim": "alpha 0: SSIM of output and photo",
    "monotonic_share": "alpha: pairs whose style distance never rises",
}


@dataclass(frozen=True)
class EvaluateOptions:
    """What the command line says. Without a recipe all images that are named count."""

    checkpoint: Path
    recipe: Path | None
    photos: tuple[str, ...]
    artworks: tuple[str, ...]
    threads: int | None
    sweep_every: int
    as_json: bool


def report(options: EvaluateOptions) -> None:
    """Evaluates and prints.

    Raises:
        ImageError, RecipeError, CheckpointError, MissingPackageError: wrong input, or a package is missing.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    network = load_checkpoint(options.checkpoint)
    photos, artworks = _images(options)
    display = make_display(options.as_json)
    try:
        with display.stage("evaluate") as say:
            result = evaluate(network, photos, artworks, lambda done, total: say(done, total, ""), options.sweep_every)
    finally:
        display.close()
    print(json.dumps(asdict(result)) if options.as_json else as_text(result))


def _images(options: EvaluateOptions) -> tuple[list[Path], list[Path]]:
    if options.recipe is not None:
        recipe = load_training_recipe(options.recipe, options.photos, options.artworks)
        photos, artworks = split_data(recipe.data, recipe.path.parent)
        return photos.held_out, artworks.held_out
    here = Path()
    chosen = (options.photos or (str(SAMPLES / "photos"),), options.artworks or (str(SAMPLES / "styles"),))
    photos, artworks = (list(ImageSet.from_patterns(patterns, here).files) for patterns in chosen)
    return photos, artworks


def as_text(result: Evaluation) -> str:
    """The figures, a line each, beside what a finished checkpoint should reach."""
    lines = [f"{result.photos} photos x {result.artworks} artworks{'measured':>32}{'limit':>9}{'aim':>7}"]
    for name, title in TITLES.items():
        value, target = getattr(result, name), TARGETS.get(name)
        wanted = f"{target.limit:>9g}{target.aim:>7g}{'' if target.met(value) else '  missed'}" if target else ""
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        lines.append(f"{title:<46}{shown:>9}{wanted}")
    return "\n".join(lines)
