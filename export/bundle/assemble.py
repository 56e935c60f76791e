"""Puts a build's results into the dist folder: artifacts, ``bundle.json``, reports, calibration table, a copy of the recipe."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from ...compression.quantization.plan.plan import NO_PLAN, Plan
from ...model.graph import Size
from ...recipe.limits import Limits
from ...recipe.precision import Precision
from ...recipe.recipe import Recipe
from ...system.disk import atomic_write
from ...system.errors import InstantStyleError, RecipeError
from ...system.hashing import file_sha256
from ...system.versions import library_versions
from ...validation.golden.pairs import home
from ...validation.golden.replay import file_of, picture_of
from ...validation.integrity import seal, verify
from ...validation.judge.choice import choose
from ...validation.judge.entries import judged, not_emitted, unmeasured
from ...validation.judge.fallback import fallbacks
from ...validation.measure.latency import describe_machine, load_average
from ...validation.measure.memory import pipeline_peak_bytes
from ...validation.results.blame import BLAMES, GraphBlame
from ...validation.results.blame import FILE as BLAME
from ...validation.results.bundle import FORMAT, RECIPE, TABLE, Bundle, BundleArtifact, creation_time
from ...validation.results.bundle_file import read_bundle
from ...validation.results.codec import encode
from ...validation.results.measurements import Measurements, Status
from ...validation.results.module_losses import FILE as LOSSES
from ...validation.results.provenance import Island, ModelSource, PrunedGroup, RecipeSource, libraries, planned
from ..app.files import app_files
from ..cache.store import Entry
from ..documents.card import FILE as CARD
from ..documents.card import model_card
from ..documents.licenses import FILE as LICENSES
from ..documents.licenses import licenses
from ..documents.reproducible import irreproducible
from ..documents.sbom import FILE as SBOM
from ..documents.sbom import sbom
from ..source.source import Source
from ..stages.capture import read_islands
from ..stages.emit import ArtifactSpec, Emitted, NotEmitted, configured_targets
from ..stages.losses import losses_file
from ..stages.quantize import table_path
from ..stages.replay import PICTURE, REPLAY
from .swap import replacing


@dataclass(frozen=True)
class Result:
    """What became of one artifact. ``measured`` has its status and a reason where there are no measurements; ``replayed`` are the golden
    pairs through it; ``instead`` if it was built only to take the place of an int8 artifact."""

    made: Emitted | NotEmitted
    measured: Measurements | tuple[Status, str] | None
    replayed: Entry | None = None
    instead: bool = False


@dataclass(frozen=True)
class Build:
    """Everything that goes into a bundle. ``only`` is the target that was built alone, if any."""

    source: Source
    results: Sequence[Result]
    table: Entry | None
    int8_program: Entry | None
    only: str = ""
    golden: Mapping[Size, Entry] = field(default_factory=dict)
    losses: Sequence[Entry] = ()
    styles: Entry | None = None
    plan: Plan = NO_PLAN
    blames: tuple[GraphBlame, ...] = ()


def make_bundle(build: Build, ran: bool) -> Bundle:
    """The content of ``bundle.json``; ``ran`` if any stage was not reused."""
    recipe = build.source.recipe
    checkpoint = recipe.model.checkpoint
    islands = read_islands(build.int8_program) if build.int8_program else ()
    artifacts = tuple(entry_of(recipe, result) for result in build.results)
    falls_back = recipe.quantize.fallback == "float"
    fastest = [name for name, target in configured_targets(recipe).items() if target.ships_fastest]
    decisions, points = planned(build.plan)
    bundle = Bundle(
        format=FORMAT,
        created=creation_time(),
        model=ModelSource(build.source.model.name, file_sha256(checkpoint) if checkpoint else None),
        recipe=RecipeSource(recipe.name, recipe.sha256),
        sizes=recipe.model.sizes,
        required=recipe.targets.required,
        artifacts=artifacts,
        choices=tuple(choice for name in fastest for choice in choose(name, artifacts)),
        graph_parity_suffices=recipe.targets.sufficing("graph_parity", recipe.targets.required),
        vendor_cpu_suffices=recipe.targets.sufficing("vendor_cpu", recipe.targets.required),
        fallbacks=fallbacks(artifacts, recipe.targets.level) if falls_back else (),
        built_instead=tuple(result.made.spec.name for result in build.results if result.instead),
        pruning=tuple(PrunedGroup.of(row) for row in build.source.pruning),
        float_islands=tuple(Island.of(graph, island) for graph, island in islands),
        libraries=libraries(library_versions()),
        machine=describe_machine(recipe.latency.threads, load_average()),
        pipeline_peak_memory_bytes=pipeline_peak_bytes() if ran else 0,
        reference_sha256=build.source.reference_sha256,
        samples=build.source.validation.sample_set,
        different_samples=build.source.different_samples,
        minimum_samples=recipe.images.validation.minimum,
        built_only=build.only,
        plan=decisions,
        plan_points=points,
    )
    return replace(bundle, irreproducible=irreproducible(bundle, configured_targets(recipe)))


def publish(build: Build, bundle: Bundle, dist: Path) -> tuple[Bundle, bool]:
    """Replaces ``dist`` by the bundle and its files; the bundle as it lies there, and False if it did already.

    Raises:
        RecipeError: the recipe was changed during the build.
        OSError: the disk is full or read-only; ``dist`` is then as it was.
    """
    current = _current(build, bundle, dist)
    if current is not None:
        return current, False
    with replacing(dist) as folder:
        for result in build.results:
            if isinstance(result.made, Emitted):
                shutil.copytree(result.made.folder, folder / folder_of(result.made.spec))
        for path, content in (_more_files(build) | _documents(build, bundle)).items():
            atomic_write(folder / path, content)
        if build.table is not None:
            shutil.copyfile(table_path(build.table), folder / TABLE)
        _copy_recipe(build.source.recipe, folder / RECIPE)
        sealed = seal(bundle, folder)
    return sealed, True


def _copy_recipe(recipe: Recipe, copy: Path) -> None:
    shutil.copyfile(recipe.path, copy)
    if file_sha256(copy) != recipe.sha256:
        raise RecipeError(f"{recipe.path}: was changed while it was built; build again")


def folder_of(spec: ArtifactSpec) -> str:
    """Where an artifact lies in the bundle, e.g. ``android/int8-512x512``."""
    return f"{spec.target}/{spec.precision}-{spec.size[0]}x{spec.size[1]}"


def entry_of(recipe: Recipe, result: Result) -> BundleArtifact:
    """The entry of an artifact in the bundle, judged."""
    made, measured = result.made, result.measured
    spec = made.spec
    limits = _limits(recipe, result)
    if isinstance(made, NotEmitted):
        status = Status.FAILED if made.refused else Status.NOT_EXECUTED
        return not_emitted(spec.target, spec.precision, size=spec.size, limits=limits, status=status, reason=made.reason)
    if isinstance(measured, Measurements):
        return judged(made.artifact, folder_of(spec), measured, limits)
    status, reason = measured or (Status.NOT_EXECUTED, "was not measured")
    return unmeasured(made.artifact, folder_of(spec), limits, status, reason)


def _limits(recipe: Recipe, result: Result) -> Limits:
    spec = result.made.spec
    return recipe.limits_for(spec.target, Precision.INT8 if result.instead else spec.precision)


def _more_files(build: Build) -> dict[str, bytes]:
    """What a bundle has besides artifacts, calibration table and recipe, by path: golden pairs, their replays, and what apps get."""
    pairs = ((home(size), path) for size, entry in build.golden.items() for path in sorted(entry.folder.iterdir()))
    files = {f"{folder}/{path.name}": path.read_bytes() for folder, path in pairs}
    for result in build.results:
        if result.replayed is not None:
            name, picture = result.made.spec.name, result.replayed.folder / PICTURE
            files[file_of(name)] = (result.replayed.folder / REPLAY).read_bytes()
            files |= {picture_of(name): picture.read_bytes()} if picture.is_file() else {}
    files |= {LOSSES: losses_file(build.losses)} if build.losses else {}
    files |= {BLAME: BLAMES.dump_json(build.blames, indent=1)} if build.blames else {}
    recipe = build.source.recipe
    artifacts = [(each.made.artifact, _limits(recipe, each)) for each in build.results if isinstance(each.made, Emitted)]
    return files | app_files(build.source.model, artifacts, build.styles)


def _documents(build: Build, bundle: Bundle) -> dict[str, str]:
    """The papers of a bundle, by path."""
    model, settings = build.source.model, build.source.recipe.model
    return {CARD: model_card(bundle, model, settings), LICENSES: licenses(bundle, settings), SBOM: sbom(bundle, settings)}


def _current(build: Build, bundle: Bundle, dist: Path) -> Bundle | None:
    """What ``dist`` holds, if that is this bundle, whenever and wherever it was made, with all its files intact."""
    try:
        there = read_bundle(dist)
        verify(there, dist)
    except (InstantStyleError, OSError):
        return None
    listed = {file.path: file.sha256 for file in there.files}
    if any(listed.get(path) != sha256(content).hexdigest() for path, content in _more_files(build).items()):
        return None
    own = {name: getattr(there, name) for name in ("created", "machine", "pipeline_peak_memory_bytes", "files", "digests")}
    return there if encode(replace(bundle, **own)) == encode(there) else None
