"""What ``triton_serving`` found out, as a page."""

from collections.abc import Sequence

from triton_load import Row

from instantstyle.system.tables import NOTHING, markdown_table
from instantstyle.validation.results.timing import DISTURBING_SHARE, Machine

COLUMNS = (
    "contestant",
    "clients",
    "requests",
    "a second",
    "over one at a time",
    "p50",
    "p95",
    "server's CPU a request",
    "cores had",
    "others took",
)
SET_UP = (
    "The Python backend with ONNX Runtime in the place of the backend `onnxruntime`, one thread an instance unless said; HTTP on the same "
    "machine, whose clients are one process."
)
REMARK = (
    '"Over one at a time": requests a second over the baseline\'s of the same round, median and extremes. "Cores had" is what server and '
    "clients got of the processors. The server's processor time for a request depends on others the least."
)


def as_markdown(title: str, machine: Machine, rows: Sequence[Row], qualities: str) -> str:
    """The page."""
    cells = [
        (
            row.name,
            str(row.clients),
            str(row.requests),
            f"{row.per_second:.2f}",
            f"{row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})",
            f"{row.p50_ms:.0f} ms",
            f"{row.p95_ms:.0f} ms" if row.p95_ms is not None else NOTHING,
            f"{1000 * row.server_s:.0f} ms",
            f"{row.cores:.2f}",
            f"{row.elsewhere:.0%}",
        )
        for row in rows
    ]
    load = f"load {machine.load_before:.1f} before and {machine.load_after:.1f} after"
    head = f"{machine.cpu}, {machine.cores} cores, {load}. {SET_UP}"
    return "\n".join([f"# {title}", "", head, "", *disturbed(rows), qualities, "", *markdown_table(COLUMNS, cells), REMARK, ""])


def disturbed(rows: Sequence[Row]) -> list[str]:
    """What to say first where others took much of the machine."""
    share = max(row.elsewhere for row in rows)
    if share <= DISTURBING_SHARE:
        return []
    return [f"**Others took up to {share:.0%} of the machine: times and ratios are of that, and decide nothing; processor times do.**", ""]
