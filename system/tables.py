"""Tables of the reports."""

from collections.abc import Iterable, Sequence

NOTHING = "-"


def markdown_table(columns: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table and an empty one; none without rows."""
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *lines, ""] if lines else []


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ") or NOTHING
