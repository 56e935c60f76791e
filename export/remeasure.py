"""``instantstyle measure``: runs here what another machine built, and judges it by the limits that lie in the bundle."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from ..recipe.complaints import suggestion
from ..recipe.precision import Precision
from ..recipe.recipe import Recipe
from ..system.disk import OutputError, explained_disk_errors
from ..system.errors import ArtifactError, RecipeError
from ..system.hashing import file_sha256
from ..system.lock import lock_output
from ..system.versions import library_versions
from ..targets.artifact import MANIFEST, read_manifest
from ..validation.integrity import seal, verify
from ..validation.judge.choice import choose
from ..validation.judge.entries import judged, unmeasured
from ..validation.judge.fallback import fallbacks
from ..validation.judge.gate import exit_code
from ..validation.judge.levels import names
from ..validation.measure.latency import describe_machine, load_average
from ..validation.report.blame import blamed
from ..validation.report.report import print_verdict
from ..validation.results.bundle import Bundle, BundleArtifact, creation_time
from ..validation.results.bundle_file import read_bundle
from ..validation.results.measurements import Measurements
from ..validation.results.provenance import libraries
from .bundle.swap import check_replaceable, replacing, restore
from .cache.pipeline import Pipeline
from .cache.store import Entry, content_digest
from .session import cache_folder, session
from .source.checked_recipe import load_recipe
from .source.source import Source, load
from .stages.capture import capture
from .stages.emit import BASELINE_TARGET, ArtifactSpec, Emitted, NotEmitted, emit
from .stages.measure import Bench, measure_artifact
from .stages.prune import prune


@dataclass(frozen=True)
class MeasureOptions:
    """The command line of ``instantstyle measure``. ``level`` "passed" lets nothing less suffice."""

    dist: Path
    recipe: Path
    out: Path
    only: str | None = None
    level: Literal["passed"] | None = None
    cache: Path | None = None
    remeasure: bool = False


def measure_bundle(options: MeasureOptions) -> int:
    """Measures a bundle's artifacts on this machine and writes the bundle again to ``out``; 0 if every required artifact passed.

    The artifacts, the recipe's limits and what is required are the bundle's; model and images come from the recipe.

    Raises:
        ArtifactError: a file of the bundle is missing or altered.
        RecipeError: the recipe is not the one that the bundle was built by, or ``only`` is not in the bundle.
    """
    start = time.monotonic()
    bundle = read_bundle(options.dist)
    verify(bundle, options.dist)
    recipe = load_recipe(options.recipe)
    _check_origin(bundle, recipe, options.dist)
    bundle = _select(bundle, recipe, options)
    out, root, dist = options.out.resolve(), cache_folder(recipe, options.cache), options.dist.resolve()
    if out != dist and (out.is_relative_to(dist) or dist.is_relative_to(out)):
        raise OutputError(f"{options.out}: {options.dist} is copied, and one lies in the other. Choose another folder with --out")
    with explained_disk_errors(root, out):
        check_replaceable(out, root)
        lock = lock_output(out)
        try:
            restore(out)
            with session(root, remeasure=options.remeasure) as pipeline:
                bundle = _measured(pipeline, recipe, bundle, options.dist)
            with replacing(out) as folder:
                shutil.copytree(options.dist, folder, dirs_exist_ok=True)
                bundle = seal(bundle, folder)
        finally:
            lock.release()
    console = Console()
    print_verdict(bundle, console, blamed(bundle, out))
    console.print(f"{options.out} written ({time.monotonic() - start:.1f} s)", highlight=False)
    return exit_code(bundle)


def _check_origin(bundle: Bundle, recipe: Recipe, dist: Path) -> None:
    if file_sha256(recipe.path) != bundle.recipe.sha256:
        raise RecipeError(
            f"{recipe.path}: {dist} was built by another recipe, or another state of it ('{bundle.recipe.name}', "
            f"SHA-256 {bundle.recipe.sha256[:12]}…); take that one, of which {dist / 'recipe.toml'} is a copy"
        )
    checkpoint = recipe.model.checkpoint
    if checkpoint is not None and not checkpoint.is_file():
        raise RecipeError(f"{recipe.path}: model.checkpoint: no such file {checkpoint}")
    found = file_sha256(checkpoint) if checkpoint else None
    if found != bundle.model.checkpoint_sha256:
        raise RecipeError(f"{recipe.path}: model.checkpoint: {checkpoint} is not the checkpoint that {dist} was built from")


def _select(bundle: Bundle, recipe: Recipe, options: MeasureOptions) -> Bundle:
    """The bundle with what is required of one target, and the level that is wanted."""
    only = options.only or bundle.judged_only
    built = dict.fromkeys(artifact.target for artifact in bundle.artifacts)
    if only and only not in built:
        raise RecipeError(f"--only {only}: {options.dist} has no such target{suggestion(only, built)}; allowed: {', '.join(built)}")
    required = recipe.targets.required_of(only or bundle.built_only)
    executed = bundle.executed_only or options.level == "passed"
    lenient = () if executed else required
    return replace(
        bundle,
        judged_only=only,
        executed_only=executed,
        required=required,
        graph_parity_suffices=recipe.targets.sufficing("graph_parity", lenient),
        vendor_cpu_suffices=recipe.targets.sufficing("vendor_cpu", lenient),
    )


def _check_samples(bundle: Bundle, source: Source, dist: Path) -> None:
    """Measurements of one bundle are made on the same samples, against the same reference, wherever they are made."""
    difference = bundle.samples.difference(source.validation.sample_set)
    if difference:
        raise RecipeError(f"{source.recipe.path}: images.validation: not the images that {dist} was judged on: {difference}")
    if bundle.reference_sha256 != source.reference_sha256:
        raise RecipeError(
            f"{source.recipe.path}: model: its weights (SHA-256 {source.reference_sha256[:12]}…) are not those that {dist} was compared "
            f"with ({bundle.reference_sha256[:12]}…)"
        )


def _measured(pipeline: Pipeline, recipe: Recipe, bundle: Bundle, dist: Path) -> Bundle:
    """The bundle with new measurements of all that is required of it; the rest keeps its own."""
    whole = load(pipeline, recipe)
    _check_samples(bundle, whole, dist)
    source = prune(pipeline, whole)
    artifacts = []
    with Bench(source) as bench:
        for artifact in bundle.artifacts:
            wanted = artifact.files and any(name in bundle.required for name in names(artifact))
            artifacts.append(_measure(pipeline, source, bench, artifact, dist) if wanted else artifact)
    fastest = dict.fromkeys(choice.target for choice in bundle.choices)
    falls_back = recipe.quantize.fallback == "float"
    return replace(
        bundle,
        created=creation_time(),
        artifacts=tuple(artifacts),
        choices=tuple(choice for name in fastest for choice in choose(name, artifacts)),
        fallbacks=fallbacks(artifacts, bundle.levels) if falls_back else (),
        libraries=libraries(library_versions()),
        machine=describe_machine(recipe.latency.threads, load_average()),
    )


def _measure(pipeline: Pipeline, source: Source, bench: Bench, artifact: BundleArtifact, dist: Path) -> BundleArtifact:
    folder = dist / artifact.folder
    made = read_manifest(folder)
    if made.name != artifact.name:
        raise ArtifactError(f"{folder / MANIFEST} is of {made.name}, not of {artifact.name}; build the bundle again")
    baseline_spec = ArtifactSpec(BASELINE_TARGET, Precision.FLOAT32, artifact.size)
    baseline = emit(pipeline, source, baseline_spec, capture(pipeline, source, artifact.size, None, None))
    if isinstance(baseline, NotEmitted):
        pipeline.display.notice(f"nothing is timed, because {baseline_spec.name}, the baseline, cannot be made: {baseline.reason}")
    spec = ArtifactSpec(artifact.target, artifact.precision, artifact.size)
    emitted = Emitted(spec, made, Entry("emit", content_digest(folder), folder))
    found = measure_artifact(pipeline, bench, emitted, baseline)
    if isinstance(found, Measurements):
        return judged(made, artifact.folder, found, artifact.limits)
    status, reason = found
    return unmeasured(made, artifact.folder, artifact.limits, status, reason)
