"""A measured quantity against its limit, as a sentence. NaN and what was not measured never pass."""

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing an artifact is judged by (see ``limits.Failure`` for the other fields).

    Attributes:
        noisy: another run may end otherwise: the limit lies inside the measurement's interval, or the machine was busy.
    """

    limit: str
    passed: bool
    wanted: float | None
    measured: float | None
    sentence: str
    noisy: bool = False


@dataclass(frozen=True)
class Unit:
    """How a quantity is written: ``digits`` after the point at least, then ``suffix``."""

    digits: int
    suffix: str = ""

    def text(self, value: float, digits: int | None = None) -> str:
        """E.g. ``1.72x``."""
        return f"{value:,.{self.digits if digits is None else digits}f}{self.suffix}"


SIMILARITY, AMPLITUDE = Unit(4), Unit(4)
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
    """

    what: str
    value: float | None
    unit: Unit
    interval: tuple[float, float] | None = None
    doubt: str = ""


def at_least(limit: str, artifact: str, quantity: Quantity, wanted: float | None) -> Iterator[Check]:
    """One check, or none without a limit."""
    if wanted is not None:
        passed = quantity.value is not None and quantity.value >= wanted
        yield _compared(limit, artifact, quantity, wanted, passed, "below", "at least")


def at_most(limit: str, artifact: str, quantity: Quantity, wanted: float | None) -> Iterator[Check]:
    """One check, or none without a limit."""
    if wanted is not None:
        passed = quantity.value is not None and quantity.value <= wanted
        yield _compared(limit, artifact, quantity, wanted, passed, "above", "at most")


def _compared(limit: str, artifact: str, quantity: Quantity, wanted: float, passed: bool, side: str, bound: str) -> Check:
    unit, value = quantity.unit, quantity.value
    if value is None:
        text = f"was not measured, and has to be {bound} {unit.text(wanted)}"
    elif math.isnan(value):
        text = f"is NaN, and has to be {bound} {unit.text(wanted)}"
    else:
        digits = _telling_digits(unit, value, wanted)
        measured, target, gap = (unit.text(number, digits) for number in (value, wanted, abs(value - wanted)))
        text = f"{measured} is {bound} {target}" if passed else f"{measured} is {side} {target} by {gap}"
    noise = _noise(quantity, wanted)
    return Check(limit, passed, wanted, value, f"{artifact}: {quantity.what} {text}{noise}", bool(noise))


def _telling_digits(unit: Unit, value: float, wanted: float) -> int:
    """Digits after the point that show the difference: no ``0.9800 is below 0.9800 by 0.0000``."""
    gap = abs(value - wanted)
    if gap == 0 or math.isinf(gap):
        return unit.digits
    return next((digits for digits in range(unit.digits, MOST_DIGITS) if round(gap, digits) > 0), MOST_DIGITS)


def _noise(quantity: Quantity, wanted: float) -> str:
    doubts = [quantity.doubt] if quantity.doubt and quantity.value is not None else []
    if quantity.interval is not None and quantity.interval[0] < wanted < quantity.interval[1]:
        low, high = map(quantity.unit.text, quantity.interval)
        doubts.append(f"the 95% interval {low} to {high} has the limit inside")
    return f" (noisy: {'; '.join(doubts)})" if doubts else ""
