"""One tone for a picture that was painted in pieces."""

from torch import Tensor
from torch.nn import functional

LEAST_GAIN = 0.1


def toned(painted: Tensor, guide: Tensor, cells: tuple[int, int]) -> Tensor:
    """``painted`` with the tone of ``guide``, and no more contrast: means and deviations over ``cells``, smoothly between them.

    Args:
        painted: (1, C, H, W) in [-1, 1].
        guide: the same picture at another size, at which contrast is compared.
        cells: vertically and horizontally.
    """

    def per_cell(image: Tensor) -> tuple[Tensor, Tensor]:
        mean = functional.interpolate(image, cells, mode="area")
        # One deviation for all channels, so that no colour fades alone.
        square = functional.interpolate(image.square(), cells, mode="area") - mean.square()
        return mean, square.mean(dim=1, keepdim=True).clamp(min=1e-6).sqrt()

    def spread(image: Tensor) -> Tensor:
        return functional.interpolate(image, painted.shape[2:], mode="bicubic", align_corners=False)

    tone, contrast = per_cell(guide)
    painted_tone, painted_contrast = per_cell(resized(painted, (guide.shape[2], guide.shape[3])))
    gain = spread((contrast / painted_contrast).clamp(LEAST_GAIN, 1)).clamp(LEAST_GAIN, 1)
    return (spread(tone) + (painted - spread(painted_tone)) * gain).clamp(-1, 1)


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, H, W) at another size."""
    return functional.interpolate(image, size, mode="bilinear", antialias=True)
