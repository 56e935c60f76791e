"""Importance per layer and head, as a table and a picture."""

import io

import numpy as np
from PIL import Image

from instantstyle.compression.pruning.prune import Pruned
from instantstyle.compression.pruning.report import plot_heads, pruning_markdown

ROWS = (
    Pruned("e.attention8.0", "heads", 0.5, 4, 2, (1e-3, 4e-2, 2e-5, 3e-1)),
    Pruned("e.attention8.1", "heads", 0.5, 2, 2, (0.0, 5e-4)),
    Pruned("e.stem.0", "channels", 0.25, 8, 8, (), "its channels are an output of the graph"),
    Pruned("e.stem.2", "channels", 0.25, 32, 24, tuple(np.linspace(1e-4, 3e-2, 32).tolist())),
)


def test_table_has_every_head_and_why_a_layer_stayed() -> None:
    lines = pruning_markdown(ROWS, "Pruning of x", "x.png").splitlines()
    assert "| e.attention8.0 | 2 of 4 | 3.0e-01, 4.0e-02 (1.0e-03, 2.0e-05) |" in lines
    assert "| e.attention8.1 | 2 of 2 | 5.0e-04, 0.0e+00 |" in lines
    assert "| e.stem.0 | 25% | 0% | 8 of 8 | - | - | - | its channels are an output of the graph |" in lines
    assert "| e.stem.2 | 25% | 25% | 24 of 32 | 1.0e-04 | 1.5e-02 | 3.0e-02 | - |" in lines
    assert "![Importance per layer and head](x.png)" in lines


def test_without_heads_there_is_no_picture() -> None:
    assert "](x.png)" not in pruning_markdown(ROWS[2:], "Pruning of x", "x.png")


def test_picture_is_brightest_at_the_most_important_head() -> None:
    first = plot_heads(ROWS[:2])
    assert first == plot_heads(ROWS[:2])
    pixels = np.asarray(Image.open(io.BytesIO(first)).convert("RGB")).astype(int)
    # The end of viridis, yellow: the last cell of the upper row, and the top of the scale right of it.
    yellow = np.abs(pixels - (253, 231, 37)).sum(axis=2) < 12
    columns = np.flatnonzero(yellow[: len(yellow) // 3].sum(axis=0) > 20)
    assert 30 < len(columns) < 150 and pixels.shape[1] * 0.6 < columns.min()
