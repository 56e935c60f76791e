"""What the losses and times of an int8 graph's modules amount to: the changes that would help most, and their price."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..results.blame import INPUTS, Blame


def with_times(rows: Sequence[Blame], int8_ms: Mapping[str, float], float_ms: Mapping[str, float]) -> tuple[Blame, ...]:
    """The rows with the times of the modules, and behind them one for each module that has a time only, the slowest first."""
    known = {row.module_path for row in rows}
    timed = sorted((path for path in {**int8_ms, **float_ms} if path not in known), key=lambda path: -int8_ms.get(path, 0.0))
    rows = [*rows, *map(Blame, timed)]
    return tuple(replace(row, int8_ms=int8_ms.get(row.module_path), float_ms=float_ms.get(row.module_path)) for row in rows)


def advice(rows: Sequence[Blame], graph: str) -> tuple[str, ...]:
    """The change that would help the picture most, and the one that would save most time, each with its price; empty if none would."""
    layers = [row for row in rows if row.module_path != INPUTS and not row.module_path.startswith("(")]
    quality = max((row for row in layers if (row.ssim_gained or 0) > 0), key=lambda row: row.ssim_gained or 0, default=None)
    speed = min((row for row in layers if (_more_ms(row) or 0) < 0), key=lambda row: _more_ms(row) or 0, default=None)
    said = [(quality, "would help most")] if quality else []
    said += [(speed, "would save most time")] if speed else []
    return tuple(f'quantize.keep_float = ["{graph}.{row.module_path}"] {helps}: {_price(row)}' for row, helps in said)


def _more_ms(row: Blame) -> float | None:
    """What a layer takes longer in float."""
    return None if row.int8_ms is None or row.float_ms is None else row.float_ms - row.int8_ms


def _price(row: Blame) -> str:
    more = _more_ms(row)
    gained = [] if row.ssim_gained is None else [f"{row.ssim_gained:+.4f} mean SSIM in PyTorch"]
    time = [] if more is None else [f"{more:+.2f} ms"]
    bytes_more = [f"{row.more_bytes:+,} bytes"] if row.ssim_gained is not None else []
    return ", ".join((*gained, *time, *bytes_more))
