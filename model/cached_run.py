"""Runs a graph once for each different input: a style is encoded once, however many photos it is paired with."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np

from .graph import Arrays, Run

CAPACITY_BYTES = 32 * 2**20


def content_key(arrays: Mapping[str, np.ndarray]) -> str:
    """Hash of names, types, shapes and values, whatever the order of the names."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        state.update(f"{name}\0{array.dtype.str}{array.shape}\0".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


class CachedRun:
    """A run function that remembers its latest results.

    Attributes:
        executed: how often the graph really ran.
    """

    def __init__(self, run: Run, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._run = run
        self._capacity_bytes = capacity_bytes
        self._results: OrderedDict[str, dict[str, np.ndarray]] = OrderedDict()
        self._held_bytes = 0
        self.executed = 0

    def __call__(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """The graph's outputs, as arrays that the caller may change."""
        key = content_key(inputs)
        if key in self._results:
            self._results.move_to_end(key)
        else:
            self.executed += 1
            self._keep(key, self._run(inputs))
        outputs = {name: array.copy() for name, array in self._results[key].items()}
        self._evict()
        return outputs

    def _keep(self, key: str, outputs: dict[str, np.ndarray]) -> None:
        self._results[key] = outputs
        self._held_bytes += _size_bytes(outputs)

    def _evict(self) -> None:
        while self._held_bytes > self._capacity_bytes:
            _, outputs = self._results.popitem(last=False)
            self._held_bytes -= _size_bytes(outputs)


def _size_bytes(arrays: Mapping[str, np.ndarray]) -> int:
    return sum(array.nbytes for array in arrays.values())
