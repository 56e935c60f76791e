"""``instantstyle release``: from a recipe to a judged bundle."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from ..model.checkpoint import read_metadata
from ..model.errors import RecipeError
from ..model.graph import Size
from ..pruning.checkpoint import write_pruned
from ..pruning.prune import Pruned, parameter_count
from ..targets.base import Precision
from ..validation.bundle import Bundle
from ..validation.gate import exit_code, names, shortcomings
from ..validation.report import print_verdict
from .app.styles import styles
from .bundling import Build, Result, make_bundle, publish
from .disk import atomic_write, check_output, explained_disk_errors
from .emission import BASELINE_TARGET, Emitted, Job, NotEmitted, emit
from .events import BuildEnd, VerdictReady
from .golden import golden
from .lock import lock_output
from .logs import quiet_libraries
from .measuring import Bench, measure_artifact
from .pipeline import Pipeline
from .preflight import preflight
from .progress import JsonDisplay, PlainDisplay, make_display
from .prune import prune
from .recipe import Recipe, load_recipe
from .recipe_errors import suggestion
from .replaying import replayed
from .settings import ImageSetSettings, RecoverSettings
from .stages import Source, calibrate, capture, load, table_path, tune
from .store import Entry, Store
from .swap import check_replaceable, recover

DEFAULT_CACHE = Path(".instantstyle/cache")
LOG = "build.log"
LOG_COLUMNS = 140


@dataclass(frozen=True)
class ReleaseOptions:
    """The command line of ``instantstyle release``. ``start`` names the checkpoint to start from: the model's, or the pruned one."""

    recipe: Path
    out: Path
    only: str | None = None
    cache: Path | None = None
    remeasure: bool = False
    as_json: bool = False
    start: str | None = None


def release(options: ReleaseOptions) -> int:
    """Builds, measures, judges and bundles; 0 if every required artifact passed, 1 if not.

    Raises:
        InstantStyleError: wrong input; the dist folder is then as it was.
    """
    start = time.monotonic()
    recipe = from_checkpoint(select(load_recipe(options.recipe), options.only), options.start)
    dist = options.out.resolve()
    root = cache_folder(recipe, options.cache)
    with explained_disk_errors(root, dist):
        check_replaceable(dist, root)
        lock = lock_output(dist)
        try:
            recover(dist)
            with session(root, options.as_json, options.remeasure) as pipeline:
                bundle, changed = _build(pipeline, recipe, dist, options.only or "")
        finally:
            lock.release()
    counts = f"{pipeline.reused} stages reused, {pipeline.done} done"
    summary = f"{os.path.relpath(dist)} {'written' if changed else 'was up to date'}; {counts}"
    return _conclude(bundle, summary, time.monotonic() - start, options.as_json)


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
        table = calibrate(pipeline, source, tune(pipeline, source))
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
        write_pruned(source.model, rows, output, source.bare, read_metadata(checkpoint) if checkpoint else {}, half=True)
        before, after = (sum(parameter_count(graph.module) for graph in model.graphs) for model in (source.reference, source.model))
        pipeline.display.notice(f"{output}: {after:,} of {before:,} parameters")


def _report_pruning(rows: tuple[Pruned, ...], output: Path) -> None:
    """Tables and, of heads, a picture, under the checkpoint's name."""
    from ..pruning.report import plot_heads, pruning_markdown

    heads = [row for row in rows if row.kind == "heads"]
    picture = output.with_suffix(".png")
    if heads:
        atomic_write(picture, plot_heads(heads))
    atomic_write(output.with_suffix(".md"), pruning_markdown(rows, f"Pruning of {output.stem}", picture.name))


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


def cache_folder(recipe: Recipe, option: Path | None) -> Path:
    """Where stages are kept: the option, the recipe's, or ``.instantstyle/cache`` in the current folder."""
    return (option or recipe.cache or DEFAULT_CACHE).absolute()


@contextmanager
def session(root: Path, as_json: bool = False, remeasure: bool = False) -> Iterator[Pipeline]:
    """A pipeline whose display alone reaches the screen; libraries write to the log in the cache."""
    with quiet_libraries(root / LOG) as screen:
        display = make_display(as_json, screen)
        try:
            store = Store(root, display.notice)
            store.clean()
            yield Pipeline(store, display, remeasure=frozenset({"validate"} if remeasure else ()))
        finally:
            display.close()


def _build(pipeline: Pipeline, recipe: Recipe, dist: Path, only: str) -> tuple[Bundle, bool]:
    source = _checked_source(pipeline, recipe)
    wants_int8 = any(Precision.INT8 in precisions for precisions in recipe.targets.build.values())
    tuned = tune(pipeline, source) if wants_int8 else None
    table = calibrate(pipeline, source, tuned) if wants_int8 else None
    results: list[Result] = []
    pairs: dict[Size, Entry] = {}
    int8_program: Entry | None = None
    with Bench(source) as bench:
        for size in recipe.model.sizes:
            int8_program, made = _build_size(pipeline, source, size, tuned, table, bench)
            pairs[size] = golden(pipeline, source, size)
            results += [_with_replay(pipeline, source, result, pairs[size]) for result in made]
    build = Build(source, results, table, int8_program, only, pairs, styles(pipeline, source))
    bundle = make_bundle(build, ran=pipeline.done > 0)
    with pipeline.display.stage("bundle", dist.name):
        return publish(build, bundle, dist)


def _with_replay(pipeline: Pipeline, source: Source, result: Result, pairs: Entry) -> Result:
    made = result.made
    return replace(result, replayed=replayed(pipeline, source, made, pairs)) if isinstance(made, Emitted) else result


def _checked_source(pipeline: Pipeline, recipe: Recipe) -> Source:
    """The source, pruned; targets are asked about it before anything is trained."""
    whole = load(pipeline, recipe)
    if recipe.prune.method == "off" or recipe.prune.result is not None:
        source = prune(pipeline, whole)
        preflight(pipeline, source)
        return source
    preflight(pipeline, whole)
    return prune(pipeline, whole)


def _build_size(
    pipeline: Pipeline, source: Source, size: Size, tuned: Entry | None, table: Entry | None, bench: Bench
) -> tuple[Entry | None, list[Result]]:
    """The int8 program at one size, and what became of every artifact of that size."""
    programs = {False: capture(pipeline, source, size, None, None), True: None}
    if table is not None:
        programs[True] = capture(pipeline, source, size, tuned, table)
    jobs = [
        Job(target, Precision(precision), size) for target, precisions in source.recipe.targets.build.items() for precision in precisions
    ]
    baseline_job = Job(BASELINE_TARGET, Precision.FLOAT32, size)
    made = {}
    for job in dict.fromkeys((baseline_job, *jobs)):
        program = programs[job.precision is Precision.INT8]
        if program is not None:
            made[job] = emit(pipeline, source, job, program)
    baseline = made[baseline_job]
    if isinstance(baseline, NotEmitted):
        pipeline.display.notice(f"nothing is timed, because {baseline_job.name}, the baseline, cannot be made: {baseline.reason}")
    results = []
    for job in jobs:
        artifact = made[job]
        if isinstance(artifact, Emitted):
            results.append(Result(artifact, measure_artifact(pipeline, bench, artifact, baseline)))
        else:
            results.append(Result(artifact, None))
    return programs[True], results


def _conclude(bundle: Bundle, summary: str, seconds: float, as_json: bool) -> int:
    """Shows the verdict; the exit code."""
    display = JsonDisplay(sys.stdout) if as_json else PlainDisplay(sys.stdout)
    if as_json:
        for artifact in bundle.artifacts:
            required = any(name in bundle.required for name in names(artifact))
            display.show(VerdictReady(artifact.name, str(artifact.status), required, shortcomings(bundle, artifact)))
    else:
        print_verdict(bundle, Console() if sys.stdout.isatty() else Console(width=LOG_COLUMNS))
    code = exit_code(bundle)
    display.show(BuildEnd(code, seconds, summary))
    return code
