"""Plots of the HTML report, as numbers that its template draws: where things are, in pixels, and what is written there."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .results.module_losses import ModuleLoss

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 300, 70, 20, 20, 50
MOST_ROWS = 10
# Of what equals float, such as a graph's inputs.
HIGHEST_DB = 100.0


@dataclass(frozen=True)
class Tick:
    """A line of the grid and its number."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A point: where, what is written in it and shown when it is pointed at, and the class of its colour."""

    x: float
    y: float
    text: str
    label: str
    kind: str


@dataclass(frozen=True)
class Plot:
    """Marks over two axes; ``line`` connects them in their order where they have one."""

    x_name: str
    y_name: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    line: str = ""


@dataclass(frozen=True)
class Value:
    """What a mark stands for."""

    x: float
    y: float
    text: str
    label: str
    kind: str


def plot(values: Sequence[Value], x_name: str, y_name: str, y_range: tuple[float, float], *, is_line: bool = False) -> Plot:
    """Of finite values; x from 0 on."""
    x_steps = steps(0, max((value.x for value in values), default=1) or 1, 1 if is_line else 0)
    y_steps = steps(*y_range)
    x_of, y_of = _scale(x_steps, LEFT, WIDTH - RIGHT), _scale(y_steps, HEIGHT - BOTTOM, TOP)
    marks = tuple(Mark(x_of(value.x), y_of(value.y), value.text, value.label, value.kind) for value in values)
    x_ticks, y_ticks = (tuple(Tick(of(at), f"{at:,.6g}") for at in marked) for of, marked in ((x_of, x_steps), (y_of, y_steps)))
    line = " ".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in marks) if is_line else ""
    return Plot(x_name, y_name, x_ticks, y_ticks, marks, line)


def steps(lowest: float, highest: float, least: float = 0.0) -> list[float]:
    """Some round numbers that include both ends: multiples of 1, 2 or 5 times a power of ten, at least ``least`` apart."""
    width = max((highest - lowest) / 5, least) or 1.0
    power = 10.0 ** math.floor(math.log10(width))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= width * (1 - 1e-9))
    first, last = math.floor(lowest / step + 1e-9), math.ceil(highest / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def module_plot(losses: Sequence[ModuleLoss]) -> Plot:
    """The signal-to-noise ratio of each module's output in dB, in the order of execution."""
    found = [_db(loss.noise) for loss in losses]
    values = [
        Value(index, db, "", f"{loss.module_path}: {db:.1f} dB", "module")
        for index, (loss, db) in enumerate(zip(losses, found, strict=True))
    ]
    return plot(values, "modules in the order of execution", "dB", (min(found), max(found)), is_line=True)


def steepest(losses: Sequence[ModuleLoss]) -> list[tuple[str, float, float]]:
    """The modules that add most noise, most first: path, dB of the worst that it reads, dB of its output."""
    found = sorted(losses, key=lambda loss: loss.noise_read - loss.noise)
    return [(loss.module_path, _db(loss.noise_read), _db(loss.noise)) for loss in found[:MOST_ROWS] if loss.noise > loss.noise_read]


def _db(noise: float) -> float:
    return min(-10 * math.log10(noise), HIGHEST_DB) if noise > 0 else HIGHEST_DB


def _scale(marked: Sequence[float], first: float, last: float) -> Callable[[float], float]:
    low, high = marked[0], marked[-1]
    return lambda value: first + (last - first) * (value - low) / (high - low)
