"""``python benchmarks/processes.py DIST RECIPE ARTIFACT``: how far the speed that one process measures is from that of others.

Times the graph that runs once per image in fresh processes, as a release does when a limit lies inside the first interval, and shows how
the ratios differ: what ``validation.latency.BETWEEN_PROCESSES`` stands for.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
from bench_table import Number, as_text
from versus import random_inputs

from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.stages.measure import load_float
from instantstyle.system.child import ask
from instantstyle.system.errors import InstantStyleError
from instantstyle.targets.artifact import read_manifest
from instantstyle.targets.registry import get_target
from instantstyle.validation.integrity import verify
from instantstyle.validation.measure.built import Built
from instantstyle.validation.measure.latency import compare
from instantstyle.validation.measure.timed_runs import FreshRuns
from instantstyle.validation.results.bundle_file import read_bundle


def numbers(dist: Path, recipe_path: Path, name: str, processes: int) -> list[Number]:
    """Ratio to ONNX Runtime float in each process, its geometric mean, and the largest distance of one from it."""
    bundle, recipe = read_bundle(dist), load_recipe(recipe_path)
    verify(bundle, dist)
    found = {artifact.name: artifact for artifact in bundle.artifacts}
    floats = f"onnx-float32-{recipe.model.sizes[0][0]}x{recipe.model.sizes[0][1]}"
    missing = next((each for each in (name, floats) if each not in found), None)
    if missing is not None:
        raise InstantStyleError(f"{dist} has no artifact {missing}; it has {', '.join(found)}")
    built, ort_float = (_built(dist / found[each].folder, found[each].target) for each in (name, floats))
    load = partial(load_float, recipe)
    hot, settings = load().hot_graph, recipe.latency
    inputs = random_inputs(built.artifact.graph(hot), built.artifact.size)
    fresh = FreshRuns(hot, built, ort_float, load, inputs, settings.threads, settings.warmup, settings.runs)
    times, rows = [], []
    for index in range(processes):
        taken, machine = ask(fresh, name, "measures its latency")
        times.append(taken)
        ratio = float(np.median(taken.ort_float) / np.median(taken.artifact))
        busy = machine.busy_elsewhere or 0.0
        rows.append(Number(f"process {index + 1}", "x", ratio, digits=3, note=f"other processes took {busy:.0%}"))
    latency = compare(hot, times)
    interval = f"95%: {latency.over_ort_float_low:.3f} to {latency.over_ort_float_high:.3f}"
    rows.append(Number("geometric mean", "x", latency.over_ort_float, digits=3, note=interval))
    apart = max(abs(row.value / latency.over_ort_float - 1) for row in rows if row.value is not None)
    rows.append(Number("largest distance of one process", "", apart, digits=3))
    return rows


def _built(folder: Path, target: str) -> Built:
    return Built(read_manifest(folder), folder, get_target(target))


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dist", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("artifact", help="e.g. android-int8-512x512")
    parser.add_argument("--processes", type=int, default=8)
    options = parser.parse_args()
    try:
        print(as_text(numbers(options.dist, options.recipe, options.artifact, options.processes)))
    except InstantStyleError as error:
        print(f"processes: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
