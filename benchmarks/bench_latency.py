"""Measures the latency of a bundle's artifacts again, interleaved with PyTorch eager float and ONNX Runtime float."""

from dataclasses import dataclass
from pathlib import Path

from instantstyle.calibration.imageset import ImageSet
from instantstyle.calibration.samples import make_samples
from instantstyle.export.source.loading import load_model
from instantstyle.model.graph import Model, Size
from instantstyle.model.runs import runs_from_modules, torch_threads
from instantstyle.recipe.latency import LatencySettings
from instantstyle.recipe.recipe import Recipe
from instantstyle.system.errors import InstantStyleError
from instantstyle.targets.artifact import read_manifest
from instantstyle.targets.base import Runner
from instantstyle.targets.registry import get_target
from instantstyle.validation.measure.latency import Contestants, compare, describe_machine, load_average, take_times
from instantstyle.validation.measure.reference import GraphCall, Reference
from instantstyle.validation.results.bundle import Bundle, BundleArtifact
from instantstyle.validation.results.timing import Latency, Machine

BASELINE = ("onnx", "float32")


@dataclass(frozen=True)
class Remeasured:
    """An artifact's latencies, hot graph first, and the machine during the timed runs."""

    artifact: str
    latencies: tuple[Latency, ...]
    machine: Machine


def remeasure(dist: Path, bundle: Bundle, recipe: Recipe) -> tuple[Remeasured, ...]:
    """All artifacts of the bundle that were executed when it was built, except the baseline itself.

    Raises:
        InstantStyleError: the bundle has no ONNX float artifact to compare with, or a file was altered.
    """
    model = load_model(recipe).model
    found: list[Remeasured] = []
    for size in bundle.sizes:
        at_size = [
            artifact
            for artifact in bundle.artifacts
            if artifact.size == size and artifact.measurements is not None and not artifact.measurements.evaluator
        ]
        baseline = next((artifact for artifact in at_size if (artifact.target, str(artifact.precision)) == BASELINE), None)
        if baseline is None:
            raise InstantStyleError(f"{dist}: no float32 artifact of the target onnx at {size[0]}x{size[1]} to compare with")
        calls = _first_sample(model, size, recipe)
        for artifact in at_size:
            if artifact is not baseline:
                found.append(_remeasure(dist, model, artifact=artifact, baseline=baseline, calls=calls, settings=recipe.latency))
    return tuple(found)


def _first_sample(model: Model, size: Size, recipe: Recipe) -> list[GraphCall]:
    """Each graph's inputs on the first validation sample."""
    settings = recipe.images.validation
    images = [ImageSet.from_patterns(patterns, recipe.base) for patterns in settings.patterns()]
    sample = next(iter(make_samples(model, size, images, settings.pairing)))
    with Reference(model, size) as reference:
        calls = [
            GraphCall(call.graph, {name: array.copy() for name, array in call.inputs.items()}, {}) for call in reference.of(sample).calls
        ]
    return sorted(calls, key=lambda call: call.graph != model.hot_graph)


def _remeasure(
    dist: Path, model: Model, *, artifact: BundleArtifact, baseline: BundleArtifact, calls: list[GraphCall], settings: LatencySettings
) -> Remeasured:
    eager, latencies, load_before = runs_from_modules(model), [], load_average()
    for call in calls:
        graph, inputs, run = call.graph, call.inputs, eager[call.graph]
        with (
            torch_threads(settings.threads),
            _open(dist, artifact, graph, settings.threads) as runner,
            _open(dist, baseline, graph, settings.threads) as ort_float,
        ):
            contestants = Contestants(_bound(runner.run, inputs), _bound(ort_float.run, inputs), _bound(run, inputs))
            latencies.append(compare(graph, [take_times(contestants, settings.warmup, settings.runs)]))
    return Remeasured(artifact.name, tuple(latencies), describe_machine(settings.threads, load_before))


def _bound(run, inputs):
    return lambda: run(inputs)


def _open(dist: Path, artifact: BundleArtifact, graph: str, threads: int) -> Runner:
    folder = dist / artifact.folder
    return get_target(artifact.target).open(read_manifest(folder), folder, graph, threads)
