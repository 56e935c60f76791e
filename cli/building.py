"""From a recipe to a bundle, and what comes before and after."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .app import AsJson, CacheFolder, RecipeFile, app


@app.command()
def init(
    factory: Annotated[
        str | None,
        typer.Argument(help="What makes the model: module:function or file.py:function. It is run, to find out what to write."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The recipe to write.")] = Path("recipe.toml"),
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", metavar="FILE", help="Its weights, if they are in a file.")] = None,
    checkpoint_key: Annotated[
        str | None, typer.Option("--checkpoint-key", metavar="KEY", help="Where they are in it, if several sets of weights fit.")
    ] = None,
    photos: Annotated[
        list[str] | None,
        typer.Option("--photos", help="Folder, glob or file; may be repeated. Without --validation, every second is kept back."),
    ] = None,
    validation: Annotated[list[str] | None, typer.Option("--validation", help="Photos to judge with.")] = None,
    styles: Annotated[list[str] | None, typer.Option("--styles", help="As --photos, for a model of two images.")] = None,
    validation_styles: Annotated[list[str] | None, typer.Option("--validation-styles", help="As --validation.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the model. Default: that of the file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there already.")] = False,
) -> None:
    """Write a commented recipe for your own model."""
    from ..export.starter.starter import StartOptions, start

    calibration, judged = (tuple(values or ()) for values in (photos, validation))
    art, judged_art = (tuple(values or ()) for values in (styles, validation_styles))
    print(start(StartOptions(factory, out, checkpoint, checkpoint_key, calibration, judged, art, judged_art, name, force)))


@app.command()
def release(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to make; an earlier bundle in it is replaced.")] = Path("dist"),
    only: Annotated[
        str | None, typer.Option("--only", metavar="TARGET", help="Build this target of the recipe only; it is then the required one.")
    ] = None,
    cache: CacheFolder = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="CHECKPOINT", help="Start from this checkpoint of the recipe; the whole model's prunes again."),
    ] = None,
    remeasure: Annotated[bool, typer.Option("--remeasure", help="Measure quality and latency again, even if nothing changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build, validate and bundle everything in a recipe. Exit code 0 only if every required artifact passed."""
    from ..export.release import ReleaseOptions
    from ..export.release import release as run

    raise typer.Exit(run(ReleaseOptions(recipe, out, only, cache, remeasure, as_json, start)))


@app.command()
def prune(
    recipe: RecipeFile,
    output: Annotated[Path, typer.Option("--out", "-o", help="The checkpoint to write, .safetensors.")],
    photos: Annotated[
        list[str] | None, typer.Option("--photos", help="Folder, glob or file to recover with, instead of the recipe's; may be repeated.")
    ] = None,
    artworks: Annotated[list[str] | None, typer.Option("--artworks", help="The same for artworks.")] = None,
    cache: CacheFolder = None,
) -> None:
    """Prune and recover the model as the table prune of a recipe says, and write the checkpoint. A run that was killed goes on."""
    from ..export.keep import export_pruned

    export_pruned(recipe, output, tuple(photos or ()), tuple(artworks or ()), cache)


@app.command()
def plan(
    recipe: RecipeFile,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the recipe with what stays in float into this file, beside RECIPE.")
    ] = None,
    cache: CacheFolder = None,
) -> None:
    """Show what the plan of quantisation tries, what each thing gains, and what it takes. A run that was killed goes on."""
    from ..export.planned_recipe import show_plan

    show_plan(recipe, output, cache)


@app.command()
def sensitivity(
    recipe: RecipeFile,
    output: Annotated[Path, typer.Option("--out", "-o", help="The folder for table, picture and JSON.")] = Path("sensitivity"),
    cache: CacheFolder = None,
) -> None:
    """Measure what each module costs the picture when it alone is quantised or pruned. A run that was killed goes on."""
    from ..search.command import analyse

    analyse(recipe, output, cache)


@app.command()
def search(
    recipe: RecipeFile,
    max_bytes: Annotated[int, typer.Option("--max-bytes", min=1, help="What an app may carry, all graphs together.")],
    min_ssim: Annotated[float, typer.Option("--min-ssim", min=0.0, max=1.0, help="Least mean SSIM to the whole float model.")],
    max_latency_ms: Annotated[
        float | None, typer.Option("--max-latency-ms", help="Longest median time of the graph that runs once per image, on this machine.")
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Candidates to build and measure.")] = 16,
    pairs: Annotated[int, typer.Option("--pairs", min=1, help="Calibration pairs that each is measured on.")] = 12,
    recover_steps: Annotated[int, typer.Option("--recover-steps", min=0, help="Steps that each graph of a candidate recovers for.")] = 60,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", help="The winner's recipe, beside RECIPE. Default: RECIPE's name with -found.")
    ] = None,
    cache: CacheFolder = None,
) -> None:
    """Search pruning and precision for a byte budget, on emitted artifacts. Exit code 1 if nothing keeps it; the same command goes on."""
    from ..search.candidate import Budget
    from ..search.command import SearchOptions
    from ..search.command import search as run

    budget = Budget(max_bytes, min_ssim, max_latency_ms)
    found = output or recipe.with_stem(f"{recipe.stem}-found")
    raise typer.Exit(run(SearchOptions(recipe, found, budget, trials, pairs, recover_steps, cache)))


@app.command()
def validate(
    dist: Annotated[Path, typer.Argument(help="A folder that release made.")] = Path("dist"),
    limits: Annotated[Path | None, typer.Option("--limits", help="TOML file with other limits, in a table limits as in a recipe.")] = None,
) -> None:
    """Check the files of a bundle and judge its stored measurements again, without running anything."""
    from ..validation.rejudge import rejudge

    raise typer.Exit(rejudge(dist, limits))


@app.command()
def measure(
    dist: Annotated[Path, typer.Argument(help="A folder that release made, on this machine or another.")],
    recipe: RecipeFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the bundle with the new measurements.")],
    only: Annotated[
        str | None, typer.Option("--only", metavar="TARGET", help="Measure this target alone; it is then the required one.")
    ] = None,
    level: Annotated[Literal["passed"] | None, typer.Option("--level", help="Nothing less is enough, whatever the recipe says.")] = None,
    cache: CacheFolder = None,
    remeasure: Annotated[bool, typer.Option("--remeasure", help="Measure again, even if nothing changed.")] = False,
) -> None:
    """Run a bundle's artifacts on this machine and judge them by the bundle's own limits, e.g. on a Mac what was built on Linux."""
    from ..export.remeasure import MeasureOptions, measure_bundle

    raise typer.Exit(measure_bundle(MeasureOptions(dist, recipe, out, only, level, cache, remeasure)))


@app.command()
def divergence(
    artifact: Annotated[Path, typer.Argument(help="An artifact that release built, e.g. dist/coreml/int8-512x512.", metavar="FOLDER")],
    recipe: RecipeFile,
    graph: Annotated[str | None, typer.Option("--graph", help="Default: the graph that runs once per image.")] = None,
    cache: CacheFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show which modules an artifact loses quality and time by, and the change that would help most."""
    from .divergence import show_divergence

    show_divergence(artifact, recipe, graph, cache, as_json)
