"""A measured quantity against its limit, as a sentence. NaN and what was not measured never pass.

A quantity with an interval is decided where the whole interval is on one side of the limit. Otherwise it is undecided, which is no pass.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing an artifact is judged by (see ``limits.Failure`` for the other fields).

    Attributes:
        undecided: not passed, but not failed either: the limit lies inside the measurement's interval, or the machine was busy.
    """

    limit: str
    passed: bool
    wanted: float | None
    measured: float | None
    sentence: str
    undecided: bool = False


@dataclass(frozen=True)
class Unit:
    """How a quantity is written: ``digits`` after the point at least, then ``suffix``."""

    digits: int
    suffix: str = ""

    def text(self, value: float, digits: int | None = None) -> str:
        """E.g. ``1.72x``."""
        return f"{value:,.{self.digits if digits is None else digits}f}{self.suffix}"


SIMILARITY, AMPLITUDE, SHARE = Unit(4), Unit(4), Unit(4)
RATIO, MILLISECONDS, BYTES = Unit(2, "x"), Unit(2, " ms"), Unit(0, " bytes")
MOST_DIGITS = 12


@dataclass(frozen=True)
class Quantity:
    """Something measured.

    Attributes:
        what: as it stands in a sentence, e.g. ``SSIM mean``.
        value: None if it was not measured.
        interval: 95% interval, if it has one.
        doubt: what makes the value itself doubtful, as it stands in a sentence; empty if nothing does.
        processes: that the interval comes from.
    """

    what: str
    value: float | None
    unit: Unit
    interval: tuple[float, float] | None = None
    doubt: str = ""
    processes: int = 1

    @property
    def ends(self) -> tuple[float, float]:
        """The interval, or the value twice; NaN if there is any in it or in the value."""
        low, high = self.interval or (self.value, self.value)
        numbers = (low, high, self.value)
        return (math.nan, math.nan) if any(number is None or math.isnan(number) for number in numbers) else (low, high)  # type: ignore[return-value]


def at_least(limit: str, artifact: str, quantity: Quantity, wanted: float | None) -> Iterator[Check]:
    """One check, or none without a limit."""
    if wanted is not None:
        low, high = quantity.ends
        yield _compared(
            limit, artifact, quantity=quantity, wanted=wanted, inside_outside=(low >= wanted, high < wanted), words=("below", "at least")
        )


def at_most(limit: str, artifact: str, quantity: Quantity, wanted: float | None) -> Iterator[Check]:
    """One check, or none without a limit."""
    if wanted is not None:
        low, high = quantity.ends
        yield _compared(
            limit, artifact, quantity=quantity, wanted=wanted, inside_outside=(high <= wanted, low > wanted), words=("above", "at most")
        )


def _compared(
    limit: str, artifact: str, *, quantity: Quantity, wanted: float, inside_outside: tuple[bool, bool], words: tuple[str, str]
) -> Check:
    """Args: ``inside_outside``: whether all of the interval keeps the limit, and whether all of it misses it."""
    unit, value, (inside, outside), (side, bound) = quantity.unit, quantity.value, inside_outside, words
    if value is None:
        text = f"was not measured, and has to be {bound} {unit.text(wanted)}"
    elif math.isnan(quantity.ends[0]):
        text = f"is NaN, and has to be {bound} {unit.text(wanted)}"
    elif quantity.doubt or not (inside or outside):
        sentence = f"{artifact}: {quantity.what} is undecided: {_undecided(quantity, wanted, bound)}"
        return Check(limit, passed=False, wanted=wanted, measured=value, sentence=sentence, undecided=True)
    else:
        digits = _telling_digits(unit, value, wanted)
        measured, target, gap = (unit.text(number, digits) for number in (value, wanted, abs(value - wanted)))
        text = f"{measured} is {bound} {target}" if inside else f"{measured} is {side} {target} by {gap}"
    return Check(limit, inside, wanted, value, f"{artifact}: {quantity.what} {text}")


def _undecided(quantity: Quantity, wanted: float, bound: str) -> str:
    low, high, value, target = map(quantity.unit.text, (*quantity.ends, quantity.value or 0.0, wanted))
    if quantity.doubt:
        return f"{value} was measured while {quantity.doubt}, and has to be {bound} {target}; release with --remeasure on an idle machine"
    processes = f" of {quantity.processes} processes" * (quantity.processes > 1)
    return (
        f"{value}, and the 95% interval {low} to {high}{processes} has the limit {target} inside; "
        "release with --remeasure on an idle machine, or raise latency.processes"
    )


def _telling_digits(unit: Unit, value: float, wanted: float) -> int:
    """Digits after the point that show the difference: no ``0.9800 is below 0.9800 by 0.0000``."""
    gap = abs(value - wanted)
    if gap == 0 or math.isinf(gap):
        return unit.digits
    return next((digits for digits in range(unit.digits, MOST_DIGITS) if round(gap, digits) > 0), MOST_DIGITS)
