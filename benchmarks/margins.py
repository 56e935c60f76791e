"""``python benchmarks/margins.py RECIPE``: how far honest int8 builds depart from their own float network.

Each build calibrates on another half of the recipe's calibration photos, drawn by its seed. The worst of all builds and samples stands
beside the default limit, so that the distance between what is honest and what is refused is known.
"""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench_table import Number, as_text

from instantstyle.calibration.imageset import ImageSet
from instantstyle.export.session import cache_folder, session
from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.source.source import Source, load
from instantstyle.export.stages.capture import capture
from instantstyle.export.stages.emit import ArtifactSpec, Emitted, emit
from instantstyle.export.stages.measure import Bench
from instantstyle.export.stages.plan import fit
from instantstyle.export.stages.prune import prune
from instantstyle.export.stages.quantize import calibrate
from instantstyle.model.cached_run import CachedRun
from instantstyle.recipe.limits import Limits
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import InstantStyleError
from instantstyle.targets.registry import get_target
from instantstyle.validation.judge.departure import MEASURES
from instantstyle.validation.measure.quality import compare_all
from instantstyle.validation.results.departure import Departures


def numbers(path: Path, target: str, side: int | None, seeds: int, samples: int) -> list[Number]:
    """The worst of each measure over all builds and samples beside its default limit."""
    recipe = load_recipe(path)
    if side is not None:
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"sizes": ((side, side),)})})
    with session(cache_folder(recipe, None)) as pipeline:
        source = prune(pipeline, load(pipeline, recipe))
        tuned, size = fit(pipeline, source), recipe.model.sizes[0]
        found: list[Departures] = []
        with Bench(source) as bench:
            for seed in range(seeds):
                drawn = _calibrated_on_half(source, seed)
                program = capture(pipeline, drawn, size, tuned, calibrate(pipeline, drawn, tuned))
                built = emit(pipeline, drawn, ArtifactSpec(target, Precision.INT8, size), program)
                if not isinstance(built, Emitted):
                    raise InstantStyleError(f"{target}: {built.reason}")
                found.append(_departures(bench, built, samples))
    limits, rows = Limits(), []
    for measure in MEASURES:
        apart = [row for each in found for row in each.of(measure.made)]
        worst = measure.worst(apart)
        if worst is not None:
            row, value = worst
            note = f"default limit {getattr(limits, measure.limit):g}; sample {row.sample}; {seeds} builds"
            rows.append(Number(f"{measure.limit}: {measure.what}", measure.unit.suffix, value, digits=4, note=note))
    return rows


def _calibrated_on_half(source: Source, seed: int) -> Source:
    random, photos, *others = np.random.default_rng(seed), *source.calibration.sets
    chosen = sorted(random.choice(len(photos), max(1, len(photos) // 2), replace=False))
    half = ImageSet(tuple(photos.files[i] for i in chosen), f"{photos.sha256} half {seed}", tuple(photos.digests[i] for i in chosen))
    return replace(source, calibration=replace(source.calibration, sets=(half, *others)))


def _departures(bench: Bench, built: Emitted, samples: int) -> Departures:
    at, model, artifact = bench.at(built.spec.size), bench.source.model, built.artifact
    target = get_target(built.spec.target)
    with ExitStack() as stack:
        runs = {
            graph.name: CachedRun(stack.enter_context(target.open(artifact, built.folder, graph.name, 2)).run) for graph in model.graphs
        }
        chosen = at.samples[:: max(1, len(at.samples) // samples)]
        return compare_all(
            model, runs, references=(at.reference, at.own), samples=chosen, hard_samples=at.hard, tick=lambda name: None, shown=target.shown
        ).departures


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--target", default="android")
    parser.add_argument("--side", type=int, help="height and width, instead of the recipe's")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--samples", type=int, default=12, help="ordinary samples of each build, at most about so many")
    options = parser.parse_args()
    try:
        print(as_text(numbers(options.recipe, options.target, options.side, options.seeds, options.samples)))
    except InstantStyleError as error:
        print(f"margins: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
