"""The gate: whether everything that was required is there and passed. Any doubt is a no."""

import math
from collections.abc import Collection

from ..results.bundle import Bundle, BundleArtifact, Failure
from ..results.measurements import Measurements, Status
from .checks import FINITE
from .fallback import missed, substitute
from .levels import TITLES, enough, names, reached, reaches
from .verdict import judge


def exit_code(bundle: Bundle) -> int:
    """0 if all required artifacts passed, 1 otherwise."""
    return 1 if gate(bundle) else 0


def gate(bundle: Bundle) -> tuple[str, ...]:
    """What stands in the way, a sentence each; empty if all required artifacts passed."""
    if not bundle.required:
        return ("nothing is required, so nothing can pass: name targets under `required` in the recipe",)
    sentences = [sentence for required in bundle.required for sentence in refusals(bundle, required)]
    if bundle.different_samples < bundle.minimum_samples:
        sentences.append(too_few_samples(bundle.different_samples, bundle.minimum_samples))
    return tuple(dict.fromkeys(sentences))


def too_few_samples(different: int, wanted: int) -> str:
    """Why so few validation samples pass nothing."""
    return (
        f"images.validation: {different} different samples, and fewer than {wanted} pass nothing; add images, "
        f"or say `images.validation.minimum = {different}` in the recipe, and the report will say so, too"
    )


def refusals(bundle: Bundle, required: str) -> tuple[str, ...]:
    """What stands in the way of one entry of ``required``: a target, a target in one precision, or an artifact's name.

    There has to be an artifact of it in every size that was asked for, and all of them have to pass; where one precision was chosen by
    its speed, that one; where the recipe lets another precision take the place of int8, that one under the limits of int8.
    """
    chosen = {(choice.target, choice.size): choice.artifact for choice in bundle.choices if choice.artifact and choice.target == required}
    wanted = [artifact for artifact in bundle.artifacts if required in names(artifact) and artifact.name not in bundle.built_instead]
    wanted = [artifact for artifact in wanted if chosen.get((artifact.target, artifact.size), artifact.name) == artifact.name]
    if not wanted:
        return (f"{required}: is required, and there is no such artifact",)
    missing = (
        [] if required in {artifact.name for artifact in wanted} else sorted(set(bundle.sizes) - {artifact.size for artifact in wanted})
    )
    level = enough((required,), bundle.levels)
    absent = tuple(f"{required}: is required, and there is no artifact of it in {height}x{width}" for height, width in missing)
    left = [artifact for artifact in wanted if shipped_instead(bundle, artifact) is None]
    return absent + tuple(sentence for artifact in left for sentence in problems(artifact, level))


def shipped_instead(bundle: Bundle, artifact: BundleArtifact) -> BundleArtifact | None:
    """What ships in the place of an int8 artifact that missed its limits, if the recipe allows that and anything keeps them."""
    if artifact.name not in {each.artifact for each in bundle.fallbacks} or not missed(artifact):
        return None
    return substitute(artifact, bundle.artifacts, bundle.levels)


def shortcomings(bundle: Bundle, artifact: BundleArtifact) -> tuple[str, ...]:
    """``problems`` of an artifact, given the level that the bundle wants of it."""
    return problems(artifact, enough(names(artifact), bundle.levels))


def undecided(bundle: Bundle) -> frozenset[str]:
    """Those of the gate's sentences that another measurement may turn into a pass."""
    measured = [(artifact.measurements, artifact.limits) for artifact in bundle.artifacts if artifact.measurements is not None]
    return frozenset(failure.sentence for found, limits in measured for failure in judge(found, limits) if failure.undecided)


def problems(artifact: BundleArtifact, level: Status = Status.PASSED) -> tuple[str, ...]:
    """Why an artifact is no pass at a level; empty if it is. Stored verdicts are not trusted: measurements are judged again."""
    if artifact.status is Status.NOT_EXECUTED:
        return (f"{artifact.name}: was not executed: {artifact.reason or 'no reason given'}",)
    if artifact.measurements is None:
        return (f"{artifact.name}: {artifact.reason or 'was not measured'}",)
    if not _belongs(artifact, artifact.measurements):
        return (f"{artifact.name}: its measurements are not its own, they are of {artifact.measurements.artifact}",)
    found = {failure.limit: failure for failure in (*artifact.failures, *judge(artifact.measurements, artifact.limits))}
    sentences = tuple(failure.sentence for failure in _telling(found.values()))
    return sentences or _doubts(artifact, artifact.measurements, level)


def _telling(failures: Collection[Failure]) -> list[Failure]:
    """Without what is NaN because an output of that compute unit has NaN or Inf, which one sentence says."""
    broken = {unit for check, _, unit in (failure.limit.partition(":") for failure in failures) if check == FINITE}
    consequences = [each for each in failures if each.measured is not None and math.isnan(each.measured)]
    return [each for each in failures if each not in consequences or each.limit.partition(":")[2] not in broken]


def _doubts(artifact: BundleArtifact, measured: Measurements, level: Status) -> tuple[str, ...]:
    """Of an artifact that kept its limits."""
    found = reached(measured)
    if not reaches(found, level):
        remedy = f"run it where it belongs, or set its targets.level to {found}"
        return (f"{artifact.name}: {TITLES[found]} only, {measured.evaluator}: {remedy}",)
    if artifact.status is not found:
        return (f"{artifact.name}: {artifact.reason or 'failed for no reason that is recorded'}",)
    return ()


def _belongs(artifact: BundleArtifact, measurements: Measurements) -> bool:
    """Limits are judged by what the measurements say about the artifact, so that has to be true."""
    said = (measurements.artifact, measurements.precision, measurements.shipped_bytes)
    return said == (artifact.name, artifact.precision, artifact.shipped_bytes)
