"""The figures and pictures as one HTML file that needs nothing else, and the pictures as a PNG."""

import base64
import html
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ...model.network import InstantStyle
from ...system.disk import atomic_write
from ..images import load_square, to_tensor
from ..sizes import CONTENT_SIZE, STYLE_SIZE
from ..teacher import Teacher
from .pairs import Evaluation
from .table import Row

CELL = 256
GRID_PHOTOS, GRID_STYLES = 6, 5
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; white-space: pre; } .missed { color: #b00020; font-weight: 600; }
img { max-width: 100%; }
"""


@torch.inference_mode()
def paired_grid(network: InstantStyle, photos: list[Path], artworks: list[Path]) -> np.ndarray:
    """Artworks in the top row; below, of each photo, a row of the network's pictures and a row of the teacher's: (H, W, 3) uint8."""
    photos, artworks = photos[:: -(-len(photos) // GRID_PHOTOS)], artworks[:: -(-len(artworks) // GRID_STYLES)]
    teacher = Teacher(torch.get_num_threads())
    styles = [load_square(path, STYLE_SIZE) for path in artworks]
    codes = [network.style_encoder(to_tensor(style[None])) for style in styles]
    vectors = [teacher.style_vector(style) for style in styles]
    white = np.full((CELL, CELL, 3), 255, np.uint8)
    rows = [np.concatenate([white, *(_cell(style) for style in styles)], axis=1)]
    one = torch.ones(1, 1)
    for path in photos:
        pixels = load_square(path, CONTENT_SIZE)
        photo = to_tensor(pixels[None])
        painted = [_cell(_to_pixels(network.stylizer(photo, code, one))) for code in codes]
        taught = [_cell(teacher.stylize(pixels, vector)) for vector in vectors]
        rows += [np.concatenate([_cell(pixels), *painted], axis=1), np.concatenate([white, *taught], axis=1)]
    return np.concatenate(rows)


def write_page(folder: Path, name: str, result: Evaluation, rows: tuple[Row, ...], grid: np.ndarray) -> Path:
    """Writes ``grid.png`` and ``index.html``, which holds the same pictures as JPEG; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "grid.png", _encoded(grid, "PNG"))
    picture = base64.b64encode(_encoded(grid, "JPEG", quality=88)).decode()
    page = folder / "index.html"
    lines = "\n".join(_line(row) for row in rows)
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(name)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(name)}</h1>
<p>{result.photos} photos x {result.artworks} artworks.</p>
<table><tr><th></th><th>measured</th><th>limit</th><th>aim</th></tr>
{lines}
</table>
<p>Of each photo the first row is the network's, the second its teacher's.</p>
<img alt="photos in the styles of artworks" src="data:image/jpeg;base64,{picture}">
</body></html>
"""
    atomic_write(page, text.encode())
    return page


def _line(row: Row) -> str:
    limit, aim = (row.goal.said_limit, row.goal.said_aim) if row.goal else ("", "")
    missed = "" if row.met else ' class="missed"'
    return f"<tr><td>{html.escape(row.title)}</td><td{missed}>{row.shown}</td><td>{limit}</td><td>{aim}</td></tr>"


def _cell(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((CELL, CELL), Image.Resampling.LANCZOS))


def _to_pixels(image: torch.Tensor) -> np.ndarray:
    return ((image[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def _encoded(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()
