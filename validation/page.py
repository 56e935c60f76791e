"""``report.html``: the verdict for people, in one file that needs no other: pictures to compare, plots, and what an app grows by."""

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..system.errors import ArtifactError
from ..targets.artifact import files_of, read_manifest
from .golden.pairs import FILE as GOLDEN_FILE
from .golden.pairs import home, read_golden
from .golden.replay import file_of, picture_of, read_replay, worst
from .judge.gate import gate, shortcomings
from .plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Plot, Value, module_plot, plot, steepest
from .report.blame import COLUMNS as BLAME_COLUMNS
from .report.blame import blame_lines, blame_rows, blamed
from .report.fallback import fallback_lines
from .report.rows import ArtifactRow, artifact_row
from .results.bundle import Bundle, BundleArtifact
from .results.module_losses import FILE as LOSSES_FILE
from .results.module_losses import LOSSES

FILE, TEMPLATE = "report.html", "report.html.j2"


@dataclass(frozen=True)
class WorstPair:
    """The golden pair that an artifact is furthest from its reference on; pictures as data addresses."""

    artifact: str
    pair: str
    ssim: float
    reference: str
    output: str


@dataclass(frozen=True)
class Bar:
    """How far a graph alone is from the reference: 1 - SSIM, and its share of the longest bar."""

    label: str
    loss: float
    share: float


@dataclass(frozen=True)
class Item:
    """A file that an app carries, and its share of the largest bill."""

    name: str
    size_bytes: int
    share: float


@dataclass(frozen=True)
class Bill:
    """What an app grows by with one artifact."""

    artifact: str
    items: tuple[Item, ...]
    total_bytes: int


@dataclass(frozen=True)
class GraphLosses:
    """Where the int8 program of one graph leaves float."""

    graph: str
    size: str
    plot: Plot
    steepest: list[tuple[str, float, float]]


def page(bundle: Bundle, verdict: str, folder: Path) -> str:
    """The file's content. Everything that a bundle says is escaped."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    measured = [artifact for artifact in bundle.artifacts if artifact.measurements]
    bills, blames = _bills(bundle, folder), blamed(bundle, folder)
    return environment.get_template(TEMPLATE).render(
        bundle=bundle,
        verdict=verdict,
        passed=not gate(bundle),
        refusals=gate(bundle),
        fallbacks=fallback_lines(bundle),
        rows=[(artifact_row(artifact), str(artifact.status), shortcomings(bundle, artifact)) for artifact in bundle.artifacts],
        columns=[name.replace("_", " ") for name in ArtifactRow.__dataclass_fields__],
        comparisons=list(_worst_pairs(bundle, folder)),
        plots=_plots(measured),
        labels=[_label(artifact) for artifact, _ in _means(measured)],
        bars=_bars(measured),
        modules=list(_modules(folder)),
        blame_columns=BLAME_COLUMNS,
        blames=list(blame_rows(blames)),
        advice=blame_lines(blames),
        bills=bills,
        size=(WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM),
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


def _label(artifact: BundleArtifact) -> str:
    row = artifact_row(artifact)
    return f"{artifact.name}: {artifact.shipped_bytes:,} bytes, SSIM {row.ssim_mean}, {row.p50_ms} ms"


def _plots(measured: list[BundleArtifact]) -> list[Plot]:
    """SSIM over bytes and over time; artifacts are numbered alike in both, and one without a time is in the first alone."""
    sized, timed = [], []
    for number, (artifact, mean) in enumerate(_means(measured), 1):
        look = str(number), _label(artifact), str(artifact.status)
        sized.append(Value(artifact.shipped_bytes / 1e6, mean, *look))
        latency = artifact.measurements.latency_of(artifact.measurements.hot_graph) if artifact.measurements else None
        if latency is not None:
            timed.append(Value(latency.artifact.p50_ms, mean, *look))
    lowest = min((value.y for value in sized), default=1.0)
    axes = ((sized, "megabytes that an app carries"), (timed, "milliseconds an image, median"))
    return [plot(values, name, "mean SSIM", (min(lowest, 0.99), 1.0)) for values, name in axes if values]


def _modules(folder: Path) -> Iterator[GraphLosses]:
    path = folder / LOSSES_FILE
    if not path.is_file():
        return
    for sized in LOSSES.validate_json(path.read_bytes()):
        for graph in dict.fromkeys(loss.graph for loss in sized.modules):
            rows = [loss for loss in sized.modules if loss.graph == graph]
            yield GraphLosses(graph, f"{sized.size[0]}x{sized.size[1]}", module_plot(rows), steepest(rows))


def _bills(bundle: Bundle, folder: Path) -> list[Bill]:
    """The graphs of each artifact, and what lies beside them in an app: its description and the codes of styles."""
    bills = []
    for entry in bundle.artifacts:
        if entry.folder:
            artifact = read_manifest(folder / entry.folder)
            files = {file.path: file.size_bytes for graph in artifact.graphs for file in files_of(artifact, graph.file)}
            files |= {path.name: path.stat().st_size for path in sorted((folder / f"app/{entry.name}").glob("*"))}
            codes = [path.stat().st_size for path in (folder / "app/styles").glob("*")]
            files |= {f"codes of {len(codes)} styles": sum(codes)} if codes else {}
            bills.append((entry.name, files))
    most = max((max(files.values(), default=0) for _, files in bills), default=0) or 1
    rows = ((name, tuple(Item(path, size, size / most) for path, size in files.items()), sum(files.values())) for name, files in bills)
    return [Bill(*row) for row in rows]


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
