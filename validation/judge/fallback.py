"""What ships in the place of an int8 artifact that missed its limits, where the recipe says ``quantize.fallback = "float"``."""

from collections.abc import Collection, Iterable

from ...recipe.precision import Precision
from ..results.bundle import BundleArtifact, Fallback
from ..results.measurements import Status
from .entries import status_of
from .verdict import judge

# The smallest first.
PRECISIONS = (Precision.INT8_WEIGHTS, Precision.FLOAT16, Precision.FLOAT32)


def missed(artifact: BundleArtifact) -> bool:
    """Whether an artifact may be replaced: int8, and failed. What is undecided or was not executed is not known to be worse."""
    return artifact.precision is Precision.INT8 and artifact.status is Status.FAILED


def fallbacks(artifacts: Collection[BundleArtifact], graph_parity_suffices: Collection[str]) -> tuple[Fallback, ...]:
    """For each int8 artifact that missed its limits, what ships instead: the first of the same target and size that keeps them.

    Args:
        graph_parity_suffices: the required names for which graph parity is enough.
    """
    return tuple(_fallback(artifact, artifacts, graph_parity_suffices) for artifact in artifacts if missed(artifact))


def substitute(
    artifact: BundleArtifact, artifacts: Iterable[BundleArtifact], graph_parity_suffices: Collection[str]
) -> BundleArtifact | None:
    """What may ship in the place of an artifact: another precision whose measurements keep all that the artifact is held to."""
    places = [each for each in artifacts if (each.target, each.size) == (artifact.target, artifact.size) and each.precision in PRECISIONS]
    candidates = sorted(places, key=lambda each: PRECISIONS.index(each.precision))
    return next((each for each in candidates if _keeps(artifact, each, graph_parity_suffices)), None)


def held_to(name: str, precision: Precision, built_instead: Collection[str]) -> Precision:
    """The precision whose limits an artifact is held to: what was built only to take the place of int8 has to keep those of int8."""
    return Precision.INT8 if name in built_instead else precision


def _keeps(artifact: BundleArtifact, candidate: BundleArtifact, graph_parity_suffices: Collection[str]) -> bool:
    """At the level that is wanted of ``artifact``, and its own limits besides. Stored verdicts are not trusted."""
    measured = candidate.measurements
    if measured is None or (measured.artifact, measured.shipped_bytes) != (candidate.name, candidate.shipped_bytes):
        return False
    names = {artifact.target, f"{artifact.target}-{artifact.precision}", artifact.name}
    enough = {Status.PASSED, Status.GRAPH_PARITY} if names & set(graph_parity_suffices) else {Status.PASSED}
    return all(status_of(measured, judge(measured, limits)) in enough for limits in (artifact.limits, candidate.limits))


def _fallback(artifact: BundleArtifact, artifacts: Collection[BundleArtifact], graph_parity_suffices: Collection[str]) -> Fallback:
    ships = substitute(artifact, artifacts, graph_parity_suffices)
    why = "; ".join(failure.sentence for failure in artifact.failures) or f"{artifact.name}: {artifact.reason}"
    if ships is None:
        return Fallback(artifact.name, "", f"no other precision keeps its limits; {why}")
    return Fallback(artifact.name, ships.name, why)
