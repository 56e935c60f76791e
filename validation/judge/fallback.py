"""What ships in the place of an int8 artifact that missed its limits, where the recipe says ``quantize.fallback = "float"``."""

from collections.abc import Collection, Iterable, Mapping

from ...recipe.precision import Precision
from ..results.bundle import BundleArtifact, Fallback
from ..results.measurements import Status
from .entries import status_of
from .levels import enough, names, reaches
from .verdict import judge

# The smallest first.
PRECISIONS = (Precision.INT8_WEIGHTS, Precision.FLOAT16, Precision.FLOAT32)


def missed(artifact: BundleArtifact) -> bool:
    """Whether an artifact may be replaced: int8, and failed. What is undecided or was not executed is not known to be worse."""
    return artifact.precision is Precision.INT8 and artifact.status is Status.FAILED


def fallbacks(artifacts: Collection[BundleArtifact], levels: Mapping[str, str]) -> tuple[Fallback, ...]:
    """For each int8 artifact that missed its limits, what ships instead: the first of the same target and size that keeps them.

    Args:
        levels: what is enough for required names for which less than a pass is.
    """
    return tuple(_fallback(artifact, artifacts, levels) for artifact in artifacts if missed(artifact))


def substitute(artifact: BundleArtifact, artifacts: Iterable[BundleArtifact], levels: Mapping[str, str]) -> BundleArtifact | None:
    """What may ship in the place of an artifact: another precision whose measurements keep all that the artifact is held to."""
    places = [each for each in artifacts if (each.target, each.size) == (artifact.target, artifact.size) and each.precision in PRECISIONS]
    candidates = sorted(places, key=lambda each: PRECISIONS.index(each.precision))
    return next((each for each in candidates if _keeps(artifact, each, levels)), None)


def held_to(name: str, precision: Precision, built_instead: Collection[str]) -> Precision:
    """The precision whose limits an artifact is held to: what was built only to take the place of int8 has to keep those of int8."""
    return Precision.INT8 if name in built_instead else precision


def _keeps(artifact: BundleArtifact, candidate: BundleArtifact, levels: Mapping[str, str]) -> bool:
    """At the level that is wanted of ``artifact``, and its own limits besides. Stored verdicts are not trusted."""
    measured = candidate.measurements
    if measured is None or (measured.artifact, measured.shipped_bytes) != (candidate.name, candidate.shipped_bytes):
        return False
    level = enough(names(artifact), levels)
    return all(reaches(status_of(measured, judge(measured, limits)), level) for limits in (artifact.limits, candidate.limits))


def _fallback(artifact: BundleArtifact, artifacts: Collection[BundleArtifact], levels: Mapping[str, str]) -> Fallback:
    ships = substitute(artifact, artifacts, levels)
    why = "; ".join(failure.sentence for failure in artifact.failures) or f"{artifact.name}: {artifact.reason}"
    if ships is None:
        return Fallback(artifact.name, "", f"no other precision keeps its limits; {why}")
    return Fallback(artifact.name, ships.name, why)
