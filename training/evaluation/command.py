"""``instantstyle evaluate``: which images, and the figures as a table, as JSON or as a page."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ...calibration.imageset import ImageSet
from ...model.checkpoint import load_checkpoint
from ...system.progress import make_display
from ..images import split_data
from ..recipe import load_training_recipe
from .likeness import likeness
from .page import paired_grid, write_page
from .pairs import evaluate
from .table import LIKENESS, as_text, rows_of

SAMPLES = Path("samples/validation")


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
    other: Path | None = None
    page: Path | None = None


def evaluate_checkpoint(options: EvaluateOptions) -> None:
    """Evaluates and prints.

    Raises:
        ImageError, RecipeError, CheckpointError, MissingPackageError: wrong input, or a package is missing.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    network, other = load_checkpoint(options.checkpoint), load_checkpoint(options.other) if options.other else None
    photos, artworks = _images(options)
    display = make_display(options.as_json)
    try:
        with display.stage("evaluate") as say:
            result = evaluate(network, photos, artworks, lambda done, total: say(done, total, ""), options.sweep_every)
        alike = None
        if other is not None:
            with display.stage("compare") as say:
                alike = likeness(network, other, photos, artworks, lambda done, total: say(done, total, ""))
        rows = rows_of(result, alike)
        if options.page is not None:
            with display.stage("page"):
                page = write_page(options.page, options.checkpoint.stem, result, rows, paired_grid(network, photos, artworks))
            display.notice(f"wrote {page}")
    finally:
        display.close()
    figures = asdict(result) | (dict(zip(LIKENESS, alike, strict=True)) if alike else {})
    print(json.dumps(figures) if options.as_json else as_text(result, rows))


def _images(options: EvaluateOptions) -> tuple[list[Path], list[Path]]:
    if options.recipe is not None:
        recipe = load_training_recipe(options.recipe, options.photos, options.artworks)
        photos, artworks = split_data(recipe.data, recipe.path.parent)
        return photos.held_out, artworks.held_out
    here = Path()
    chosen = (options.photos or (str(SAMPLES / "photos"),), options.artworks or (str(SAMPLES / "styles"),))
    photos, artworks = (list(ImageSet.from_patterns(patterns, here).files) for patterns in chosen)
    return photos, artworks
