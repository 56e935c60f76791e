"""How far an artifact departs from the float network that it was made of: what conversion and quantisation cost, and not pruning."""

import math
from dataclasses import dataclass

import numpy as np

from ...metrics.local_errors import colour_difference, worst_block
from ...metrics.perceptual import perceptual_distance
from ...metrics.ssim import similarity
from ...model.graph import TensorKind, TensorSpec
from ...model.pixels import LEVELS, reordered, visible


@dataclass(frozen=True)
class Departure:
    """One end-to-end picture of an artifact beside that of its own float network. All NaN if either has NaN or Inf.

    Attributes:
        sample: name of the sample.
        ssim: structural similarity, in [-1, 1].
        tile_ssim: of the worst tile of 64x64 pixels.
        block: the largest mean difference in a block of 8x8 pixels, as a share of the range, 0 to 1.
        colour: mean CIEDE2000, at least 0.
        perceptual: distance of deep features, 0 to 8; None of a made picture, and where the network's weights are not installed.
    """

    sample: str
    ssim: float
    tile_ssim: float
    block: float
    colour: float
    perceptual: float | None = None

    @classmethod
    def of(cls, sample: str, spec: TensorSpec, own: np.ndarray, output: np.ndarray, made: bool = False) -> "Departure":
        """Of two images (1, C, H, W) in the range of ``spec``; a made one shows nothing, so that it has no perceptual distance."""
        if not (np.isfinite(own).all() and np.isfinite(output).all()):
            return cls(sample, *[math.nan] * 4, perceptual=None if made else math.nan)
        wanted, found = (visible(spec, image) for image in (own, output))
        structure = similarity(wanted[0], found[0], 0, LEVELS)
        one, other = (reordered(spec, picture)[0] for picture in (wanted, found))
        perceptual = None if made else perceptual_distance(one, other, 0, LEVELS)
        block, colour = worst_block(wanted[0], found[0], 0, LEVELS), colour_difference(one, other, 0, LEVELS)
        return cls(sample, structure.mean, structure.worst_tile, block, colour, perceptual)


@dataclass(frozen=True)
class Departures:
    """Of all samples; empty where the network's output is no image.

    Attributes:
        pictures: of the validation samples, and of one of them with every style and strength.
        made: of patterns and of badly exposed photos, which even an honest quantisation may turn far.
    """

    pictures: tuple[Departure, ...] = ()
    made: tuple[Departure, ...] = ()

    def of(self, made: bool) -> tuple[Departure, ...]:
        """Those that were made, or those of pictures."""
        return self.made if made else self.pictures


def has_departures(spec: TensorSpec) -> bool:
    """Whether an output is a picture that can be compared so."""
    return spec.kind is TensorKind.IMAGE
