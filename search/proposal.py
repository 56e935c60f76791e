"""From sensitivity to settings: one tolerance for each part of the model decides how far every layer in it is pruned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from .candidate import Candidate
from .sensitivity import CHANNELS, HEADS, INT8, Sensitivity

MOST_PARTS = 8


@dataclass(frozen=True)
class Proposal:
    """Shares to remove and modules to leave out of int8, as ``[prune]`` and ``[quantize]`` of a recipe take them."""

    channels: dict[str, float]
    heads: dict[str, float]
    keep_float: tuple[str, ...]

    @classmethod
    def of(cls, candidate: Candidate) -> Self:
        """What a candidate was made by."""
        return cls(dict(candidate.channels), dict(candidate.heads), tuple(candidate.keep_float))


class Space:
    """Everything that a search chooses from.

    A part is a child of a graph's module, or all heads of a graph; beyond ``MOST_PARTS``, neighbours are put together.

    Args:
        rows: of every module.
    """

    def __init__(self, rows: Sequence[Sensitivity]) -> None:
        self.pruned = [row for row in rows if row.change != INT8]
        self.int8 = sorted((row for row in rows if row.change == INT8), key=lambda row: -row.ssim_lost)
        found: dict[str, set[str]] = {}
        for row in sorted(self.pruned, key=lambda row: (row.change, row.name)):
            graph, _, path = row.name.partition(".")
            found.setdefault(f"{graph} heads" if row.change == HEADS else f"{graph}.{path.partition('.')[0]}", set()).add(row.name)
        self.parts = _few(found)

    def proposal(self, tolerances: Mapping[str, float], keep_float: int = 0) -> Proposal:
        """What every layer can spare: the largest share that, removed alone, costs no more SSIM than its part's tolerance.

        Args:
            tolerances: SSIM by part.
            keep_float: how many modules stay out of int8, the most sensitive ones.
        """
        shares: dict[str, dict[str, float]] = {CHANNELS: {}, HEADS: {}}
        for row in self.pruned:
            if row.ssim_lost <= tolerances[self.part_of(row)]:
                shares[row.change][row.name] = max(row.ratio, shares[row.change].get(row.name, 0.0))
        return Proposal(shares[CHANNELS], shares[HEADS], tuple(row.name for row in self.int8[:keep_float]))

    def part_of(self, row: Sensitivity) -> str:
        """The part that a layer belongs to."""
        return next(part for part, names in self.parts.items() if row.name in names and (row.change == HEADS) == part.endswith("heads"))

    def parameters_removed(self, proposal: Proposal) -> int:
        """About how many parameters a proposal removes: the sum of what each layer alone would, an overestimate."""
        shares = {CHANNELS: proposal.channels, HEADS: proposal.heads}
        return sum(row.parameters_removed for row in self.pruned if shares[row.change].get(row.name) == row.ratio)


def _few(parts: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Parts of channels, at most ``MOST_PARTS`` of them, and those of heads."""
    channels = [item for item in parts.items() if not item[0].endswith("heads")]
    count = max(1, -(-len(channels) // MOST_PARTS))
    merged: dict[str, set[str]] = {}
    for start in range(0, len(channels), count):
        group = channels[start : start + count]
        name = group[0][0] if len(group) == 1 else f"{group[0][0]} to {group[-1][0]}"
        merged[name] = set().union(*(names for _, names in group))
    return merged | {name: names for name, names in parts.items() if name.endswith("heads")}
