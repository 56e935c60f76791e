"""How much of float16's range an artifact needs: the largest magnitude of any of its tensors as a share of 65504."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..targets.base import Precision
from .comparison import Check, Quantity, Unit, at_most

if TYPE_CHECKING:
    from .bundle import BundleArtifact
    from .measurements import Measurements

LARGEST = 65504.0
LIMIT, SHARE = "max_half_share", Unit(4)
COLUMNS = ("Artifact", "Graph", "Module", "Operator", "largest", "of 65504", "sample", "squares within a norm")


@dataclass(frozen=True)
class Magnitude:
    """The largest magnitude of one tensor over the validation samples, in float.

    Attributes:
        graph: name of the graph.
        module_path: of the module that computes it; empty for the graph itself.
        operator: that computes it, e.g. ``conv2d``; ``square`` for a product of a tensor with itself.
        largest: absolute value; infinities that the float model has itself do not count.
        sample: name of the sample.
        square: of the tensor's producer, if it is a norm: the largest square of its inputs, which it adds up inside; otherwise 0.
    """

    graph: str
    module_path: str
    operator: str
    largest: float
    sample: str
    square: float = 0.0


@dataclass(frozen=True)
class HalfRange:
    """The tensor that comes nearest to the end of float16, of those that an artifact computes in float16.

    Attributes:
        graph: name of the graph.
        module_path: of the module that computes it; empty for the graph itself.
        operator: that computes it.
        largest: its largest absolute value over the validation samples, in the float model.
        share: of 65504.
        sample: name of the sample.
        square_share: the largest square inside a norm (mean and variance) as a share of 65504; above 1, the artifact needs a runtime that
            adds them up in float32.
        square_module_path: of that norm; empty if there is none.
    """

    graph: str
    module_path: str
    operator: str
    largest: float
    share: float
    sample: str
    square_share: float = 0.0
    square_module_path: str = ""

    @classmethod
    def of(cls, magnitudes: Iterable[Magnitude], float32_operators: Collection[str] = ()) -> "HalfRange | None":
        """Of all tensors but the results of ``float32_operators``; None if there are none."""
        rows = [row for row in magnitudes if row.operator not in float32_operators]
        if not rows:
            return None
        worst, norm = max(rows, key=lambda row: row.largest), max(rows, key=lambda row: row.square)
        where = _place(norm.graph, norm.module_path) if norm.square else ""
        share = worst.largest / LARGEST
        return cls(
            worst.graph, worst.module_path, worst.operator, worst.largest, share, worst.sample, norm.square / LARGEST, where
        )  # fmt: skip


def half_checks(measurements: "Measurements", limit: float | None) -> Iterator[Check]:
    """Whether the range suffices; nothing for an artifact that computes nothing in float16."""
    found, name = measurements.half_range, measurements.artifact
    if found is not None:
        where = _place(found.graph, found.module_path)
        peak = f"largest value of '{where}' ({found.operator}), {found.largest:.4g} in sample '{found.sample}'"
        for check in at_most(LIMIT, name, Quantity(f"{peak}, as a share of float16's 65504:", found.share, SHARE), limit):
            yield check if check.passed else replace(check, sentence=check.sentence + _advice(found.share))
    elif measurements.precision is Precision.FLOAT16:
        yield from at_most(LIMIT, name, Quantity("largest value as a share of float16's 65504", None, SHARE), limit)


def _advice(share: float) -> str:
    beyond = "; it becomes Inf, and what reads it NaN" if share > 1 else ""
    return f"{beyond}; scale the weights before it down, normalise earlier, or ship another precision"


def half_rows(artifacts: "Iterable[BundleArtifact]") -> Iterator[tuple[str, ...]]:
    """Rows of the report under COLUMNS."""
    for artifact in artifacts:
        found = artifact.measurements.half_range if artifact.measurements else None
        if found is not None:
            squares = f"{found.square_share:.3g} x 65504 in {found.square_module_path}" if found.square_module_path else ""
            largest, share = f"{found.largest:.4g}", f"{found.share:.4f}"
            yield artifact.name, found.graph, found.module_path, found.operator, largest, share, found.sample, squares


def _place(graph: str, module_path: str) -> str:
    return f"{graph}.{module_path}" if module_path else graph
