"""What paints: the contract that the PyTorch network and the artifacts share."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from PIL import Image

# Called with passes over tiles done and of how many.
Say = Callable[[int, int], None]


class Engine(ABC):
    """Paints photos of any size.

    Attributes:
        name: for people.
        identity: changes with the weights and files that it runs.
    """

    name: str
    identity: str

    def close(self) -> None:  # noqa: B027 - the network holds nothing
        """Frees what it holds."""

    @abstractmethod
    def code(self, artwork: Image.Image) -> np.ndarray:
        """The style code (1, style_dim) of an RGB picture, of which the centre square counts."""

    @abstractmethod
    def paint(self, photo: np.ndarray, code: np.ndarray, alpha: float, say: Say) -> np.ndarray:
        """(1, 3, H, W) in [-1, 1] of any size, (1, style_dim), 0 to 1 -> (1, 3, H, W) in [-1, 1]."""


def pad(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    """(1, 3, H, W) mirrored at the lower and right border up to ``height`` x ``width``: mirrored, it has the photo's statistics."""
    missing = (max(0, height - photo.shape[2]), max(0, width - photo.shape[3]))
    return np.pad(photo, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])), mode="symmetric")
