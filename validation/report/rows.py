"""The numbers of a bundle as text, for the Markdown summary and for the terminal."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ...system.tables import NOTHING
from ..results.bundle import BundleArtifact
from ..results.measurements import Measurements, Quality, Spread, Status
from ..results.timing import Latency, Timing

STATUS_TEXT = {
    Status.PASSED: "passed",
    Status.FAILED: "FAILED",
    Status.UNDECIDED: "undecided",
    Status.GRAPH_PARITY: "graph parity",
    Status.VENDOR_CPU: "vendor CPU",
    Status.NOT_EXECUTED: "not executed",
}


@dataclass(frozen=True)
class ArtifactRow:
    """An artifact at a glance; latency is that of its hot graph."""

    artifact: str
    status: str
    ssim_mean: str
    ssim_fifth: str
    ssim_worst: str
    ssim_worst_sample: str
    psnr_db: str
    p50_ms: str
    p90_ms: str
    frames_per_second: str
    over_ort_float: str
    over_pytorch: str
    memory_mb: str
    size_bytes: str
    int8_convolutions: str


@dataclass(frozen=True)
class GraphRow:
    """One graph of an artifact, alone."""

    artifact: str
    graph: str
    quality: str
    artifact_ms: str
    ort_float_ms: str
    pytorch_ms: str
    over_ort_float: str
    over_pytorch: str
    runs: str
    executed: str


def artifact_row(artifact: BundleArtifact) -> ArtifactRow:
    """Of any artifact; what was not measured is a dash."""
    measured = artifact.measurements
    spread = measured.end_to_end.ssim() if measured else None
    hot = measured.latency_of(measured.hot_graph) if measured else None
    fifth = spread.fifth_percentile if spread else None
    return ArtifactRow(
        artifact=artifact.name,
        status=STATUS_TEXT[artifact.status],
        ssim_mean=f"{spread.mean:.4f}" if spread else NOTHING,
        ssim_fifth=NOTHING if fifth is None else f"{fifth:.4f}",
        ssim_worst=f"{spread.worst:.4f}" if spread else NOTHING,
        ssim_worst_sample=spread.worst_sample if spread else NOTHING,
        psnr_db=_decibel(measured.end_to_end.psnr_db()) if measured else NOTHING,
        p50_ms=_interval_ms(hot.artifact) if hot else NOTHING,
        p90_ms=NOTHING if hot is None or hot.artifact.p90_ms is None else f"{hot.artifact.p90_ms:.1f}",
        frames_per_second=f"{hot.artifact.frames_per_second:.1f}" if hot else NOTHING,
        over_ort_float=_over_ort_float(hot),
        over_pytorch=_over_pytorch(hot),
        memory_mb=f"{measured.peak_memory_bytes / 1e6:.0f}" if measured and not measured.evaluator else NOTHING,
        size_bytes=f"{artifact.shipped_bytes:,}" if artifact.shipped_bytes else NOTHING,
        int8_convolutions=_convolutions(measured) if measured else NOTHING,
    )


def graph_rows(artifact: BundleArtifact) -> tuple[GraphRow, ...]:
    """Of all graphs of a measured artifact; none if it was not measured."""
    measured = artifact.measurements
    return tuple(_graph_row(measured, graph, quality) for graph, quality in measured.graphs) if measured else ()


def unit_rows(artifact: BundleArtifact) -> Iterator[tuple[str, ...]]:
    """Artifact, unit, SSIM mean and worst, times of the hot graph, where an artifact ran on several compute units."""
    measured = artifact.measurements
    if measured is None or not measured.other_units:
        return
    for unit in (measured.own_unit, *measured.other_units):
        spread = unit.end_to_end.ssim()
        hot = {latency.graph: latency for latency in unit.latency}.get(measured.hot_graph)
        quality = (f"{spread.mean:.4f}", f"{spread.worst:.4f}") if spread else (NOTHING, NOTHING)
        yield artifact.name, unit.unit, *quality, _interval_ms(hot.artifact) if hot else NOTHING, _over_ort_float(hot), _over_pytorch(hot)


def _graph_row(measured: Measurements, graph: str, quality: Quality) -> GraphRow:
    latency = measured.latency_of(graph)
    execution = next((run for run in measured.executions if run.graph == graph), None)
    executed = f"{execution.int8_convolutions} of {execution.convolutions} on {execution.provider}" if execution else NOTHING
    return GraphRow(
        artifact=measured.artifact,
        graph=graph,
        quality=_alone(quality),
        artifact_ms=_interval_ms(latency.artifact) if latency else NOTHING,
        ort_float_ms=f"{latency.ort_float.p50_ms:.1f}" if latency else NOTHING,
        pytorch_ms=f"{latency.pytorch.p50_ms:.1f}" if latency else NOTHING,
        over_ort_float=_over_ort_float(latency),
        over_pytorch=_over_pytorch(latency),
        runs=str(latency.artifact.runs) if latency else NOTHING,
        executed=executed,
    )


def number(value: float | None, digits: int) -> str:
    """``NaN`` and ``equal`` for an infinite PSNR included."""
    if value is None:
        return NOTHING
    if math.isnan(value):
        return "NaN"
    return f"{value:.{digits}f}"


def psnr_text(value: float) -> str:
    """In dB; of equal images there is none."""
    return "equal" if value == math.inf else number(value, 1)


def _alone(quality: Quality) -> str:
    ssim, decibel = quality.ssim(), quality.psnr_db()
    if ssim is not None:
        return f"SSIM {ssim.mean:.4f} / {ssim.worst:.4f}"
    return f"SNR {psnr_text(decibel.mean)} / {psnr_text(decibel.worst)} dB" if decibel else NOTHING


def _decibel(spread: Spread | None) -> str:
    return psnr_text(spread.mean) if spread else NOTHING


def _interval_ms(timing: Timing) -> str:
    return f"{timing.p50_ms:.1f} ({timing.p50_low_ms:.1f} to {timing.p50_high_ms:.1f})"


def _over_ort_float(latency: Latency | None) -> str:
    if latency is None:
        return NOTHING
    return f"{latency.over_ort_float:.2f}x ({latency.over_ort_float_low:.2f} to {latency.over_ort_float_high:.2f})"


def _over_pytorch(latency: Latency | None) -> str:
    if latency is None:
        return NOTHING
    return f"{latency.over_pytorch:.2f}x ({latency.over_pytorch_low:.2f} to {latency.over_pytorch_high:.2f})"


def _convolutions(measured: Measurements) -> str:
    ran = sum(execution.int8_convolutions for execution in measured.executions)
    total = sum(execution.convolutions for execution in measured.executions)
    return f"{ran}/{total}"
