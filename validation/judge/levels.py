"""How well an artifact is proven, and what of that is enough: each level includes those below it."""

from collections.abc import Collection, Mapping

from ..results.bundle import BundleArtifact
from ..results.measurements import Measurements, Status

# The weakest first; what has none of them is no pass at any level.
LEVELS = (Status.GRAPH_PARITY, Status.VENDOR_CPU, Status.PASSED)
# What stands between a level's name and the evaluator, in sentences.
TITLES = {Status.GRAPH_PARITY: "graph parity", Status.VENDOR_CPU: "vendor code on this CPU"}


def reached(measurements: Measurements) -> Status:
    """The level of measurements that keep their limits: by what computed them."""
    if not measurements.evaluator:
        return Status.PASSED
    return Status.VENDOR_CPU if measurements.by_vendor else Status.GRAPH_PARITY


def reaches(status: Status, level: Status) -> bool:
    """Whether an artifact of that status is proven at that level or a higher one."""
    return status in LEVELS and LEVELS.index(status) >= LEVELS.index(level)


def enough(wanted: Collection[str], levels: Mapping[str, str]) -> Status:
    """The least level that is wanted under any of some names; ``passed`` if the recipe says nothing of them.

    Args:
        levels: of required names, as in the recipe's ``targets.level`` or ``Bundle.levels``.
    """
    return min((Status(levels[name]) for name in wanted if name in levels), key=LEVELS.index, default=Status.PASSED)


def names(artifact: BundleArtifact) -> tuple[str, str, str]:
    """What ``required`` may call it."""
    return artifact.target, f"{artifact.target}-{artifact.precision}", artifact.name
