"""How much of float16's range an artifact needs: the largest magnitude of any of its tensors as a share of 65504."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ...recipe.precision import LARGEST_HALF


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
        where = place(norm.graph, norm.module_path) if norm.square else ""
        share = worst.largest / LARGEST_HALF
        return cls(
            worst.graph, worst.module_path, worst.operator, worst.largest, share, worst.sample, norm.square / LARGEST_HALF, where
        )  # fmt: skip


def place(graph: str, module_path: str) -> str:
    """Graph and module path as one name."""
    return f"{graph}.{module_path}" if module_path else graph
