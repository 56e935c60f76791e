"""Circles, quarter circles, bars and triangles on a grid, in the manner of a Bauhaus poster."""

import numpy as np
from PIL import Image, ImageDraw

from .canvas import CANVAS, Colour, noise, on_paper, to_image, to_pixels

PAPER: Colour = (240, 230, 210)
COLOURS: tuple[Colour, ...] = ((206, 54, 42), (30, 74, 140), (240, 184, 46), (28, 28, 32), (232, 132, 92), (62, 134, 128), PAPER)
CELLS = 6
CELL = CANVAS / CELLS


def _disc(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colours: list[Colour], turn: int) -> None:
    draw.ellipse(box, fill=colours[1])
    draw.pieslice(box, 90 * turn, 90 * turn + 180, fill=colours[2])


def _quarter(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colours: list[Colour], turn: int) -> None:
    left, top, right, bottom = box
    x, y = ((left, top), (right, top), (right, bottom), (left, bottom))[turn]
    for share, colour in zip((1.0, 0.68, 0.36), colours[1:], strict=False):
        reach = share * (right - left)
        draw.pieslice((x - reach, y - reach, x + reach, y + reach), 90 * turn, 90 * turn + 90, fill=colour)


def _bars(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colours: list[Colour], turn: int) -> None:
    left, top, right, bottom = box
    for bar in range(0, 8, 2):
        start, end = bar / 8, (bar + 1) / 8
        if turn % 2:
            draw.rectangle((left + start * CELL, top, left + end * CELL, bottom), fill=colours[1])
        else:
            draw.rectangle((left, top + start * CELL, right, top + end * CELL), fill=colours[1])


def _triangles(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colours: list[Colour], turn: int) -> None:
    left, top, right, bottom = box
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    middle = ((left + right) / 2, (top + bottom) / 2)
    draw.polygon([corners[turn], corners[(turn + 1) % 4], corners[(turn + 2) % 4]], fill=colours[1])
    draw.polygon([corners[turn], corners[(turn + 1) % 4], middle], fill=colours[2])


def _rings(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colours: list[Colour], turn: int) -> None:
    left, top, right, bottom = box
    for ring in range(4):
        inset = ring * CELL / 8
        draw.ellipse((left + inset, top + inset, right - inset, bottom - inset), fill=colours[1 + (ring + turn) % 2])


SHAPES = (_disc, _quarter, _bars, _triangles, _rings, _quarter)


def paint(rng: np.random.Generator) -> Image.Image:
    """Six by six cells, two large discs over them and a worn print, (CANVAS, CANVAS) RGB."""
    image = Image.new("RGB", (CANVAS, CANVAS), PAPER)
    draw = ImageDraw.Draw(image)
    order = rng.permutation(np.arange(CELLS * CELLS) % len(SHAPES))
    for cell, shape in enumerate(order):
        left, top = cell % CELLS * CELL, cell // CELLS * CELL
        colours = [COLOURS[i] for i in rng.permutation(len(COLOURS))]
        draw.rectangle((left, top, left + CELL, top + CELL), fill=colours[0])
        SHAPES[shape](draw, (left, top, left + CELL, top + CELL), colours, int(rng.integers(4)))
    box = (CELL, CELL * 2, CELL * 3, CELL * 4)
    draw.ellipse(box, fill=COLOURS[0])
    draw.pieslice(box, 0, 180, fill=COLOURS[3])
    box = (CELL * 4, CELL * 3, CELL * 6, CELL * 5)
    draw.ellipse(box, fill=COLOURS[5])
    draw.pieslice(box, 90, 360, fill=COLOURS[2])
    draw.line((0, CANVAS, CANVAS, 0), fill=COLOURS[3], width=12)
    worn = 30 * np.clip(noise(rng, 200, 2) - 0.62, 0, 1)[..., None]
    return to_image(on_paper(rng, to_pixels(image) + worn, 0.16))
