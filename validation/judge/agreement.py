"""Whether a bundle says what its recipe and its artifacts' manifests say: what is required, the limits, the levels, the verdicts.

Everything here is derived again from the files that lie in the bundle, whose hashes were checked before.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ...recipe.limits import Limits
from ...recipe.precision import Precision
from ...recipe.recipe import Recipe, parse_recipe
from ...system.errors import ArtifactError
from ...targets.artifact import MANIFEST, read_manifest
from ...targets.base import Artifact
from ..results.bundle import FILE_NAME, RECIPE, Bundle, BundleArtifact
from ..results.measurements import Measurements, Status
from .choice import choose
from .entries import status_of
from .fallback import PRECISIONS, fallbacks, held_to
from .plausible import implausible, shipped_problem
from .verdict import judge


def check_agreement(bundle: Bundle, dist: Path) -> None:
    """Compares ``bundle.json`` with the recipe and the manifests in the same folder.

    Raises:
        ArtifactError: they say different things, or a value cannot be; names field and artifact, and says what was found.
        RecipeError: the recipe in the bundle is none.
    """
    problem = next(_problems(bundle, dist), None)
    if problem is not None:
        raise ArtifactError(f"{dist / FILE_NAME}: {problem}; build the bundle again")


def _problems(bundle: Bundle, dist: Path) -> Iterator[str]:
    listed = {file.path: file for file in bundle.files}
    if RECIPE not in listed:
        yield f"files has no {RECIPE}, from which limits and what is required are derived"
        return
    recipe = parse_recipe(dist / RECIPE)
    yield from _differs("recipe.sha256", bundle.recipe.sha256, listed[RECIPE].sha256)
    yield from _differs("recipe.name", bundle.recipe.name, recipe.name)
    yield from _of_recipe(bundle, recipe)
    yield from _artifact_names(bundle, recipe)
    for artifact in bundle.artifacts:
        precision = held_to(artifact.name, artifact.precision, bundle.built_instead)
        yield from _of_limits(artifact, recipe.limits_for(artifact.target, precision))
        yield from _entry(bundle, artifact, recipe, dist)
    yield from _choices(bundle)
    allowed = recipe.quantize.fallback == "float"
    wanted = fallbacks(bundle.artifacts, bundle.levels) if allowed else ()
    yield from _differs("fallbacks", tuple(map(str, bundle.fallbacks)), tuple(map(str, wanted)))


def _of_recipe(bundle: Bundle, recipe: Recipe) -> Iterator[str]:
    targets = recipe.targets
    for field, only in (("built_only", bundle.built_only), ("judged_only", bundle.judged_only)):
        if only and only not in targets.build:
            yield f"{field} is '{only}', which {RECIPE} does not build"
            return
    if bundle.built_only and bundle.judged_only not in ("", bundle.built_only):
        yield f"judged_only is '{bundle.judged_only}', and '{bundle.built_only}' was built alone"
    required = targets.required_of(bundle.judged_only or bundle.built_only)
    lenient = () if bundle.executed_only else required
    yield from _differs("required", bundle.required, required)
    yield from _differs("graph_parity_suffices", bundle.graph_parity_suffices, targets.sufficing("graph_parity", lenient))
    yield from _differs("vendor_cpu_suffices", bundle.vendor_cpu_suffices, targets.sufficing("vendor_cpu", lenient))
    yield from _differs("sizes", bundle.sizes, recipe.model.sizes)
    yield from _differs("samples.pairing", bundle.samples.pairing, recipe.images.validation.pairing)
    yield from _differs("minimum_samples", bundle.minimum_samples, recipe.images.validation.minimum)
    if not 0 < bundle.different_samples <= bundle.samples.different():
        yield f"different_samples is {bundle.different_samples}, and samples has {bundle.samples.different()} different files"


def _artifact_names(bundle: Bundle, recipe: Recipe) -> Iterator[str]:
    """Every artifact that was asked for is there once, and no other."""
    wanted = {
        (target, Precision(precision), size): f"{target}-{precision}-{size[0]}x{size[1]}"
        for target, precisions in recipe.targets.build.items()
        for precision in precisions
        for size in recipe.model.sizes
        if target == (bundle.built_only or target)
    }
    wanted |= {key: name for key, name in _instead(bundle, recipe).items() if key not in wanted}
    found = Counter(artifact.name for artifact in bundle.artifacts)
    for name in wanted.values():
        if found[name] != 1:
            yield f"artifacts has {name} {'twice' if found[name] else 'not'}, and {RECIPE} asks for it"
    for artifact in bundle.artifacts:
        name = wanted.get((artifact.target, artifact.precision, artifact.size))
        if name is None:
            yield f"artifacts has {artifact.name}, which {RECIPE} does not ask for"
        elif artifact.name != name:
            yield f"artifacts has {artifact.name} with target, precision and size of {name}"


def _instead(bundle: Bundle, recipe: Recipe) -> dict[tuple[str, Precision, tuple[int, int]], str]:
    """What the recipe lets a build make besides, to take the place of int8, and what of it the bundle says that it has."""
    if recipe.quantize.fallback != "float":
        return {}
    int8 = [(target, size) for target, made in recipe.targets.build.items() if Precision.INT8 in made for size in recipe.model.sizes]
    allowed = {(target, each, size): f"{target}-{each}-{size[0]}x{size[1]}" for target, size in int8 for each in PRECISIONS}
    return {key: name for key, name in allowed.items() if name in bundle.built_instead}


def _of_limits(artifact: BundleArtifact, wanted: Limits) -> Iterator[str]:
    for name in Limits.model_fields:
        yield from _differs(f"{artifact.name}: limits.{name}", getattr(artifact.limits, name), getattr(wanted, name))


def _entry(bundle: Bundle, artifact: BundleArtifact, recipe: Recipe, dist: Path) -> Iterator[str]:
    if not artifact.folder:
        if artifact.files or artifact.shipped_bytes or artifact.measurements is not None:
            yield f"{artifact.name}: folder is empty, and there are files, bytes or measurements"
        yield from _unmeasured(artifact)
        return
    home = f"{artifact.target}/{artifact.precision}-{artifact.size[0]}x{artifact.size[1]}"
    yield from _differs(f"{artifact.name}: folder", artifact.folder, home)
    built = read_manifest(dist / home)
    yield from _manifest(bundle, artifact, built)
    if artifact.measurements is None:
        yield from _unmeasured(artifact)
        return
    yield from implausible(artifact.measurements, built, recipe.latency.runs, recipe.latency.threads)
    yield from _evidence(bundle, artifact, artifact.measurements)
    yield from _verdict(artifact, artifact.measurements)


def _manifest(bundle: Bundle, artifact: BundleArtifact, built: Artifact) -> Iterator[str]:
    for field in ("name", "target", "precision", "size", "shipped_bytes", "files", "notes"):
        said, found = getattr(built, field), getattr(artifact, field)
        if said != found:
            yield f"{artifact.name}: {field} is {_short(found)}, and {artifact.folder}/{MANIFEST} says {_short(said)}"
    yield from _origin(bundle, artifact, built)
    prefix = f"{artifact.folder}/"
    own = {file.path: (file.size_bytes, file.sha256) for file in bundle.files if file.path.startswith(prefix)}
    own.pop(f"{prefix}{MANIFEST}", None)
    said = {f"{prefix}{file.path}": (file.size_bytes, file.sha256) for file in artifact.files}
    for path in sorted(said.keys() | own.keys()):
        if said.get(path) != own.get(path):
            yield f"{artifact.name}: files and the list of all files differ by {path}"
    problem = shipped_problem(built)
    if problem:
        yield problem


def _origin(bundle: Bundle, artifact: BundleArtifact, built: Artifact) -> Iterator[str]:
    """Every artifact was made from the bundle's model, checkpoint and recipe. Its model files repeat that, and runners compare them."""
    source = built.provenance
    for field, found, wanted in (
        ("model", built.model, bundle.model.name),
        ("checkpoint_sha256", source.checkpoint_sha256, bundle.model.checkpoint_sha256 or ""),
        ("recipe", source.recipe, bundle.recipe.name),
    ):
        if found != wanted:
            said = f"{artifact.folder}/{MANIFEST} says {field} '{_short(found)}'"
            yield f"{artifact.name}: {said}, and the bundle is of '{_short(wanted)}'"


def _evidence(bundle: Bundle, artifact: BundleArtifact, measured: Measurements) -> Iterator[str]:
    at, evidence = f"{artifact.name}: measurements.evidence", measured.evidence
    opened = tuple(file for file in evidence.files if file.path != MANIFEST)
    manifest = next((file.sha256 for file in bundle.files if file.path == f"{artifact.folder}/{MANIFEST}"), "")
    for wanted, found in zip(artifact.files, opened, strict=False):
        if wanted != found:
            yield f"{at}.files: {found.path} was measured with SHA-256 {found.sha256[:12]}…, the bundle has {wanted.sha256[:12]}…"
    if len(opened) != len(artifact.files):
        yield f"{at}.files: {len(opened)} files were measured, the bundle has {len(artifact.files)}"
    if MANIFEST not in {file.path for file in evidence.files if file.sha256 == manifest}:
        yield f"{at}.files: it was measured with another {MANIFEST}"
    if measured.latency and not evidence.baseline:
        yield f"{at}.baseline is empty: it was timed against nothing"
    yield from _differs(f"{at}.reference_sha256", evidence.reference_sha256, bundle.reference_sha256)
    difference = bundle.samples.difference(evidence.samples)
    if difference:
        yield f"{at}.samples: {difference}"


def _verdict(artifact: BundleArtifact, measured: Measurements) -> Iterator[str]:
    failures = judge(measured, artifact.limits)
    said, found = ({failure.limit for failure in each} for each in (artifact.failures, failures))
    if said != found or len(artifact.failures) != len(failures):
        differing = ", ".join(sorted(said ^ found)) or "one twice"
        yield f"{artifact.name}: failures are not what its measurements and limits amount to: {differing}"
    yield from _differs(f"{artifact.name}: status", str(artifact.status), str(status_of(measured, failures)))


def _unmeasured(artifact: BundleArtifact) -> Iterator[str]:
    if artifact.status not in (Status.FAILED, Status.NOT_EXECUTED):
        yield f"{artifact.name}: status is '{artifact.status}', and there are no measurements"
    if not artifact.reason:
        yield f"{artifact.name}: reason is empty, and there are no measurements"


def _choices(bundle: Bundle) -> Iterator[str]:
    targets = dict.fromkeys(choice.target for choice in bundle.choices)
    wanted = tuple(choice for target in targets for choice in choose(target, bundle.artifacts))
    if bundle.choices != wanted:
        yield f"choices are not what the measurements amount to, for {', '.join(targets)}"


def _differs(field: str, found: object, wanted: object) -> Iterator[str]:
    if found != wanted:
        yield f"{field} is {_short(found)}; by its {RECIPE} and files it is {_short(wanted)}"


def _short(value: object) -> str:
    text = str(value) if not isinstance(value, tuple) else ", ".join(map(str, value)) or "nothing"
    return text if len(text) < 200 else f"{text[:200]}…"
