"""``report.html``: the verdict for people, in one file that needs no other: pictures to compare, plots, and what an app grows by."""

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..system.errors import ArtifactError
from .golden.pairs import FILE as GOLDEN_FILE
from .golden.pairs import home, read_golden
from .golden.replay import file_of, picture_of, read_replay, worst
from .judge.gate import gate, shortcomings
from .report.fallback import fallback_lines
from .report.rows import STATUS_TEXT, ArtifactRow, artifact_row
from .results.bundle import Bundle, BundleArtifact
from .results.measurements import Status

FILE, TEMPLATE = "report.html", "report.html.j2"
WIDTH, HEIGHT, MARGIN = 640, 320, 60


@dataclass(frozen=True)
class WorstPair:
    """The golden pair that an artifact is furthest from its reference on; pictures as data addresses."""

    artifact: str
    pair: str
    ssim: float
    reference: str
    output: str


@dataclass(frozen=True)
class Point:
    """An artifact in the plot of bytes and SSIM: where, in pixels, and what is written there."""

    x: float
    y: float
    label: str
    passed: bool


@dataclass(frozen=True)
class Bar:
    """How far a graph alone is from the reference: 1 - SSIM, and its share of the longest bar."""

    label: str
    loss: float
    share: float


def page(bundle: Bundle, verdict: str, folder: Path) -> str:
    """The file's content. Everything that a bundle says is escaped."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    measured = [artifact for artifact in bundle.artifacts if artifact.measurements]
    lowest = min([0.99, *(mean for _, mean in _means(measured))])
    return environment.get_template(TEMPLATE).render(
        bundle=bundle,
        verdict=verdict,
        passed=not gate(bundle),
        refusals=gate(bundle),
        fallbacks=fallback_lines(bundle),
        rows=[(artifact_row(artifact), str(artifact.status), shortcomings(bundle, artifact)) for artifact in bundle.artifacts],
        columns=[name.replace("_", " ") for name in ArtifactRow.__dataclass_fields__],
        comparisons=list(_worst_pairs(bundle, folder)),
        points=_points(measured, lowest),
        lowest=lowest,
        bars=_bars(measured),
        bill=[(artifact, _share(artifact, bundle)) for artifact in bundle.artifacts if artifact.folder],
        statuses=STATUS_TEXT,
        size=(WIDTH, HEIGHT, MARGIN),
    )


def _worst_pairs(bundle: Bundle, folder: Path) -> Iterator[WorstPair]:
    for artifact in bundle.artifacts:
        picture, pairs = folder / picture_of(artifact.name), folder / home(artifact.size)
        if not picture.is_file() or not (pairs / GOLDEN_FILE).is_file():
            continue
        replayed, golden = read_replay(folder / file_of(artifact.name)), read_golden(pairs)
        lowest = worst(replayed) if replayed else None
        pair = next((pair for pair in golden.pairs if lowest and pair.name == lowest.pair), None)
        if lowest is None or pair is None:
            raise ArtifactError(f"{folder / file_of(artifact.name)}: is of other golden pairs than the bundle has; build the bundle again")
        yield WorstPair(artifact.name, lowest.pair, lowest.ssim, _data(pairs / pair.output), _data(picture))


def _data(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _means(measured: list[BundleArtifact]) -> list[tuple[BundleArtifact, float]]:
    spreads = [(artifact, artifact.measurements.end_to_end.ssim()) for artifact in measured if artifact.measurements]
    return [(artifact, spread.mean) for artifact, spread in spreads if spread is not None and math.isfinite(spread.mean)]


def _points(measured: list[BundleArtifact], lowest: float) -> list[Point]:
    """Bytes from 0 to the right, SSIM upwards from ``lowest`` to 1; the label has the time."""
    found = _means(measured)
    most = max((artifact.shipped_bytes for artifact, _ in found), default=0) or 1
    points = []
    for artifact, mean in found:
        x = MARGIN + (WIDTH - 2 * MARGIN) * artifact.shipped_bytes / most
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (mean - lowest) / (1 - lowest)
        row = artifact_row(artifact)
        label = f"{artifact.name}: {artifact.shipped_bytes:,} bytes, SSIM {mean:.4f}, {row.p50_ms} ms"
        points.append(Point(x, y, label, artifact.status is Status.PASSED))
    return points


def _bars(measured: list[BundleArtifact]) -> list[Bar]:
    losses = [
        (f"{artifact.name}, {graph}", 1 - spread.mean)
        for artifact in measured
        if artifact.measurements
        for graph, quality in artifact.measurements.graphs
        if (spread := quality.ssim())
    ]
    losses = [(label, loss) for label, loss in losses if math.isfinite(loss)]
    longest = max((loss for _, loss in losses), default=0.0) or 1.0
    return [Bar(label, loss, max(loss, 0.0) / longest) for label, loss in losses]


def _share(artifact: BundleArtifact, bundle: Bundle) -> float:
    return artifact.shipped_bytes / (max(each.shipped_bytes for each in bundle.artifacts) or 1)
