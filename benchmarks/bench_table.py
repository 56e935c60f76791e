"""The numbers that the project holds itself to, beside what was measured, and how they are shown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Number:
    """One row of the table.

    Attributes:
        name: what it is, and of which artifact.
        unit: shown behind every value.
        measured: None where it was not, with the reason in ``note``.
        limit, aim: None for a row that only informs.
        more_is_better: which side of the limit is the good one.
        note: interval, sample, or why it was not measured.
    """

    name: str
    unit: str
    measured: float | None
    limit: float | None = None
    aim: float | None = None
    more_is_better: bool = True
    note: str = ""
    digits: int = 2

    @property
    def standing(self) -> str:
        """What the measured value is worth; NaN reaches nothing."""
        if self.measured is None:
            return NOT_MEASURED
        if self.limit is None or self.aim is None:
            return ""
        if self._reaches(self.aim):
            return "aim reached"
        return "within the limit" if self._reaches(self.limit) else "LIMIT MISSED"

    def cells(self) -> tuple[str, ...]:
        """Name, measured, limit, aim, standing and note as text."""
        return self.name, self._text(self.measured), self._text(self.limit), self._text(self.aim), self.standing, self.note

    def _reaches(self, bound: float) -> bool:
        value = math.nan if self.measured is None else self.measured
        return value >= bound if self.more_is_better else value <= bound

    def _text(self, value: float | None) -> str:
        return "" if value is None else f"{value:,.{self.digits}f}{self.unit}"


HEADER = ("", "measured", "limit", "aim", "", "")
LEFT = (True, False, False, False, True, True)


def as_markdown(numbers: Sequence[Number], title: str) -> str:
    """The table in Markdown."""
    rows = [HEADER, ("---", "---:", "---:", "---:", "---", "---"), *(number.cells() for number in numbers)]
    return f"# {title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def as_text(numbers: Sequence[Number]) -> str:
    """The table for a terminal."""
    rows = [HEADER, *(number.cells() for number in numbers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(_padded, row, widths, LEFT)).rstrip() for row in rows)


def _padded(cell: str, width: int, left: bool) -> str:
    return cell.ljust(width) if left else cell.rjust(width)
