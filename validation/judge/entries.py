"""Entries of the bundle: an artifact that was measured, one that was not, and one that could not even be made."""

from collections.abc import Sequence

from ...model.graph import Size
from ...recipe.limits import Limits
from ...recipe.precision import Precision
from ...targets.base import Artifact
from ..results.bundle import BundleArtifact, Failure
from ..results.measurements import Measurements, Status
from .levels import LEVELS, TITLES, reached
from .verdict import judge


def status_of(measurements: Measurements, failures: Sequence[Failure]) -> Status:
    """What measurements amount to: without failures a pass, or a lower level where something stood in for the runtime."""
    if failures:
        return Status.UNDECIDED if all(failure.undecided for failure in failures) else Status.FAILED
    return reached(measurements)


def judged(artifact: Artifact, folder: str, measurements: Measurements, limits: Limits) -> BundleArtifact:
    """The entry of an artifact that was measured."""
    failures = judge(measurements, limits)
    status = status_of(measurements, failures)
    reason = f"{TITLES[status]}, {measurements.evaluator}" if status in TITLES else ""
    return _entry(artifact, folder, limits=limits, status=status, reason=reason, failures=failures, measurements=measurements)


def unmeasured(artifact: Artifact, folder: str, limits: Limits, status: Status, reason: str) -> BundleArtifact:
    """The entry of an artifact that was emitted, but cannot run here (NOT_EXECUTED) or crashed (FAILED).

    Args:
        reason: why, as a sentence for people.
    """
    if status in LEVELS or not reason:
        raise ValueError(f"{artifact.name}: what was not measured did not pass, and needs a reason")
    return _entry(artifact, folder, limits=limits, status=status, reason=reason)


def not_emitted(target: str, precision: Precision, *, size: Size, limits: Limits, status: Status, reason: str) -> BundleArtifact:
    """The entry of an artifact that could not be made: without files, folder and bytes."""
    return unmeasured(Artifact(target, precision, size, (), (), 0), "", limits, status, reason)


def _entry(
    artifact: Artifact,
    folder: str,
    *,
    limits: Limits,
    status: Status,
    reason: str = "",
    failures: tuple[Failure, ...] = (),
    measurements: Measurements | None = None,
) -> BundleArtifact:
    return BundleArtifact(
        name=artifact.name,
        target=artifact.target,
        precision=artifact.precision,
        size=artifact.size,
        folder=folder,
        files=artifact.files,
        shipped_bytes=artifact.shipped_bytes,
        status=status,
        reason=reason,
        failures=failures,
        limits=limits,
        measurements=measurements,
        notes=artifact.notes,
    )
