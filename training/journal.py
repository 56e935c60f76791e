"""What a run leaves behind besides its weights: metrics as JSON lines and for TensorBoard, and picture grids."""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..model.network import InstantStyle
from ..system.disk import atomic_write
from .images import load_square, to_tensor
from .sizes import STYLE_SIZE

METRICS = "metrics.jsonl"
CELL = 192
GRID_PHOTOS = 4
GRID_STYLES = 5


class Journal:
    """Means of the losses over every ``every`` steps, written as they come.

    Args:
        folder: of the run; ``metrics.jsonl`` and ``tensorboard/`` are made in it.
        step: the step that the run goes on from: lines of later steps belong to what a kill has undone and are dropped.
        every: steps a line.
    """

    def __init__(self, folder: Path, step: int, every: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / METRICS
        kept = [row for row in read_metrics(self.path) if row["step"] <= step]
        atomic_write(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self._lines = self.path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)
        self.every = every
        self._sums: dict[str, list[float]] = {}
        self._start = time.monotonic()
        self._samples, self._skipped = 0, 0

    def add(self, step: int, stage: str, losses: dict[str, float], samples: int) -> dict[str, Any] | None:
        """Adds a step; returns the line if one was written. A step that is not finite was skipped, and only counts as that."""
        if all(map(math.isfinite, losses.values())):
            for name, value in losses.items():
                self._sums.setdefault(name, []).append(value)
        else:
            self._skipped += 1
        self._samples += samples
        if step % self.every:
            return None
        seconds = time.monotonic() - self._start
        row: dict[str, Any] = {"step": step, "stage": stage}
        row |= {name: float(f"{np.mean(values):.5g}") for name, values in self._sums.items()}
        row["samples_per_s"] = round(self._samples / seconds, 2)
        if self._skipped:
            row["skipped_steps"] = self._skipped
        print(json.dumps(row), file=self._lines, flush=True)
        for name, value in row.items():
            if isinstance(value, float):
                self._board.add_scalar(name, value, step)
        self._sums, self._samples, self._skipped, self._start = {}, 0, 0, time.monotonic()
        return row

    def picture(self, step: int, grid: np.ndarray, folder: Path) -> None:
        """Keeps a grid (H, W, 3) uint8 as ``grids/<step>.png`` and for TensorBoard."""
        path = folder / "grids" / f"{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".tmp")
        Image.fromarray(grid).save(temporary, "PNG")
        temporary.replace(path)
        self._board.add_image("held out", grid, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes everything."""
        self._lines.close()
        self._board.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; a line that a kill has cut short ends the list."""
    rows: list[dict[str, Any]] = []
    if not path.exists():
        return rows
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


@torch.inference_mode()
def picture_grid(network: InstantStyle, photos: list[Path], artworks: list[Path]) -> np.ndarray:
    """Photo x style: artworks in the top row, photos in the left column, (H, W, 3) uint8."""
    photos, artworks = photos[:GRID_PHOTOS], artworks[:GRID_STYLES]
    styles = [load_square(path, STYLE_SIZE) for path in artworks]
    codes = [network.style_encoder(to_tensor(style[None])) for style in styles]
    small = [np.asarray(Image.fromarray(style).resize((CELL, CELL), Image.Resampling.LANCZOS)) for style in styles]
    rows = [np.concatenate([np.full((CELL, CELL, 3), 255, np.uint8), *small], axis=1)]
    one = torch.ones(1, 1)
    for path in photos:
        pixels = load_square(path, CELL * 2)
        photo = to_tensor(pixels[None])
        cells = [pixels, *(_to_pixels(network.stylizer(photo, code, one)) for code in codes)]
        rows.append(
            np.concatenate([np.asarray(Image.fromarray(cell).resize((CELL, CELL), Image.Resampling.BOX)) for cell in cells], axis=1)
        )
    return np.concatenate(rows)


def _to_pixels(image: torch.Tensor) -> np.ndarray:
    return ((image[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
