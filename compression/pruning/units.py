"""Disjoint sets of numbered units: what can only be removed together, and what cannot be removed at all."""

import numpy as np

Ids = np.ndarray  # (n,) int64


class Units:
    """A unit is one index of one axis of a parameter. Sets are joined by their least unit."""

    def __init__(self) -> None:
        self.parents: Ids = np.arange(0)
        self.reasons: dict[int, str] = {}

    def new(self, count: int) -> Ids:
        """``count`` units, each alone."""
        fresh = np.arange(len(self.parents), len(self.parents) + count)
        self.parents = np.concatenate((self.parents, fresh))
        return fresh

    def roots(self, ids: Ids) -> Ids:
        """The unit that stands for the set of each."""
        found = self.parents[ids]
        while not np.array_equal(above := self.parents[found], found):
            found = above
        self.parents[ids] = found
        return found

    def join(self, ids: Ids, others: Ids) -> None:
        """Each of ``ids`` goes with the one of ``others`` at its place."""
        apart = self.roots(ids) != self.roots(others)
        for one, other in zip(ids[apart].tolist(), others[apart].tolist(), strict=True):
            low, high = sorted((self._root(one), self._root(other)))
            self.parents[high] = low
            if low != high and high in self.reasons:
                reason = self.reasons.pop(high)
                self.reasons.setdefault(low, reason)

    def freeze(self, ids: Ids, reason: str) -> None:
        """These stay, and whatever goes with them; the first reason counts."""
        for root in np.unique(self.roots(ids)).tolist():
            self.reasons.setdefault(root, reason)

    def _root(self, unit: int) -> int:
        while (above := int(self.parents[unit])) != unit:
            unit = above
        return unit
