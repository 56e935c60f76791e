"""Pictures of sensitivity and of what a search found."""

from collections.abc import Sequence
from itertools import groupby

from ..system.plotting import figure_of, png
from .candidate import Budget, Candidate, frontier
from .sensitivity import INT8, Sensitivity

SHOWN = 40


def plot_sensitivity(rows: Sequence[Sensitivity]) -> bytes:
    """PNG: SSIM lost by module, quantised alone on the left and pruned alone on the right, the most harmful on top."""
    figure = figure_of(15, 10)
    left, right = figure.subplots(1, 2)
    quantised = [row for row in rows if row.change == INT8][:SHOWN]
    left.barh([row.name for row in quantised], [row.ssim_lost for row in quantised], color="tab:blue")
    left.set_title("quantised alone")
    pruned = sorted((row for row in rows if row.change != INT8), key=lambda row: (row.name, row.ratio))
    groups = [list(group) for _, group in groupby(pruned, key=lambda row: row.name)]
    groups.sort(key=lambda group: -max(row.ssim_lost for row in group))
    for ratio in sorted({row.ratio for row in pruned}, reverse=True):
        found = [(group[0].name, row.ssim_lost) for group in groups[:SHOWN] for row in group if row.ratio == ratio]
        right.barh([name for name, _ in found], [lost for _, lost in found], label=f"{ratio:.0%} removed")
    right.set_title("pruned alone, without recovery")
    for axes in (left, right):
        axes.set_xscale("symlog", linthresh=1e-4)
        axes.set_xlabel("SSIM lost, end to end")
        axes.tick_params(axis="y", labelsize=7)
        axes.invert_yaxis()
    if pruned:
        right.legend()
    return png(figure)


def plot_pareto(candidates: Sequence[Candidate], budget: Budget) -> bytes:
    """PNG: bytes against SSIM, latency as colour, the frontier as a line, the limits dashed."""
    figure = figure_of(9, 6)
    axes = figure.subplots()
    megabytes = [candidate.size_bytes / 1e6 for candidate in candidates]
    dots = axes.scatter(megabytes, [c.ssim_mean for c in candidates], c=[c.p50_ms for c in candidates], cmap="viridis_r", zorder=3)
    best = sorted(frontier(candidates), key=lambda candidate: candidate.size_bytes)
    axes.plot([c.size_bytes / 1e6 for c in best], [c.ssim_mean for c in best], color="grey", linewidth=1)
    for candidate, x in zip(candidates, megabytes, strict=True):
        axes.annotate(str(candidate.number), (x, candidate.ssim_mean), xytext=(4, 4), textcoords="offset points", fontsize=8)
    axes.axvline(budget.max_bytes / 1e6, color="tab:red", linestyle="--", linewidth=1)
    axes.axhline(budget.min_ssim, color="tab:red", linestyle="--", linewidth=1)
    axes.set_xlabel("million bytes, all graphs")
    axes.set_ylabel("SSIM to the whole float model, mean")
    figure.colorbar(dots, label="median ms of the graph that runs once per image")
    return png(figure)
