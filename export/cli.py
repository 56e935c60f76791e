"""The command line. Heavy packages are imported inside the commands, so that ``--help`` is quick."""

import errno
import importlib.metadata
import json
import os
import sys
import threading
import traceback
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from ..distribution.commands import add_commands
from ..model.errors import InstantStyleError
from .defect import memory_sentence, tell_defect, tell_thread_defect
from .disk import explained_disk_errors

WRONG_INPUT, INTERRUPTED, OUTPUT_CLOSED = 2, 130, 141
CHECKPOINT = Path("checkpoints/instantstyle-12m.safetensors")


class DisguisedError(Exception):
    """A defect that Python or typer would take for the end of a command."""


class Commands(TyperGroup):
    """Typer takes any EOFError, such as that of a file that is cut short, for a user who aborts at a prompt, with exit code 1."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise DisguisedError(f"EOFError: {error}") from error


app = typer.Typer(
    cls=Commands,
    help="Exports style-transfer and other image-to-image PyTorch models to phones and edge devices, and proves that they still work.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
calibration_app = typer.Typer(help="Calibration tables: export them, compare them.", no_args_is_help=True)
model_app = typer.Typer(help="The InstantStyle network.", no_args_is_help=True)
cache_app = typer.Typer(help="The cache of finished stages.", no_args_is_help=True)
app.add_typer(calibration_app, name="calibration")
app.add_typer(model_app, name="model")
app.add_typer(cache_app, name="cache")
add_commands(app)

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a TOML file.", metavar="RECIPE")]
CacheFolder = Annotated[
    Path | None,
    typer.Option("--cache", metavar="FOLDER", help="Where finished stages are kept. Default: the recipe's, or .instantstyle/cache."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for machines.")]


def main() -> None:
    """Entry point. Exit codes: 0 passed, 1 the gate refused, 2 wrong input, 70 a defect of ours, 130 interrupted, 141 output closed."""
    threading.excepthook = tell_thread_defect
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # what libraries warn of is not for this command's user; python -W shows it
        code = _exit_code()
    sys.exit(code)


def _exit_code() -> int:
    code = 0
    try:
        try:
            with explained_disk_errors():
                app()
        except SystemExit as end:
            code = _meant_code(end)
        sys.stdout.flush()
    except InstantStyleError as error:
        print(f"instantstyle: {error}", file=sys.stderr)
        return WRONG_INPUT
    except BrokenPipeError:
        # Or Python would meet the closed pipe again when it ends, and say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return OUTPUT_CLOSED
    except KeyboardInterrupt:  # typer makes 130 of most
        code = INTERRUPTED
    except Exception as error:
        sentence = memory_sentence(error)
        if sentence is None:
            return tell_defect(error)
        print(f"instantstyle: {sentence}", file=sys.stderr)
        return WRONG_INPUT
    if code == INTERRUPTED:
        print("\ninstantstyle: interrupted; resume by running the same command", file=sys.stderr)
    return code


def _meant_code(end: SystemExit) -> int:
    """The exit code of a command. What else ends the process must not look like one: 1 says that the gate refused.

    Raises:
        BrokenPipeError: a library ended the process because nobody reads its output.
        DisguisedError: a library or a user's module called ``sys.exit``.
    """
    cause = end.__context__
    if isinstance(cause, OSError) and cause.errno == errno.EPIPE:
        raise BrokenPipeError from end
    raised_by = Path([frame.filename for frame in traceback.extract_tb(end.__traceback__)][-1])
    if not raised_by.is_relative_to(Path(typer.__file__).parent):
        raise DisguisedError(f"SystemExit with code {end.code}, asked for at {raised_by}") from end
    return end.code if isinstance(end.code, int) else 0


def _version(wanted: bool) -> None:
    if wanted:
        print(f"instantstyle {importlib.metadata.version('instantstyle')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


@app.command()
def release(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Option("--out", help="The folder to make; an earlier bundle in it is replaced.")] = Path("dist"),
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
    from .release import ReleaseOptions
    from .release import release as run

    raise typer.Exit(run(ReleaseOptions(recipe, out, only, cache, remeasure, as_json, start)))


@app.command()
def prune(
    recipe: RecipeFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="The checkpoint to write, .safetensors.")],
    photos: Annotated[
        list[str] | None, typer.Option("--photos", help="Folder, glob or file to recover with, instead of the recipe's; may be repeated.")
    ] = None,
    artworks: Annotated[list[str] | None, typer.Option("--artworks", help="The same for artworks.")] = None,
    cache: CacheFolder = None,
) -> None:
    """Prune and recover the model as the table prune of a recipe says, and write the checkpoint. A run that was killed goes on."""
    from .release import export_pruned

    export_pruned(recipe, output, tuple(photos or ()), tuple(artworks or ()), cache)


@app.command()
def sensitivity(
    recipe: RecipeFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for table, picture and JSON.")] = Path("sensitivity"),
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
        Path | None, typer.Option("--output", "-o", help="The winner's recipe, beside RECIPE. Default: RECIPE's name with -found.")
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
    out: Annotated[Path, typer.Option("--out", help="The folder for the bundle with the new measurements.")],
    only: Annotated[
        str | None, typer.Option("--only", metavar="TARGET", help="Measure this target alone; it is then the required one.")
    ] = None,
    level: Annotated[
        Literal["passed"] | None, typer.Option("--level", help="Graph parity is not enough, whatever the recipe says.")
    ] = None,
    cache: CacheFolder = None,
    remeasure: Annotated[bool, typer.Option("--remeasure", help="Measure again, even if nothing changed.")] = False,
) -> None:
    """Run a bundle's artifacts on this machine and judge them by the bundle's own limits, e.g. on a Mac what was built on Linux."""
    from .measure import MeasureOptions, measure_bundle

    raise typer.Exit(measure_bundle(MeasureOptions(dist, recipe, out, only, level, cache, remeasure)))


@app.command()
def divergence(
    artifact: Annotated[Path, typer.Argument(help="An artifact that release built, e.g. dist/coreml/int8-512x512.", metavar="FOLDER")],
    recipe: RecipeFile,
    graph: Annotated[str | None, typer.Option("--graph", help="Default: the graph that runs once per image.")] = None,
    cache: CacheFolder = None,
    as_json: AsJson = False,
) -> None:
    """Compare every operation of an artifact's graph with PyTorch's (Core ML packages)."""
    from .divergence import show_divergence

    show_divergence(artifact, recipe, graph, cache, as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, which targets can emit and run here, and the command for what is missing."""
    from .doctor import as_dict, as_text, examine

    health = examine()
    print(json.dumps(as_dict(health), indent=2) if as_json else as_text(health))


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A training recipe, a TOML file.", metavar="RECIPE")] = Path("recipes/train.toml"),
    out: Annotated[Path | None, typer.Option("--out", help="The checkpoint to write. Default: in the run's folder.")] = None,
    photos: Annotated[
        list[str] | None, typer.Option("--photos", help="Folder, glob or file, instead of the recipe's; may be repeated.")
    ] = None,
    artworks: Annotated[list[str] | None, typer.Option("--artworks", help="The same for artworks.")] = None,
    run: Annotated[Path | None, typer.Option("--run", metavar="FOLDER", help="Where state, metrics and pictures are kept.")] = None,
    start: Annotated[Path | None, typer.Option("--start", metavar="FILE", help="Checkpoint to start from, for fine-tuning.")] = None,
    content_weights: Annotated[
        Path | None, typer.Option("--content-weights", metavar="FILE", help="torchvision's ResNet-50 weights for the content encoder.")
    ] = None,
    freeze: Annotated[
        list[str] | None, typer.Option("--freeze", metavar="MODULE", help="Keep a module as it is, e.g. style_encoder; may be repeated.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: the recipe's.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Start again instead of continuing; teacher pairs are kept.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train the reference network. The same command continues a run that was interrupted."""
    from ..training.command import TrainOptions
    from ..training.command import train as run_training

    lists = [tuple(values or ()) for values in (photos, artworks, freeze)]
    options = TrainOptions(recipe, out, lists[0], lists[1], run, start, content_weights, lists[2], threads, restart, as_json)
    run_training(options)


@app.command()
def stylize(
    photos: Annotated[list[str], typer.Argument(help="Photos: files, folders or globs.", metavar="PHOTO...")],
    style: Annotated[list[Path], typer.Option("--style", metavar="ART", help="The artwork; several are mixed.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write, or the folder for pictures.")],
    weights: Annotated[str | None, typer.Option("--weights", help="Shares of several styles, e.g. 0.3,0.7. Default: even.")] = None,
    alpha: Annotated[float, typer.Option("--alpha", help="Strength of the style, from 0 (the photo) to 1.")] = 1.0,
    size: Annotated[int | None, typer.Option("--size", min=8, help="Longer side in pixels. Default: as the photo.")] = None,
    artifact: Annotated[
        Path | None,
        typer.Option("--artifact", metavar="FOLDER", help="Paint with an artifact that release built, e.g. dist/android/int8-512x512."),
    ] = None,
    checkpoint: Annotated[Path, typer.Option("--checkpoint", help="Paint with this checkpoint in PyTorch.")] = CHECKPOINT,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace pictures of the folder that are there already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Paint photos in the style of an artwork. Exit code 1 if some of several photos could not be read."""
    from ..stylize.command import StylizeOptions, parse_weights
    from ..stylize.command import stylize as run

    shares = parse_weights(weights)
    options = StylizeOptions(tuple(photos), tuple(style), out, checkpoint, shares, alpha, size, artifact, threads, force, as_json)
    raise typer.Exit(run(options))


@app.command()
def apply(
    artifact: Annotated[Path, typer.Argument(help="An artifact that release built, e.g. dist/onnx/int8-512x512.", metavar="ARTIFACT")],
    photos: Annotated[list[str], typer.Argument(help="Photos: files, folders or globs.", metavar="PHOTO...")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write, or the folder for pictures.")],
    style: Annotated[list[Path] | None, typer.Option("--style", metavar="ART", help="The other image, for a model that takes two.")] = None,
    size: Annotated[int | None, typer.Option("--size", min=8, help="Longer side of the photo in pixels. Default: as it is.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace pictures of the folder that are there already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run any artifact on pictures, by its manifest alone. Exit code 1 if some of several photos could not be read."""
    from ..stylize.apply import ApplyOptions
    from ..stylize.apply import apply as run

    raise typer.Exit(run(ApplyOptions(artifact, tuple(photos), out, tuple(style or ()), size, threads, force, as_json)))


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of the reference network.")] = CHECKPOINT,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="A training recipe: judge on the images that it holds out of the photos and artworks.")
    ] = None,
    photos: Annotated[list[str] | None, typer.Option("--photos", help="Folder, glob or file; may be repeated.")] = None,
    artworks: Annotated[list[str] | None, typer.Option("--artworks", help="The same for artworks.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all.")] = None,
    sweep_every: Annotated[int, typer.Option("--sweep-every", min=1, help="Paint every n-th pair at every alpha, others at 1.")] = 1,
    beside: Annotated[Path | None, typer.Option("--beside", help="Another checkpoint: how alike the two paint at 512x512.")] = None,
    page: Annotated[Path | None, typer.Option("--page", help="A folder for an HTML page and a grid of pictures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how well a checkpoint stylises, beside its teacher; by default on samples/validation."""
    from ..training.evaluation.report import EvaluateOptions, report

    images = (tuple(photos or ()), tuple(artworks or ()))
    report(EvaluateOptions(checkpoint, recipe, *images, threads, sweep_every, as_json, beside, page))


@calibration_app.command("export")
def calibration_export(
    recipe: RecipeFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="The JSON file to write.")],
    cache: CacheFolder = None,
) -> None:
    """Calibrate as the recipe says and write the table."""
    from .release import export_calibration

    export_calibration(recipe, output, cache)


@calibration_app.command("diff")
def calibration_diff(
    a: Annotated[Path, typer.Argument(help="A calibration table.")],
    b: Annotated[Path, typer.Argument(help="Another.")],
    tolerance: Annotated[float, typer.Option("--tolerance", min=0.0, help="Relative difference of scales to overlook.")] = 0.01,
) -> None:
    """Compare two calibration tables. Exit code 1 if a tensor or a scale differs."""
    from ..calibration.diff import describe, diff_tables
    from ..calibration.table import CalibrationTable

    difference = diff_tables(CalibrationTable.load(a), CalibrationTable.load(b), tolerance)
    print(describe(difference))
    differs = difference.only_in_a or difference.only_in_b or difference.changed or difference.sign_changed
    raise typer.Exit(1 if differs else 0)


@model_app.command("summary")
def model_summary(
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="Of other widths; default: the 12 M reference.")] = None,
    as_json: AsJson = False,
) -> None:
    """Parameters, multiply-accumulates, activations and bytes of each part at 512x512."""
    from .summary import summarise

    rows = summarise(checkpoint)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(f"{'part':<26}{'parameters':>12}{'GMACs':>9}{'M activations':>15}{'float32 MB':>12}{'int8 MB':>9}")
    for row in rows:
        sizes = f"{row.float32_bytes / 1e6:>12.2f}{row.int8_bytes / 1e6:>9.2f}"
        print(f"{row.name:<26}{row.parameters:>12,}{row.macs / 1e9:>9.2f}{row.activations / 1e6:>15.2f}{sizes}")


@cache_app.command("clear")
def cache_clear(cache: CacheFolder = None) -> None:
    """Remove the cache; the next release does everything again."""
    from .release import DEFAULT_CACHE
    from .store import Store

    folder = cache or DEFAULT_CACHE
    print(f"{folder}: {Store(folder).clear():,} bytes freed")
