"""Results of single stages as files to keep: a calibration table, a pruned checkpoint."""

from dataclasses import replace
from pathlib import Path

from ..compression.pruning.checkpoint import write_pruned
from ..compression.pruning.prune import Pruned, parameter_count
from ..model.checkpoint import read_metadata
from ..system.disk import atomic_write, check_output, explained_disk_errors
from ..system.errors import RecipeError
from .session import cache_folder, session
from .source.checked_recipe import load_recipe
from .source.source import load
from .stages.plan import fit
from .stages.prune import prune
from .stages.quantize import calibrate, table_path
from .variants import _with_images


def export_calibration(recipe_path: Path, output: Path, cache: Path | None) -> None:
    """Calibrates as the recipe says and writes the table to ``output``.

    Raises:
        InstantStyleError: wrong input, or a recipe without int8.
    """
    recipe = load_recipe(recipe_path)
    if recipe.quantize.method == "off":
        raise RecipeError(f"{recipe.path}: quantize.method: found 'off', so there is nothing to calibrate; allowed: qat, ptq")
    check_output(output, recipe.path, recipe.model.checkpoint)
    root = cache_folder(recipe, cache)
    with explained_disk_errors(root, output), session(root) as pipeline:
        source = prune(pipeline, load(pipeline, recipe))
        table = calibrate(pipeline, source, fit(pipeline, source))
        atomic_write(output, table_path(table).read_bytes())
        pipeline.display.notice(f"{output}: written")


def export_pruned(recipe_path: Path, output: Path, photos: tuple[str, ...], artworks: tuple[str, ...], cache: Path | None) -> None:
    """Prunes and recovers as the recipe says, from the whole model, and writes the checkpoint ``output`` (matrices in half precision).
    Beside it: tables of importance and a picture of that of heads.

    Args:
        photos, artworks: patterns relative to the working directory, to recover with instead of the recipe's images.

    Raises:
        InstantStyleError: wrong input, or a recipe that does not prune.
    """
    recipe = load_recipe(recipe_path)
    if recipe.prune.method == "off":
        raise RecipeError(f"{recipe.path}: prune.method: found 'off', so there is nothing to prune; allowed: structured")
    if output.suffix != ".safetensors":
        raise RecipeError(f"{output}: a checkpoint is written as .safetensors; name it {output.with_suffix('.safetensors')}")
    check_output(output, recipe.path, recipe.model.checkpoint)
    root = cache_folder(recipe, cache)
    recovery = _with_images(recipe, photos, artworks)
    whole = recipe.model_copy(update={"prune": recipe.prune.model_copy(update={"result": None, "recover": recovery})})
    with explained_disk_errors(root, output), session(root) as pipeline:
        source = prune(pipeline, load(pipeline, whole))
        _report_pruning(source.pruning, output)
        rows = tuple(replace(row, importance=()) for row in source.pruning)
        checkpoint = recipe.model.checkpoint
        metadata = read_metadata(checkpoint) if checkpoint else {}
        write_pruned(source.model, rows, path=output, bare=source.bare, metadata=metadata, half=True, learnt=source.learnt)
        before, after = (sum(parameter_count(graph.module) for graph in model.graphs) for model in (source.reference, source.model))
        pipeline.display.notice(f"{output}: {after:,} of {before:,} parameters")


def _report_pruning(rows: tuple[Pruned, ...], output: Path) -> None:
    """Tables and, of heads, a picture, under the checkpoint's name."""
    from ..compression.pruning.report import plot_heads, pruning_markdown

    heads = [row for row in rows if row.kind == "heads"]
    picture = output.with_suffix(".png")
    if heads:
        atomic_write(picture, plot_heads(heads))
    atomic_write(output.with_suffix(".md"), pruning_markdown(rows, f"Pruning of {output.stem}", picture.name))
