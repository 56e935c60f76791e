"""``python benchmarks/evaluator.py DIST --recipe RECIPE``: what a stylisation costs in the reference evaluator of Core ML packages.

Each package's hot graph beside the same network in PyTorch eager float32, turn by turn in one run.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from bench_table import Number, as_text
from versus import random_inputs

from instantstyle.compression.pruning.checkpoint import read_pruned
from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.source.loading import load_model
from instantstyle.metrics.statistics import median, ratio_of_medians
from instantstyle.model.graph import Model
from instantstyle.model.runs import runs_from_modules, torch_threads
from instantstyle.system.errors import InstantStyleError
from instantstyle.targets.artifact import read_manifest
from instantstyle.targets.coreml.mil_runner import MilRunner
from instantstyle.validation.integrity import verify
from instantstyle.validation.measure.latency import interleave
from instantstyle.validation.results.bundle_file import read_bundle

TARGET = "coreml"
LIMIT, AIM = 4.0, 1.5


def shipped_model(recipe_file: Path) -> Model:
    """The float model that the recipe's artifacts are made from, pruned if they are."""
    recipe = load_recipe(recipe_file)
    loaded = load_model(recipe)
    result = recipe.prune.result
    return loaded.model if recipe.prune.method == "off" or result is None else read_pruned(loaded.model, result, loaded.bare)[0]


def numbers(dist: Path, recipe_file: Path, threads: int, runs: int) -> list[Number]:
    """Medians of every Core ML package in a bundle, and how many times as long as PyTorch they take."""
    bundle, model = read_bundle(dist), shipped_model(recipe_file)
    verify(bundle, dist)
    rows = []
    for artifact in (each for each in bundle.artifacts if each.target == TARGET and each.files):
        folder = dist / artifact.folder
        manifest = read_manifest(folder)
        graph = manifest.graph(model.hot_graph)
        inputs = random_inputs(graph, manifest.size)
        with MilRunner(folder / graph.file, manifest, graph.name, threads) as runner, torch_threads(threads):
            pytorch = runs_from_modules(model)[graph.name]
            own, eager = interleave([partial(runner.run, inputs), partial(pytorch, inputs)], 2, runs)
        rows.append(Number(f"{artifact.name}: {graph.name} in the evaluator", " ms", median(own).value, digits=1))
        rows.append(Number(f"{artifact.name}: {graph.name} in PyTorch eager float", " ms", median(eager).value, digits=1))
        ratio = ratio_of_medians(own, eager)
        note = f"95%: {ratio.low:.2f} to {ratio.high:.2f}"
        rows.append(Number(f"{artifact.name}: times PyTorch's time", "x", ratio.value, LIMIT, AIM, more_is_better=False, note=note))
    return rows


def main() -> None:
    """Exit code 2 for wrong input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--recipe", type=Path, default=Path("recipes/mobile.toml"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    try:
        print(as_text(tuple(numbers(options.dist, options.recipe, options.threads, options.runs))))
    except InstantStyleError as error:
        print(f"evaluator: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
