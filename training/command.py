"""``instantstyle train``: data, teacher pairs, stages, checkpoint."""

import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from ..calibration.holdout import Split
from ..model.checkpoint import load_checkpoint, load_tensors, save_checkpoint
from ..model.network import CONFIGS, InstantStyle
from ..model.pretrained import load_content_weights
from ..recipe.complaints import suggestion
from ..system.disk import check_output
from ..system.errors import RecipeError
from ..system.lock import lock_output
from ..system.progress import Display, make_display
from .batches import Batches
from .images import split_data
from .journal import Journal, picture_grid
from .pairs import PairCache, Say, build_pairs
from .recipe import TrainingRecipe, load_training_recipe
from .state import STATE
from .trainer import Trainer, device_of

LINE_EVERY = 20


@dataclass(frozen=True)
class TrainOptions:
    """What the command line may say; empty values leave the recipe as it is."""

    recipe: Path
    out: Path | None = None
    photos: tuple[str, ...] = ()
    artworks: tuple[str, ...] = ()
    run: Path | None = None
    start: Path | None = None
    content_weights: Path | None = None
    freeze: tuple[str, ...] = ()
    threads: int | None = None
    restart: bool = False
    as_json: bool = False


def train(options: TrainOptions) -> None:
    """Trains as the recipe says, from the run's last checkpoint if there is one; writes ``options.out`` or ``<run>/<name>.safetensors``.

    Raises:
        RecipeError, ImageError, CheckpointError, MissingPackageError: wrong input, or a package is missing.
        OutputError: another process writes this run.
    """
    recipe = _with_options(load_training_recipe(options.recipe, options.photos, options.artworks), options)
    torch.set_num_threads(recipe.run.threads or torch.get_num_threads())
    torch.manual_seed(recipe.run.seed)
    folder = recipe.run.folder
    out = options.out or folder / f"{recipe.name}.safetensors"
    check_output(folder, folder=True)
    check_output(out, recipe.path, recipe.start, recipe.content_weights)
    lock = lock_output(folder, "--run")
    try:
        if options.restart:
            _forget(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with closing(make_display(options.as_json)) as display:
            network = _run(recipe, display)
            save_checkpoint(network, out, half=True)
            display.notice(f"wrote {out}: the moving average of the weights, in half precision")
    finally:
        lock.release()


def _forget(folder: Path) -> None:
    """A run starts anew; the pairs that it was painted stay."""
    (folder / STATE).unlink(missing_ok=True)
    for old in ("tensorboard", "grids"):
        shutil.rmtree(folder / old, ignore_errors=True)
    for codes in folder.glob("codes-*"):
        codes.unlink()


def _with_options(recipe: TrainingRecipe, options: TrainOptions) -> TrainingRecipe:
    known = {name for name, _ in InstantStyle().named_modules()}
    stages = tuple(stage.model_copy(update={"freeze": tuple(dict.fromkeys((*stage.freeze, *options.freeze)))}) for stage in recipe.stages)
    for stage in stages:
        for path in stage.freeze:
            if path not in known:
                close = suggestion(path, known)
                raise RecipeError(
                    f"freeze: the network has no module '{path}'{close}; for instance style_encoder or stylizer.content_encoder"
                )
    run = recipe.run.model_copy(update={"folder": options.run or recipe.run.folder, "threads": options.threads or recipe.run.threads})
    start = options.start or recipe.start
    if "style_encoder" in options.freeze and start is None:
        raise RecipeError("--freeze style_encoder: its weights would stay random; give a checkpoint to start from (--start FILE)")
    weights = options.content_weights or recipe.content_weights
    return recipe.model_copy(update={"stages": stages, "run": run, "start": start, "content_weights": weights})


def _network(recipe: TrainingRecipe) -> InstantStyle:
    network = start_network(recipe)
    if recipe.content_weights:
        load_content_weights(network.stylizer.content_encoder, recipe.content_weights)
    return network


def start_network(recipe: TrainingRecipe) -> InstantStyle:
    """The network with the weights that the recipe starts from.

    Raises:
        CheckpointError: the checkpoint cannot be used, or has not what its modules are to give.
    """
    if recipe.start is None:
        return InstantStyle(CONFIGS[recipe.network])
    source = load_checkpoint(recipe.start)
    if not recipe.start_modules:
        return source
    network = InstantStyle(CONFIGS[recipe.network])
    for path in recipe.start_modules:
        module, found = network.get_submodule(path), source.get_submodule(path).state_dict()
        # A module of fewer blocks takes those that it has.
        load_tensors(module, {name: found[name] for name in module.state_dict() if name in found}, recipe.start)
    return network


def _run(recipe: TrainingRecipe, display: Display) -> InstantStyle:
    with display.stage("data"):
        photos, artworks = split_data(recipe.data, recipe.path.parent)
    for what, images in (("photos", photos), ("artworks", artworks)):
        _tell(display, what, images)
    folder = recipe.run.folder
    with display.stage("pairs") as report:
        pairs = _pairs(recipe, photos.training, artworks.training, lambda what, done, total: report(done, total, what))
    network = _network(recipe)
    with display.stage("statistics") as report:
        trainer = Trainer(recipe, pairs, network, lambda what, done, total: report(done, total, what))
    if trainer.done_steps:
        total = f" of {trainer.total_steps}" if trainer.total_steps else ""
        display.notice(f"goes on at step {trainer.done_steps}{total}")
    journal = Journal(folder, trainer.done_steps, LINE_EVERY)
    with display.stage("train") as report:

        def after_step(losses: dict[str, float]) -> None:
            row = journal.add(trainer.done_steps, trainer.stage.name, losses, trainer.stage.batch)
            if row is not None:
                told = " ".join(f"{name} {row[name]:.3f}" for name in losses if name in row)
                report(trainer.done_steps, trainer.total_steps, f"{trainer.stage.name}: {told}, {row['samples_per_s']:.1f} samples/s")

        def after_save() -> None:
            save_checkpoint(trainer.averaged(), folder / f"{recipe.name}.safetensors", half=True)
            if trainer.done_steps // recipe.run.checkpoint_every % recipe.run.pictures_every == 0 or trainer.finished:
                journal.picture(trainer.done_steps, picture_grid(trainer.averaged(), photos.held_out, artworks.held_out), folder)

        trainer.run(after_step, after_save)
    journal.close()
    if trainer.guard.skipped:
        display.notice(f"{trainer.guard.skipped} of {trainer.done_steps} steps were skipped: their loss or gradient was NaN or infinite")
    return trainer.averaged()


def _pairs(recipe: TrainingRecipe, photos: list[Path], artworks: list[Path], say: Say) -> PairCache | Batches:
    if not recipe.data.online:
        return build_pairs(photos, artworks, recipe.run.folder / "pairs", recipe.data, say)
    from .online import OnlineBatches  # with the training extra
    from .teacher import models_folder
    from .torch_teacher import TorchTeacher

    return OnlineBatches(photos, artworks, recipe, TorchTeacher(models_folder()).to(device_of(recipe)))


def _tell(display: Display, what: str, images: Split) -> None:
    damaged = f", {len(images.damaged)} skipped because they cannot be read" if images.damaged else ""
    display.notice(f"{what}: {len(images.training)} to train with, {len(images.held_out)} held out{damaged}")
    for problem in images.damaged:
        display.notice(f"  skipped: {problem}")
