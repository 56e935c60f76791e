"""Training, evaluating and using networks on pictures."""

from pathlib import Path
from typing import Annotated

import typer

from ..recipe.shipped import checkpoint_file
from .app import AsJson, app

CHECKPOINT = Path("checkpoints/instantstyle-paint.safetensors")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A training recipe, a TOML file.", metavar="RECIPE")] = Path("recipes/train.toml"),
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The checkpoint to write. Default: in the run's folder.")] = None,
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

    shares, found = parse_weights(weights), checkpoint_file(checkpoint)
    options = StylizeOptions(tuple(photos), tuple(style), out, found, shares, alpha, size, artifact, threads, force, as_json)
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
    from ..training.evaluation.command import EvaluateOptions, evaluate_checkpoint

    images = (tuple(photos or ()), tuple(artworks or ()))
    evaluate_checkpoint(EvaluateOptions(checkpoint_file(checkpoint), recipe, *images, threads, sweep_every, as_json, beside, page))
