"""What two calibration tables disagree about."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .table import CalibrationTable, TensorRange

Key = tuple[str, str]  # graph, tensor


@dataclass(frozen=True)
class ScaleChange:
    """A tensor in both tables."""

    a: TensorRange
    b: TensorRange

    @property
    def ratio(self) -> float:
        """b's scale divided by a's."""
        return self.b.scale / self.a.scale

    @property
    def log_ratio(self) -> float:
        """|log(ratio)|: a half and a double are equally far."""
        return abs(math.log(self.b.scale) - math.log(self.a.scale))


@dataclass(frozen=True)
class FieldChange:
    """A property of the whole table, such as its image set."""

    field: str
    a: str
    b: str


@dataclass(frozen=True)
class TableDifference:
    """The differences of tables a and b.

    Attributes:
        fields: model, size, observer, image set and library versions that differ.
        only_in_a, only_in_b: keys, sorted.
        changed: tensors whose scales are apart by more than ``tolerance``, farthest first.
        sign_changed: tensors that are never negative (or never positive) in one table only.
        within_tolerance: tensors in both that differ by less.
        compared: tensors in both.
    """

    tolerance: float
    fields: tuple[FieldChange, ...]
    only_in_a: tuple[Key, ...]
    only_in_b: tuple[Key, ...]
    changed: tuple[ScaleChange, ...]
    sign_changed: tuple[ScaleChange, ...]
    within_tolerance: tuple[ScaleChange, ...]
    compared: int

    @property
    def identical(self) -> bool:
        """Nothing differs at all."""
        return not (self.fields or self.only_in_a or self.only_in_b or self.changed or self.sign_changed or self.within_tolerance)


def diff_tables(a: CalibrationTable, b: CalibrationTable, tolerance: float = 0.01) -> TableDifference:
    """Compares two tables; scales count as changed if they are apart by a factor of more than 1 + ``tolerance``.

    Raises:
        ValueError: a negative tolerance or NaN.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")
    in_a, in_b = a.by_key(), b.by_key()
    both = [ScaleChange(in_a[key], in_b[key]) for key in in_a if key in in_b]
    apart = [change for change in both if change.log_ratio > math.log1p(tolerance)]
    sign_changed = [change for change in both if _signs(change.a) != _signs(change.b)]
    close = [change for change in both if change.a != change.b and change not in apart and change not in sign_changed]
    return TableDifference(
        tolerance=tolerance,
        fields=tuple(_fields(a, b)),
        only_in_a=tuple(key for key in in_a if key not in in_b),
        only_in_b=tuple(key for key in in_b if key not in in_a),
        changed=tuple(sorted(apart, key=lambda change: (-change.log_ratio, change.a.key))),
        sign_changed=tuple(sign_changed),
        within_tolerance=tuple(close),
        compared=len(both),
    )


def describe(difference: TableDifference) -> str:
    """The difference as lines of text, most important first."""
    return "\n".join(_lines(difference))


def _lines(difference: TableDifference) -> Iterator[str]:
    if difference.identical:
        yield f"The tables are identical: {difference.compared} tensors."
        return
    for change in difference.fields:
        yield f"{change.field}: {change.a} -> {change.b}"
    for name, keys in (("a", difference.only_in_a), ("b", difference.only_in_b)):
        yield from (f"only in {name}: {graph} {tensor}" for graph, tensor in keys)
    for change in difference.changed:
        yield f"scale x{change.ratio:.4g}: {change.a.graph} {change.a.tensor} ({change.a.scale:.6g} -> {change.b.scale:.6g})"
    for change in difference.sign_changed:
        yield f"sign: {change.a.graph} {change.a.tensor} (range {_span(change.a)} -> {_span(change.b)})"
    yield (
        f"{difference.compared} tensors in both: {len(difference.changed)} scales differ by more than {difference.tolerance:.4g}, "
        f"{len(difference.sign_changed)} signs differ, {len(difference.within_tolerance)} more differ by less."
    )


def _fields(a: CalibrationTable, b: CalibrationTable) -> Iterator[FieldChange]:
    pairs = {
        "model": (a.model, b.model),
        "size": ("x".join(map(str, a.size)), "x".join(map(str, b.size))),
        "observer": (a.observer, b.observer),
        "image set": (a.image_set_sha256, b.image_set_sha256),
    }
    versions_a, versions_b = dict(a.libraries), dict(b.libraries)
    for library in sorted({*versions_a, *versions_b}):
        pairs[f"version of {library}"] = (versions_a.get(library, "none"), versions_b.get(library, "none"))
    return (FieldChange(field, old, new) for field, (old, new) in pairs.items() if old != new)


def _signs(entry: TensorRange) -> tuple[bool, bool]:
    return entry.minimum < 0, entry.maximum > 0


def _span(entry: TensorRange) -> str:
    return f"{entry.minimum:.6g}..{entry.maximum:.6g}"
