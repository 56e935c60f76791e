"""Tables of a sensitivity analysis and of a search."""

from collections.abc import Sequence

from rich.table import Table

from ..system.tables import markdown_table
from .candidate import Budget, Candidate, frontier
from .sensitivity import Sensitivity

SENSITIVITY_COLUMNS = ("Module", "Change", "SSIM lost", "parameters removed")
CANDIDATE_COLUMNS = ("number", "bytes", "SSIM", "worst", "ms", "vs whole", "not int8", "frontier", "limits")
# Of them those that fit a terminal of 80 columns.
TERMINAL_COLUMNS = ("number", "bytes", "SSIM", "ms", "vs whole", "limits")


def sensitivity_rows(rows: Sequence[Sensitivity]) -> list[tuple[str, ...]]:
    """In the order given."""
    return [
        (row.name, row.change + (f" -{row.ratio:.0%}" if row.ratio else ""), f"{row.ssim_lost:.5f}", f"{row.parameters_removed:,}")
        for row in rows
    ]


def candidate_rows(candidates: Sequence[Candidate], budget: Budget) -> list[tuple[str, ...]]:
    """Smallest first."""
    best = {candidate.number for candidate in frontier(candidates)}
    rows = []
    for candidate in sorted(candidates, key=lambda candidate: candidate.size_bytes):
        missed = [name for name, excess in budget.excess(candidate).items() if not excess <= 0]  # NaN keeps nothing
        numbers = (f"{candidate.size_bytes:,}", f"{candidate.ssim_mean:.4f}", f"{candidate.ssim_worst:.4f}", f"{candidate.p50_ms:.1f}")
        last = (f"{candidate.over_whole:.2f}x", str(len(candidate.keep_float)), "yes" if candidate.number in best else "")
        rows.append((str(candidate.number), *numbers, *last, f"misses {', '.join(missed)}" if missed else "kept"))
    return rows


def terminal_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], shown: Sequence[str] | None = None) -> Table:
    """For the screen; ``shown`` are the columns to show."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    chosen = [index for index, column in enumerate(columns) if shown is None or column in shown]
    for index in chosen:
        table.add_column(columns[index], justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(row[index] for index in chosen))
    return table


def search_markdown(name: str, candidates: Sequence[Candidate], budget: Budget, sentences: Sequence[str], picture: str) -> str:
    """The report of a search."""
    lines = [f"# Search for {name}", "", *(f"- {sentence}" for sentence in sentences), "", f"![Bytes, SSIM and latency]({picture})", ""]
    lines += markdown_table(CANDIDATE_COLUMNS, candidate_rows(candidates, budget))
    lines.append("Number 0 is the whole model. SSIM is to the whole float model, end to end, on calibration pairs, after a short recovery.")
    return "\n".join(lines) + "\n"


def sensitivity_markdown(name: str, rows: Sequence[Sensitivity], picture: str) -> str:
    """The report of a sensitivity analysis."""
    lines = [f"# Sensitivity of {name}", "", f"![SSIM lost by module]({picture})", ""]
    lines += markdown_table(SENSITIVITY_COLUMNS, sensitivity_rows(rows))
    lines.append("Each module changed alone; SSIM to the unchanged model, end to end, on calibration images; no recovery.")
    return "\n".join(lines) + "\n"
