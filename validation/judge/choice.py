"""Which precision of a target ships, where the recipe leaves that to measurement."""

from collections.abc import Iterable, Sequence

from ...model.graph import Size
from ..results.bundle import BundleArtifact, Choice
from .gate import problems


def choose(target: str, artifacts: Iterable[BundleArtifact]) -> tuple[Choice, ...]:
    """The fastest artifact of a target at each size, of those that were executed and passed; with the reason for people."""
    own = [artifact for artifact in artifacts if artifact.target == target]
    sizes = dict.fromkeys(artifact.size for artifact in own)
    return tuple(_choose(target, size, [artifact for artifact in own if artifact.size == size]) for size in sizes)


def _choose(target: str, size: Size, candidates: Sequence[BundleArtifact]) -> Choice:
    times = {artifact.name: time for artifact in candidates if not problems(artifact) and (time := _p50_ms(artifact)) is not None}
    if not times:
        return Choice(target, size, "", "none was executed and passed, so none could be chosen by its speed")
    fastest = min(times, key=times.__getitem__)
    others = [f"{name} {time:.2f} ms" for name, time in times.items() if name != fastest]
    others += [f"{artifact.name} did not pass" for artifact in candidates if artifact.name not in times]
    return Choice(target, size, fastest, f"{fastest} {times[fastest]:.2f} ms" + (f" against {', '.join(others)}" if others else ""))


def _p50_ms(artifact: BundleArtifact) -> float | None:
    measured = artifact.measurements
    latency = measured.latency_of(measured.hot_graph) if measured else None
    return latency.artifact.p50_ms if latency else None
