"""``instantstyle release``: from a recipe to a judged bundle."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ..model.graph import Size
from ..recipe.precision import Precision
from ..recipe.recipe import Recipe
from ..system.disk import explained_disk_errors
from ..system.errors import InstantStyleError
from ..system.events import BuildEnd, VerdictReady
from ..system.lock import lock_output
from ..system.progress import JsonDisplay, PlainDisplay
from ..validation.judge.fallback import PRECISIONS, missed, substitute
from ..validation.judge.gate import exit_code, shipped_instead, shortcomings
from ..validation.judge.levels import names
from ..validation.report.blame import blamed
from ..validation.report.report import print_verdict
from ..validation.results.blame import GraphBlame
from ..validation.results.bundle import Bundle
from .app.styles import styles
from .bundle.assemble import Build, Result, entry_of, make_bundle, publish
from .bundle.swap import check_replaceable, restore
from .cache.pipeline import Pipeline
from .cache.store import Entry
from .session import cache_folder, session
from .source.checked_recipe import load_recipe
from .source.source import Source, load
from .stages.blame import blame_failed
from .stages.capture import capture
from .stages.emit import BASELINE_TARGET, ArtifactSpec, Emitted, NotEmitted, configured, emit
from .stages.golden import golden
from .stages.losses import losses
from .stages.measure import Bench, measure_artifact
from .stages.plan import fit
from .stages.preflight import preflight
from .stages.prune import prune
from .stages.quantize import calibrate, read_plan
from .stages.replay import replayed
from .variants import from_checkpoint, select

if TYPE_CHECKING:
    from torch import nn

    from ..model.graph import Model

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


@dataclass(frozen=True)
class Built:
    """The bundle as it lies in the dist folder, and a line on how it came there."""

    bundle: Bundle
    summary: str


def release(options: ReleaseOptions) -> int:
    """Builds and shows the verdict; 0 if every required artifact passed, 1 if not. Raises what ``build`` does."""
    start = time.monotonic()
    built = build(options)
    return _conclude(built, blamed(built.bundle, options.out), time.monotonic() - start, options.as_json)


def build(options: ReleaseOptions, given: "nn.Module | Model | None" = None) -> Built:
    """Builds, measures, judges and bundles.

    Args:
        given: the model, in the place of what the recipe's factory would return.

    Raises:
        InstantStyleError: wrong input; the dist folder is then as it was.
    """
    recipe = from_checkpoint(select(load_recipe(options.recipe), options.only), options.start)
    dist = options.out.resolve()
    root = cache_folder(recipe, options.cache)
    with explained_disk_errors(root, dist):
        check_replaceable(dist, root)
        lock = lock_output(dist)
        try:
            restore(dist)
            with session(root, options.as_json, options.remeasure) as pipeline:
                bundle, changed = _build(pipeline, recipe, dist, options.only or "", given)
        finally:
            lock.release()
    counts = f"{pipeline.reused} stages reused, {pipeline.done} done"
    return Built(bundle, f"{os.path.relpath(dist)} {'written' if changed else 'was up to date'}; {counts}")


def _build(pipeline: Pipeline, recipe: Recipe, dist: Path, only: str, given: "nn.Module | Model | None") -> tuple[Bundle, bool]:
    source = _checked_source(pipeline, recipe, given)
    wants_int8 = any(Precision.INT8 in precisions for precisions in recipe.targets.build.values())
    tuned = fit(pipeline, source) if wants_int8 else None
    table = calibrate(pipeline, source, tuned) if wants_int8 else None
    results: list[Result] = []
    pairs: dict[Size, Entry] = {}
    lost: list[Entry] = []
    blames: list[GraphBlame] = []
    int8_program: Entry | None = None
    with Bench(source) as bench:
        for size in recipe.model.sizes:
            int8_program, made = _build_size(pipeline, source, size=size, tuned=tuned, table=table, bench=bench)
            pairs[size] = golden(pipeline, source, size)
            lost += [losses(pipeline, source, size, int8_program)] if int8_program else []
            results += [_with_replay(pipeline, source, result, pairs[size]) for result in made]
            if table is not None:
                blames += [each for result in made for each in _blames(pipeline, source, result, tuned=tuned, table=table)]
    parts = Build(
        source, results, table, int8_program, only, pairs, lost, styles(pipeline, source), read_plan(source, tuned), tuple(blames)
    )
    bundle = make_bundle(parts, ran=pipeline.done > 0)
    with pipeline.display.stage("bundle", dist.name):
        return publish(parts, bundle, dist)


def _blames(pipeline: Pipeline, source: Source, result: Result, *, tuned: Entry | None, table: Entry) -> tuple[GraphBlame, ...]:
    """Of an artifact that has failed; a verdict does not wait for the reasons of one that cannot be looked into."""
    made, entry = result.made, entry_of(source.recipe, result)
    try:
        return blame_failed(pipeline, source, made, entry, tuned=tuned, table=table) if isinstance(made, Emitted) else ()
    except InstantStyleError as error:
        pipeline.display.notice(f"{entry.name}: what it loses at which module is not known: {error}")
        return ()


def _with_replay(pipeline: Pipeline, source: Source, result: Result, pairs: Entry) -> Result:
    made = result.made
    return replace(result, replayed=replayed(pipeline, source, made, pairs)) if isinstance(made, Emitted) else result


def _checked_source(pipeline: Pipeline, recipe: Recipe, given: "nn.Module | Model | None" = None) -> Source:
    """The source, pruned; targets are asked about it before anything is trained."""
    whole = load(pipeline, recipe, given)
    if recipe.prune.method == "off" or recipe.prune.result is not None:
        source = prune(pipeline, whole)
        preflight(pipeline, source)
        return source
    preflight(pipeline, whole)
    return prune(pipeline, whole)


def _build_size(
    pipeline: Pipeline, source: Source, *, size: Size, tuned: Entry | None, table: Entry | None, bench: Bench
) -> tuple[Entry | None, list[Result]]:
    """The int8 program at one size, and what became of every artifact of that size."""
    programs = {False: capture(pipeline, source, size, None, None), True: None}
    if table is not None:
        programs[True] = capture(pipeline, source, size, tuned, table)
    specs = [
        ArtifactSpec(target, Precision(precision), size)
        for target, precisions in source.recipe.targets.build.items()
        for precision in precisions
    ]
    baseline_spec = ArtifactSpec(BASELINE_TARGET, Precision.FLOAT32, size)
    made = {}
    for spec in dict.fromkeys((baseline_spec, *specs)):
        program = programs[spec.precision is Precision.INT8]
        if program is not None:
            made[spec] = emit(pipeline, source, spec, program)
    baseline = made[baseline_spec]
    if isinstance(baseline, NotEmitted):
        pipeline.display.notice(f"nothing is timed, because {baseline_spec.name}, the baseline, cannot be made: {baseline.reason}")
    results = [_measured(pipeline, bench, made[spec], baseline) for spec in specs]
    if source.recipe.quantize.fallback == "float":
        results += _instead(pipeline, bench, results, programs[False], baseline)
    return programs[True], results


def _measured(pipeline: Pipeline, bench: Bench, made: Emitted | NotEmitted, baseline: Emitted | NotEmitted) -> Result:
    return Result(made, measure_artifact(pipeline, bench, made, baseline) if isinstance(made, Emitted) else None)


def _instead(pipeline: Pipeline, bench: Bench, results: list[Result], program: Entry, baseline: Emitted | NotEmitted) -> list[Result]:
    """For each int8 artifact that missed its limits, other precisions of its target, until one keeps them."""
    source = bench.source
    recipe, made = source.recipe, list(results)
    for entry in [entry_of(recipe, result) for result in results]:
        for precision in PRECISIONS if missed(entry) else ():
            spec = ArtifactSpec(entry.target, precision, entry.size)
            if substitute(entry, [entry_of(recipe, each) for each in made], recipe.targets.level) is not None:
                break
            if precision in configured(recipe, spec.target).precisions and spec not in {each.made.spec for each in made}:
                artifact = emit(pipeline, source, spec, program)
                made.append(replace(_measured(pipeline, bench, artifact, baseline), instead=True))
    return made[len(results) :]


def _conclude(built: Built, blames: Sequence[GraphBlame], seconds: float, as_json: bool) -> int:
    """Shows the verdict; the exit code."""
    bundle = built.bundle
    display = JsonDisplay(sys.stdout) if as_json else PlainDisplay(sys.stdout)
    if as_json:
        instead = {artifact.name: ships for artifact in bundle.artifacts if (ships := shipped_instead(bundle, artifact)) is not None}
        apart = instead.keys() | set(bundle.built_instead)
        for artifact in bundle.artifacts:
            name = artifact.name
            asked = name not in apart and any(each in bundle.required for each in names(artifact))
            required = asked or name in {ships.name for ships in instead.values()}
            reasons = (f"ships as {instead[name].name}",) if name in instead else ()
            display.show(VerdictReady(name, str(artifact.status), required, (*reasons, *shortcomings(bundle, artifact))))
    else:
        print_verdict(bundle, Console() if sys.stdout.isatty() else Console(width=LOG_COLUMNS), blames)
    code = exit_code(bundle)
    display.show(BuildEnd(code, seconds, built.summary))
    return code
