"""What a plan of quantisation tried and gained, and the plans that were compared, as Markdown."""

from collections.abc import Sequence

from ...system.tables import markdown_table
from ..results.provenance import PlanDecision, PlanPoint

TRIED = ("Where", "Tried", "SSIM mean", "worst", "share of float's time", "taken")
COMPARED = ("Left in float", "SSIM mean", "worst", "share of float's time", "bytes of weights", "taken")


def plan_tables(decisions: Sequence[PlanDecision], points: Sequence[PlanPoint]) -> list[str]:
    """Lines of two tables; none without a plan. SSIM is that of calibration samples, time and bytes are estimates."""
    tried = (
        (row.where, row.choice, f"{row.ssim_mean:+.4f}", f"{row.ssim_worst:+.4f}", f"{row.time_share:+.1%}", _word(row.taken))
        for row in decisions
    )
    compared = (
        (
            ", ".join(point.kept_float) or "nothing",
            f"{point.ssim_mean:.4f}",
            f"{point.ssim_worst:.4f}",
            f"{point.time_share:.0%}",
            f"{point.weight_bytes:,}",
            _word(point.taken),
        )
        for point in points
    )
    return [*markdown_table(TRIED, tried), *markdown_table(COMPARED, compared)]


def _word(taken: bool) -> str:
    return "yes" if taken else "no"
