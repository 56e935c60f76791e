"""What ``networks`` found out, and what it is worth: ours beside the best peer in each runtime, in quality, bytes and time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from instantstyle.system.tables import markdown_table

BETTER, EQUAL, WORSE, NOT_MEASURED = "better", "equal", "worse", "not measured"
# What times are shares of; it takes no side.
BASELINE = "onnx-float32"
# SSIM counts as it is shown.
DIGITS = 4
AIM = 6

Interval = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Row:
    """One contestant on one network.

    Attributes:
        ours: whether this project made it, of which only int8 is compared with peers.
        int8, convolutions: of the graph that runs once per image, as the runtime executes it.
        ssim_mean, ssim_worst: to the float network in PyTorch.
        share: its time as a share of ONNX Runtime float's, with the ends of its interval; None if times were not measured.
        against: the time of each peer of its runtime over its own, by the peer's name.
    """

    name: str
    runtime: str
    ours: bool
    shipped_bytes: int
    int8: int
    convolutions: int
    ssim_mean: float
    ssim_worst: float
    share: Interval | None
    against: dict[str, Interval]


@dataclass(frozen=True)
class Result:
    """One network with all its contestants, and those that refused it with their sentences."""

    name: str
    family: str
    parameters: int
    rows: tuple[Row, ...]
    refused: dict[str, str]


@dataclass(frozen=True)
class Standing:
    """One of ours against the best peer of its runtime: better, equal or worse in each."""

    ours: Row
    peer: Row
    ssim: str
    size: str
    time: str

    @property
    def marks(self) -> tuple[str, str, str]:
        return self.ssim, self.size, self.time

    @property
    def no_worse(self) -> bool:
        """In all three; what was not measured is not known to be no worse."""
        return all(mark in (BETTER, EQUAL) for mark in self.marks)

    @property
    def better(self) -> bool:
        return all(mark == BETTER for mark in self.marks)


def standings(result: Result) -> Iterator[Standing]:
    """Each of ours beside the peer of its runtime whose worst SSIM is the highest; nothing where no peer runs."""
    for ours in (row for row in result.rows if row.ours and row.name != BASELINE):
        peers = [row for row in result.rows if not row.ours and row.runtime == ours.runtime]
        if peers:
            best = max(peers, key=lambda row: (round(row.ssim_worst, DIGITS), -row.shipped_bytes))
            quality = _mark(round(ours.ssim_worst, DIGITS) - round(best.ssim_worst, DIGITS))
            yield Standing(ours, best, quality, _mark(best.shipped_bytes - ours.shipped_bytes), _faster(ours.against.get(best.name)))


def summary(results: Sequence[Result]) -> list[str]:
    """A table of all standings, and how many networks keep the limit and reach the aim."""
    found = {result.name: tuple(standings(result)) for result in results}
    rows = [
        (name, each.ours.runtime, each.ours.name, f"{each.peer.name} ({each.peer.ssim_worst:.{DIGITS}f})", *each.marks, _verdict(each))
        for name, each_of in found.items()
        for each in each_of
    ]
    columns = ("network", "runtime", "ours", "best peer (worst SSIM)", "worst SSIM", "bytes", "time", "")
    kept = [name for name, each_of in found.items() if _in_all(each_of, "no_worse")]
    aimed = [name for name, each_of in found.items() if _in_all(each_of, "better")]
    lines = [
        f"No worse than the best peer in worst SSIM, bytes and time, in every runtime: {_counted(kept, results)}. "
        f"Better in all three, in every runtime: {_counted(aimed, results)}; the aim is {AIM} of 8.",
        "",
    ]
    for runtime in dict.fromkeys(each.ours.runtime for each_of in found.values() for each in each_of):
        own = {name: [each for each in each_of if each.ours.runtime == runtime] for name, each_of in found.items()}
        counts = [sum(any(getattr(each, what) for each in each_of) for each_of in own.values()) for what in ("no_worse", "better")]
        lines.append(
            f"- {runtime}: no worse on {counts[0]}, better in all three on {counts[1]}, of {sum(map(bool, own.values()))} networks"
        )
    return [*lines, "", *markdown_table(columns, rows)]


def table(result: Result) -> list[str]:
    """One network: peers by runtime, ours first."""
    columns = ("runtime", "made by", "bytes", "int8 convolutions", "SSIM mean / worst", "time, ONNX Runtime float = 1")
    order = {runtime: place for place, runtime in enumerate(dict.fromkeys(row.runtime for row in result.rows))}
    rows = sorted(result.rows, key=lambda row: (order[row.runtime], not row.ours))
    lines = [f"## {result.name}: {result.family}, {result.parameters:,} parameters", ""]
    lines += markdown_table(columns, (_cells(row) for row in rows))
    return [*lines, *(f"{name} took no part: {sentence}\n" for name, sentence in result.refused.items())]


def _cells(row: Row) -> tuple[str, ...]:
    share = NOT_MEASURED if row.share is None else "{:.2f} ({:.2f} to {:.2f})".format(*row.share)
    score = f"{row.ssim_mean:.{DIGITS}f} / {row.ssim_worst:.{DIGITS}f}"
    name = f"**{row.name}**" if row.ours else row.name
    return row.runtime, name, f"{row.shipped_bytes:,}", f"{row.int8} of {row.convolutions}", score, share


def _mark(gain: float) -> str:
    """NaN is worse than anything."""
    if gain > 0:
        return BETTER
    return EQUAL if gain == 0 else WORSE


def _faster(ratio: Interval | None) -> str:
    """Of the peer's time over ours: equal where the interval has 1 inside."""
    if ratio is None:
        return NOT_MEASURED
    _, low, high = ratio
    if low > 1:
        return BETTER
    return EQUAL if low <= 1 <= high else WORSE


def _verdict(standing: Standing) -> str:
    if standing.better:
        return "better in all three"
    if standing.no_worse:
        return "no worse"
    return "WORSE" if WORSE in standing.marks else NOT_MEASURED


def _in_all(each_of: Sequence[Standing], what: str) -> bool:
    """In each runtime that has a peer, of at least one file of ours: ONNX Runtime has two, of which an app takes one."""
    runtimes = {each.ours.runtime for each in each_of}
    return bool(runtimes) and all(any(getattr(each, what) for each in each_of if each.ours.runtime == runtime) for runtime in runtimes)


def _counted(names: Sequence[str], results: Sequence[Result]) -> str:
    listed = f" ({', '.join(names)})" if names else ""
    return f"{len(names)} of {len(results)}{listed}"
