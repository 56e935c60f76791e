"""What pruning removed and why that: tables and a picture of importance."""

from collections.abc import Sequence

import numpy as np

from ...system.plotting import figure_of, png
from ...system.tables import markdown_table
from .prune import Pruned

HEAD_COLUMNS = ("Layer", "kept", "importance of every head, most important first (in brackets: removed)")
CHANNEL_COLUMNS = ("Channels made by", "asked", "removed", "kept", "importance: least", "median", "most", "why not")


def pruning_markdown(rows: Sequence[Pruned], title: str, picture: str) -> str:
    """Importance per layer and head, and of channels; ``picture`` is that of ``plot_heads``."""
    heads, channels = ([row for row in rows if row.kind == kind] for kind in ("heads", "channels"))
    lines = [f"# {title}", "", "Importance: squared change of the graph's output without the unit, as a share of the output's square.", ""]
    if heads:
        lines += ["## Heads", "", f"![Importance per layer and head]({picture})", "", *markdown_table(HEAD_COLUMNS, map(_head_row, heads))]
    if channels:
        lines += ["## Channels", "", *markdown_table(CHANNEL_COLUMNS, map(_channel_row, channels))]
    return "\n".join(lines).rstrip() + "\n"


def _head_row(row: Pruned) -> tuple[str, ...]:
    ranked = sorted(row.importance, reverse=True)
    kept, removed = (", ".join(f"{value:.1e}" for value in part) for part in (ranked[: row.kept], ranked[row.kept :]))
    return row.name, f"{row.kept} of {row.width}", f"{kept} ({removed})" if removed else kept


def _channel_row(row: Pruned) -> tuple[str, ...]:
    least, median, most = (f"{value:.1e}" for value in np.quantile(row.importance, (0, 0.5, 1))) if row.importance else ("-", "-", "-")
    return row.name, f"{row.asked:.0%}", f"{row.reached:.0%}", f"{row.kept} of {row.width}", least, median, most, row.obstacle


def plot_heads(rows: Sequence[Pruned]) -> bytes:
    """PNG: importance of every head, a row for each layer; what was removed is crossed out.

    Args:
        rows: of heads, with importance.
    """
    from matplotlib.colors import LogNorm

    widest = max(row.width for row in rows)
    grid = np.full((len(rows), widest), np.nan)
    for index, row in enumerate(rows):
        grid[index, : row.width] = row.importance
    figure = figure_of(3.5 + 0.42 * widest, 1.2 + 0.42 * len(rows))
    axes = figure.subplots()
    least = max(np.nanmin(np.where(grid > 0, grid, np.nan)), np.nanmax(grid) * 1e-8)
    shown = axes.imshow(np.maximum(grid, least), norm=LogNorm(vmin=least, vmax=np.nanmax(grid)), cmap="viridis", aspect="auto")
    for index, row in enumerate(rows):
        removed = np.argsort(row.importance, kind="stable")[: row.width - row.kept]
        axes.scatter(removed, np.full(len(removed), index), marker="x", color="white", s=18)
    axes.set_xticks(range(widest))
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_xlabel("head (crossed out: removed)")
    figure.colorbar(shown, label="importance")
    return png(figure)
