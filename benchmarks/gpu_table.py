"""How `make gpu-check` shows what it measured: the row of a GPU, claim and aim, artifacts, all times."""

from collections.abc import Iterable, Iterator, Sequence

from bench_table import NOT_MEASURED, Number
from gpu_result import Check, GraphTimes, Part, Time, Verdict

from instantstyle.metrics.statistics import Estimate

# The published claim: 120 ms -> 8 ms at 512x512 on an A100.
CLAIM_SIZE = (512, 512)
CLAIM_TIMES, AIM_TIMES = 15.0, 30.0
CLAIM_MS, AIM_MS = 8.0, 2.0
WAYS = ("CUDA graph", "device buffers", "host to host")
STANDINGS = {"aim reached": "aim reached", "within the limit": "claim reached", "LIMIT MISSED": "CLAIM MISSED", NOT_MEASURED: NOT_MEASURED}
Row = Sequence[str]


def as_markdown(check: Check) -> str:
    """The whole document."""
    capability = f"{check.gpu.capability // 10}.{check.gpu.capability % 10}"
    title = f"TensorRT on {check.gpu.name}" if check.ran else f"{check.gpu.name}, on which no TensorRT ran"
    known = ", ".join(f"{name} {version}" for name, version in check.versions.items())
    blocks = [
        f"# {title}",
        f"{check.date}, compute capability {capability}, driver {check.driver}, CUDA {check.cuda}, {check.system}; {known}.",
    ]
    if check.ran:
        blocks += ["\n".join(gpu_row(check)), _table(("", "measured", "95%", "claim (A100)", "aim", ""), "lrrrrl", _claims(check))]
    verdicts = [verdict for part in check.parts for verdict in part.verdicts]
    if verdicts:
        columns = "artifact", "status", "ships", "SSIM mean", "SSIM worst", "int8 convolutions", "bytes", "what is against it"
        blocks.append(_table(columns, "lllrrrrl", map(_verdict, verdicts)))
    for part in check.parts:
        for graph in part.latency:
            blocks.append(f"## {graph.graph}, {graph.size[0]}x{graph.size[1]}" + (f", beside {part.title}" if part.target else ""))
            columns = "", "median", "95%", "times over PyTorch float32", "of the whole network", "timed by"
            blocks.append(_table(columns, "lrrrrl", map(_time, graph.times)))
            blocks += [f"- {name}: not timed: {why}" for name, why in graph.failures.items()]
    said = [f"- {part.title}: {part.said}" for part in check.parts if part.said]
    if said or check.missing:
        blocks.append("\n".join(["What was not there, and what was said:", "", *(f"- {sentence}" for sentence in check.missing), *said]))
    return "\n\n".join(blocks) + "\n"


def gpu_row(check: Check) -> tuple[str, str, str]:
    """Header, rule and the row of this GPU: of the artifact that ships, if one does, at its fastest."""
    columns = "GPU", "artifact", "median", "times over PyTorch float32", "of the whole network", "host to host", "SSIM mean / worst", "gate"
    for part, verdict, graph in _hot(check):
        best = next((time for way in WAYS[:2] if (time := _timed(graph, verdict, way))), None)
        if verdict.ships and verdict.passed and best:
            host = _timed(graph, verdict, WAYS[2])
            cells = (
                check.gpu.name,
                f"{verdict.name}, {part.title}",
                f"{best.timing.p50_ms:.2f} ms",
                _times(best.over_pytorch),
                _times(best.over_whole),
                f"{host.timing.p50_ms:.2f} ms" if host else NOT_MEASURED,
                f"{_ssim(verdict.ssim_mean)} / {_ssim(verdict.ssim_worst)}",
                "passed" if check.passed else "NOT PASSED",
            )
            return _row(columns), _rule("llrrrrrl"), _row(cells)
    nothing = (check.gpu.name, "none ships", *[""] * 5, "NOT PASSED")
    return _row(columns), _rule("llrrrrrl"), _row(nothing)


def numbers(check: Check) -> Iterator[tuple[Number, str]]:
    """What there is a claim about, of artifacts that passed, with the interval; another is not held against a claim."""
    for _, verdict, graph in _hot(check):
        if not verdict.passed or graph.size != CLAIM_SIZE:
            continue
        for way in WAYS:
            time = _timed(graph, verdict, way)
            name = f"{verdict.name}, {graph.graph}, {way}"
            p50_ms = time.timing.p50_ms if time else None
            interval = f"{time.timing.p50_low_ms:.2f} to {time.timing.p50_high_ms:.2f} ms" if time else ""
            yield Number(f"{name}: median", " ms", p50_ms, CLAIM_MS, AIM_MS, more_is_better=False), interval
            for what, over in (("", time and time.over_pytorch), (" of the whole network", time and time.over_whole)):
                value, interval = (over.value, f"{over.low:.1f} to {over.high:.1f}x") if over else (None, "")
                yield Number(f"{name}: times over PyTorch float32{what}", "x", value, CLAIM_TIMES, AIM_TIMES, digits=1), interval


def _claims(check: Check) -> Iterator[Row]:
    for number, interval in numbers(check):
        name, measured, claim, aim, standing, _ = number.cells()
        yield name, measured, interval, claim, aim, STANDINGS[standing]


def _hot(check: Check) -> Iterator[tuple[Part, Verdict, GraphTimes]]:
    for part in check.parts:
        for verdict in part.verdicts:
            for graph in part.latency:
                if graph.hot and verdict.name.endswith(f"-{graph.size[0]}x{graph.size[1]}"):
                    yield part, verdict, graph


def _timed(graph: GraphTimes, verdict: Verdict, way: str) -> Time | None:
    return next((time for time in graph.times if time.name == f"{verdict.name}, {way}"), None)


def _verdict(verdict: Verdict) -> Row:
    int8 = f"{verdict.int8_convolutions} of {verdict.convolutions}" if verdict.convolutions else ""
    return (
        verdict.name,
        verdict.status,
        "yes" if verdict.ships else "",
        _ssim(verdict.ssim_mean),
        _ssim(verdict.ssim_worst),
        int8,
        f"{verdict.shipped_bytes:,}",
        "; ".join(verdict.problems),
    )


def _time(time: Time) -> Row:
    timing = time.timing
    interval = f"{timing.p50_low_ms:.3f} to {timing.p50_high_ms:.3f}"
    return time.name, f"{timing.p50_ms:.3f} ms", interval, _times(time.over_pytorch), _times(time.over_whole), time.method


def _times(estimate: Estimate | None) -> str:
    return f"{estimate.value:.1f}x ({estimate.low:.1f} to {estimate.high:.1f})" if estimate else NOT_MEASURED


def _ssim(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.4f}"


def _table(columns: Row, sides: str, rows: Iterable[Row]) -> str:
    return "\n".join((_row(columns), _rule(sides), *map(_row, rows)))


def _row(cells: Row) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _rule(sides: str) -> str:
    return _row(["---:" if side == "r" else "---" for side in sides])
