"""One TensorRT, or PyTorch and ONNX Runtime alone, built, judged and timed: a process of its own for `make gpu-check`.

Both TensorRTs in one process would register the same types, and either may end the process that it runs in.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from cuda_contestants import EAGER_FLOAT32, ORT_CUDA, eager_make, engine_makes, ort_cuda_make, pytorch_makes
from cuda_latency import Contestant, Make, Schedule, compare, reason
from gpu_recipe import derived
from gpu_result import PART, WHOLE, GraphTimes, Part, Verdict
from gpu_survey import PRODUCTS
from versus import random_inputs

from instantstyle.compression.pruning.checkpoint import read_pruned
from instantstyle.export.release import ReleaseOptions, release
from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.source.loading import load_model
from instantstyle.model.graph import Arrays, Graph, Model, Size
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import Recipe
from instantstyle.system.disk import atomic_write
from instantstyle.system.errors import InstantStyleError, RecipeError
from instantstyle.targets.artifact import read_manifest
from instantstyle.targets.base import GraphArtifact
from instantstyle.targets.registry import get_target
from instantstyle.targets.tensorrt.bindings import Product, probe
from instantstyle.validation.judge.gate import gate
from instantstyle.validation.results.bundle import Bundle, BundleArtifact
from instantstyle.validation.results.bundle_file import read_bundle


def measure(product: Product | None, recipe_file: Path, capability: int, work: Path, schedule: Schedule) -> Part:
    """Builds, judges and times ``product``; without one, times what else there is.

    Raises:
        InstantStyleError: the recipe or its checkpoint cannot be used.
    """
    recipe = load_recipe(recipe_file)
    whole, shipped = networks(recipe)
    if product is None:
        return Part("", "", latency=_time_all(recipe, whole, shipped=shipped, product=None, executed=(), work=work, schedule=schedule))
    title = f"{product.title} {probe(product).version}"
    try:
        bundle = _release(product, recipe_file, capability, work)
    except InstantStyleError as error:
        return Part(product.target, title, gate=(reason(error),), said=reason(error))
    verdicts = tuple(Verdict.of(bundle, artifact) for artifact in bundle.artifacts)
    executed = [artifact for artifact in bundle.artifacts if artifact.measurements and not artifact.measurements.evaluator]
    if not executed:
        said = "; ".join(dict.fromkeys(artifact.reason for artifact in bundle.artifacts if artifact.reason))
        return Part(product.target, title, verdicts, gate(bundle), said=said or "no engine was executed")
    latency = _time_all(recipe, whole, shipped=shipped, product=product, executed=executed, work=work, schedule=schedule)
    return Part(product.target, title, verdicts, gate(bundle), latency)


def networks(recipe: Recipe) -> tuple[Model, Model]:
    """The network before pruning, and the one that artifacts are made from.

    Raises:
        RecipeError: the recipe prunes, but has no result of it.
    """
    loaded = load_model(recipe)
    if recipe.prune.method == "off":
        return loaded.model, loaded.model
    if recipe.prune.result is None:
        raise RecipeError(f"{recipe.path}: prune.result: missing, and a GPU check does not prune; `instantstyle prune` makes it")
    return loaded.model, read_pruned(loaded.model, recipe.prune.result, loaded.bare)[0]


def _release(product: Product, recipe_file: Path, capability: int, work: Path) -> Bundle:
    out = work / product.target
    with derived(recipe_file, product, capability) as path:
        # Measurements of an earlier run could be of another driver, or of a day when there was none.
        release(ReleaseOptions(path, out, cache=work / "cache", remeasure=True))
    return read_bundle(out)


def _time_all(
    recipe: Recipe,
    whole: Model,
    *,
    shipped: Model,
    product: Product | None,
    executed: Sequence[BundleArtifact],
    work: Path,
    schedule: Schedule,
) -> tuple[GraphTimes, ...]:
    found = []
    for size in recipe.model.sizes:
        artifacts = [artifact for artifact in executed if artifact.size == size]
        for graph in shipped.graphs:
            inputs = noise(graph, size)
            with ExitStack() as stack:
                makes, failures = _engines(stack, product, artifacts=artifacts, graph=graph, inputs=inputs, work=work)
                makes |= pytorch_makes(graph, inputs)
                before = whole.graph(graph.name)
                makes[WHOLE] = eager_make(before, noise(before, size))
                makes[ORT_CUDA] = partial(_ort_cuda, stack, shipped, graph, size, inputs)
                print(f"timing {graph.name} at {size[0]}x{size[1]}: {', '.join(makes)}", flush=True)
                compared = compare(makes, schedule)
            found.append(
                GraphTimes.of(
                    graph.name, graph.name == shipped.hot_graph, size=size, found=compared, failures=failures, baseline=EAGER_FLOAT32
                )
            )
    return tuple(found)


def noise(graph: Graph, size: Size) -> Arrays:
    """Inputs for a graph; after pruning, their shapes may be others than before."""
    return random_inputs(GraphArtifact(graph.name, "", graph.inputs, graph.outputs, 0, 0), size)


def _engines(
    stack: ExitStack, product: Product | None, *, artifacts: Sequence[BundleArtifact], graph: Graph, inputs: Arrays, work: Path
) -> tuple[dict[str, Make], dict[str, str]]:
    """The executed artifacts' engines for one graph, and why those that could not be opened again could not."""
    makes: dict[str, Make] = {}
    failures: dict[str, str] = {}
    if product is None:
        return makes, failures
    from instantstyle.targets.tensorrt.engine_runner import EngineRunner

    for artifact in artifacts:
        folder = work / product.target / artifact.folder
        try:
            runner = stack.enter_context(get_target(product.target).open(read_manifest(folder), folder, graph.name, threads=1))
        except InstantStyleError as error:
            failures[artifact.name] = reason(error)
            continue
        if isinstance(runner, EngineRunner):
            makes |= engine_makes(artifact.name, runner, inputs)
        else:
            failures[artifact.name] = f"opened as {runner.execution.provider}, not as an engine"
    return makes, failures


def _ort_cuda(stack: ExitStack, model: Model, graph: Graph, size: Size, inputs: Arrays) -> Contestant:
    """The float graph of target ``onnx`` in ONNX Runtime's CUDA provider."""
    import onnxruntime
    from cuda_contestants import CUDA_PROVIDER

    from instantstyle.compression.quantization.capture import capture
    from instantstyle.recipe.settings import QuantizeSettings

    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        return ort_cuda_make(Path(), inputs)()  # which says so
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="instantstyle-")))
    artifact = get_target("onnx").emit(
        capture(model, size, table=None, tuned={}, settings=QuantizeSettings(method="off")), Precision.FLOAT32, folder
    )
    return ort_cuda_make(folder / artifact.graph(graph.name).file, inputs)()


def main() -> None:
    """Writes the part as JSON; exit code 2 for wrong input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--product", choices=[product.target for product in PRODUCTS])
    parser.add_argument("--capability", type=int, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the bundle and the cache")
    options = parser.parse_args()
    product = next((product for product in PRODUCTS if product.target == options.product), None)
    try:
        part = measure(product, options.recipe, options.capability, options.work, Schedule())
    except InstantStyleError as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        sys.exit(2)
    atomic_write(options.output, PART.dump_json(part))


if __name__ == "__main__":
    main()
