"""Errors that a mean SSIM does not see: a stain, a frame, a tint."""

import numpy as np

BLOCK = 8
COLOUR_STRIDE = 4


def worst_block(reference: np.ndarray, image: np.ndarray, minimum: float, maximum: float) -> float:
    """The largest mean absolute difference in a block of BLOCK x BLOCK pixels, all channels, as a share of the range.

    A block of the picture that is black where it should be white is 1; blocks at the right and lower edge lie inside the picture.

    Args:
        reference, image: (C, H, W).
    """
    difference = np.abs(np.subtract(image, reference, dtype=np.float64)).mean(axis=0) / (maximum - minimum)
    return float(max(means.max() for means in _block_means(difference)))


def _block_means(values: np.ndarray) -> list[np.ndarray]:
    """Means over all whole blocks counted from the upper left corner, and over those counted from the lower right one."""
    rows, columns = (min(BLOCK, side) for side in values.shape)
    height, width = values.shape[0] // rows * rows, values.shape[1] // columns * columns
    corners = (values[:height, :width], values[-height:, -width:])
    return [corner.reshape(height // rows, rows, width // columns, columns).mean(axis=(1, 3)) for corner in corners]


def colour_difference(reference: np.ndarray, image: np.ndarray, minimum: float, maximum: float) -> float:
    """Mean CIEDE2000 (Sharma, Wu, Dalal 2005), as scikit-image computes it; about 1 is what an eye just notices.

    Taken over means of 4x4 pixels: colour is what areas show, and this is sixteen times faster.

    Args:
        reference, image: (C, H, W) sRGB, or grey with one channel; values outside of the range are clipped, since no screen shows them.
            A fourth channel, transparency, has no colour.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    one, other = (rgb2lab(_reduced(picture, minimum, maximum)) for picture in (reference, image))
    return float(deltaE_ciede2000(one, other).mean())


def _reduced(picture: np.ndarray, minimum: float, maximum: float) -> np.ndarray:
    """(C, H, W) in its range -> (H / 4, W / 4, 3) in [0, 1]."""
    height, width = (side // COLOUR_STRIDE * COLOUR_STRIDE for side in picture.shape[1:])
    unit = np.clip((picture[:3, :height, :width].astype(np.float64) - minimum) / (maximum - minimum), 0, 1)
    means = unit.reshape(len(unit), height // COLOUR_STRIDE, COLOUR_STRIDE, width // COLOUR_STRIDE, COLOUR_STRIDE).mean(axis=(2, 4))
    return np.moveaxis(np.broadcast_to(means, (3, *means.shape[1:])) if len(means) == 1 else means, 0, -1)
