"""Which numbers the project holds itself to, and where each comes from: the bundle, a new measurement of latency, a timed release."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bench_latency import Remeasured
from bench_table import Number

from instantstyle.system.errors import InstantStyleError
from instantstyle.validation.results.bundle import Bundle, BundleArtifact
from instantstyle.validation.results.timing import Latency

SHIPPED = "android-int8"
GIGABYTE = 1e9
HOW_TO_TIME = "make bench RELEASE=yes"


@dataclass(frozen=True)
class WholeRelease:
    """A release from an empty cache.

    Attributes:
        peak_memory_bytes: highest resident memory of any one process.
    """

    seconds: float
    peak_memory_bytes: int


def quality(artifact: BundleArtifact) -> Iterator[Number]:
    """SSIM against the whole float model, from the build."""
    spread = artifact.measurements.end_to_end.ssim() if artifact.measurements else None
    mean, worst = (spread.mean, spread.worst) if spread else (None, None)
    worst_sample = spread.worst_sample if spread else artifact.reason
    note = artifact.measurements.evaluator if artifact.measurements else ""
    yield Number(f"{artifact.name}: SSIM mean", "", mean, 0.95, 0.98, note=note, digits=4)
    yield Number(f"{artifact.name}: SSIM worst", "", worst, 0.90, 0.95, note=worst_sample, digits=4)


def speed(artifact: BundleArtifact, hot: Latency | None) -> Iterator[Number]:
    """How many times faster than float the graph is that runs once per image."""
    over_ort_float = over_pytorch = None
    notes = [artifact.reason, artifact.reason]
    if hot is not None:
        over_ort_float, over_pytorch = hot.over_ort_float, hot.over_pytorch
        bounds = ((hot.over_ort_float_low, hot.over_ort_float_high), (hot.over_pytorch_low, hot.over_pytorch_high))
        notes = [f"95%: {low:.2f} to {high:.2f}" for low, high in bounds]
    yield Number(f"{artifact.name}: over ONNX Runtime float", "x", over_ort_float, 2, 3, note=notes[0])
    yield Number(f"{artifact.name}: over PyTorch eager float", "x", over_pytorch, 3, 5, note=notes[1])


def times(artifact: str, latency: Latency) -> Iterator[Number]:
    """Medians of one graph, of the artifact and of what it was measured beside."""
    for timing in (latency.artifact, latency.ort_float, latency.pytorch):
        name = {"artifact": artifact, "ort_float": "ONNX Runtime float", "pytorch": "PyTorch eager float"}[timing.name]
        note = f"95%: {timing.p50_low_ms:.1f} to {timing.p50_high_ms:.1f}, {timing.runs} runs"
        yield Number(f"{latency.graph}: {name}, median", " ms", timing.p50_ms, note=note, digits=1)


def footprint(artifact: BundleArtifact) -> Iterator[Number]:
    """Bytes that an app carries, memory, and int8 kernels that executed."""
    yield Number(f"{artifact.name}: shipped", " bytes", artifact.shipped_bytes, 3_200_000, 2_400_000, more_is_better=False, digits=0)
    if artifact.measurements is None:
        return
    if not artifact.measurements.evaluator:
        yield Number(f"{artifact.name}: peak memory over the runtime", " MB", artifact.measurements.peak_memory_bytes / 1e6, digits=0)
    for execution in artifact.measurements.executions:
        note = f"of {execution.convolutions}, {execution.int8_convolutions_asked} asked for; {execution.provider}"
        yield Number(f"{artifact.name}: int8 convolutions in {execution.graph}", "", execution.int8_convolutions, note=note, digits=0)


def whole_release(release: WholeRelease | None) -> Iterator[Number]:
    """Time and memory of a release. The bundle's own peak is not taken: its build may have found most of its stages in the cache."""
    note = HOW_TO_TIME if release is None else "empty cache"
    minutes = None if release is None else release.seconds / 60
    yield Number("release, first run", " min", minutes, 10, 5, more_is_better=False, note=note, digits=1)
    note = HOW_TO_TIME if release is None else "largest process"
    gigabytes = None if release is None else release.peak_memory_bytes / GIGABYTE
    yield Number("release, peak memory", " GB", gigabytes, 6, 3, more_is_better=False, note=note)


def table(bundle: Bundle, measured: tuple[Remeasured, ...], release: WholeRelease | None) -> tuple[Number, ...]:
    """All rows; those with limits, of the shipped artifact and the release, come first.

    Raises:
        InstantStyleError: the bundle does not have the shipped artifact.
    """
    latencies: Mapping[str, tuple[Latency, ...]] = {entry.artifact: entry.latencies for entry in measured}
    shipped = [artifact for artifact in bundle.artifacts if artifact.name.startswith(SHIPPED)]
    if not shipped:
        raise InstantStyleError(f"the bundle has no {SHIPPED} artifact; `make release` builds it")
    held: list[Number] = []
    for artifact in shipped:
        held += (*quality(artifact), *speed(artifact, next(iter(latencies.get(artifact.name, ())), None)))
    held += whole_release(release)
    told: list[Number] = []
    for artifact in sorted(bundle.artifacts, key=lambda artifact: artifact not in shipped):
        if artifact not in shipped:
            told += (replace(number, limit=None, aim=None) for number in quality(artifact))
        for latency in latencies.get(artifact.name, ()):
            told += times(artifact.name, latency)
        told += (number if artifact in shipped else replace(number, limit=None, aim=None) for number in footprint(artifact))
    return (*held, *told)
