"""Arrays on disk whose rows are made at first use."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..system.disk import atomic_write

FLUSH_EVERY = 100


class Rows:
    """A memory-mapped array whose rows are made at first use and kept, so that work with them can begin at once.

    Which rows are there is written by ``save``, after the rows themselves: what a kill leaves behind is never taken for a row.

    Args:
        path: of the ``.npy`` file; a second one, ``.made``, says which rows are there.
        shape: of the whole array.
        make: index to row.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: type, make: Callable[[int], np.ndarray]) -> None:
        self._marks, self._make = path.with_suffix(".made"), make
        known = path.exists() and self._marks.exists()
        self.made = np.load(self._marks) if known else np.zeros(shape[0], bool)
        if shape[0] == 0:
            self.array = np.empty(shape, dtype)
        elif known:
            self.array = np.lib.format.open_memmap(path, mode="r+")
        else:
            self.array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, index: int | np.integer) -> np.ndarray:
        """The row, made now if it is not there."""
        if not self.made[index]:
            self.array[index] = self._make(int(index))
            self.made[index] = True
        return self.array[index]

    def save(self) -> None:
        """Puts what was made on disk, then the word that it is there."""
        if isinstance(self.array, np.memmap):
            self.array.flush()
            buffer = io.BytesIO()
            np.save(buffer, self.made)
            atomic_write(self._marks, buffer.getvalue())

    def make_all(self, say: Callable[[int, int], None]) -> None:
        """Makes every row, saving now and then; ``say`` gets how many are there and of how many."""
        for index in np.flatnonzero(~self.made):
            self[int(index)]
            done = int(self.made.sum())
            if done % FLUSH_EVERY == 0 or done == len(self):
                self.save()
                say(done, len(self))
