"""Whether a network paints the grid of a JPEG's blocks: how a smooth sky that was saved as one comes out."""

import io

import numpy as np
from PIL import Image
from torch import Tensor

from ..texture import opponent

QUALITY = 60
BLOCK = 8
LEAST = 1e-12
ZENITH, HORIZON = (70, 120, 190), (200, 215, 225)


def clear_sky(size: int) -> np.ndarray:
    """A gradient from a blue zenith to a pale horizon, a little lighter to the right: (size, size, 3) uint8."""
    y, x = np.mgrid[:size, :size] / (size - 1)
    way = (0.9 * y + 0.1 * x)[..., None]
    return np.rint(np.array(ZENITH) + way * (np.array(HORIZON) - np.array(ZENITH))).astype(np.uint8)


def saved_as_jpeg(pixels: np.ndarray, quality: int = QUALITY) -> np.ndarray:
    """What is left of (H, W, 3) uint8 after it was saved."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def grid_peak(image: Tensor) -> float:
    """Power of the horizontal steps of luma at 1/8 cycle a pixel, over the median of all frequencies but 0.

    The power spectrum is that of each row's differences between neighbours, mean over rows. A texture that knows nothing of
    blocks has about 1; the steps at the borders of blocks make a line at 1/8.

    Args:
        image: (1, 3, H, W).
    """
    luma = opponent(image)[0, 0].double().numpy()
    steps = np.diff(luma, axis=1)
    length = steps.shape[1] // BLOCK * BLOCK
    power = (np.abs(np.fft.rfft(steps[:, :length], axis=1)) ** 2).mean(axis=0)
    # The least keeps a picture without any step from dividing 0 by 0: it has no grid.
    return float((power[length // BLOCK] + LEAST) / (np.median(power[1:]) + LEAST))
