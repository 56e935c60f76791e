"""How well a network stylises pictures that its training never saw, beside its teacher.

Images in [0, 1], photos at 384x384 where the teacher works. The style distance is that of the training loss: VGG means and deviations of
relu1_1 to relu4_1, each layer's squared difference as a share of the artwork's own mean square.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..model.content_encoder import ContentFeatures
from ..model.errors import ImageError
from ..model.network import InstantStyle
from ..validation.ssim import ssim
from .images import load_square, to_tensor
from .losses import relative_distances
from .perceptual import PerceptualNetwork, style_statistics
from .sizes import ALPHAS, CONTENT_SIZE, STYLE_SIZE
from .teacher import Teacher


@dataclass(frozen=True)
class Target:
    """What a finished checkpoint should reach; ``at_least`` tells in which direction."""

    limit: float
    aim: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Whether ``value`` keeps the limit."""
        return value >= self.limit if self.at_least else value <= self.limit


TARGETS = {
    "teacher_l1": Target(0.085, 0.06, at_least=False),
    "style_share": Target(0.45, 0.30, at_least=False),
    "diversity": Target(0.75, 0.95, at_least=True),
    "identity_ssim": Target(0.85, 0.95, at_least=True),
    "monotonic_share": Target(0.95, 1.0, at_least=True),
}


@dataclass(frozen=True)
class Evaluation:
    """Means over all photo x artwork pairs.

    Attributes:
        teacher_l1: L1 to the teacher's output.
        photo_l1: L1 of the plain photo to the teacher's output, for comparison.
        style_share: style distance of the output to the artwork, over that of the plain photo.
        teacher_style_share: the same of the teacher's output.
        diversity: mean pairwise L1 of one photo under all artworks, over the teacher's own.
        swept: pairs that were painted at every alpha, for the two figures below.
        identity_ssim: SSIM of photo and output at alpha 0.
        monotonic_share: share of the swept pairs whose style distance never rises over alpha 0, 0.25, 0.5, 0.75, 1.
    """

    photos: int
    artworks: int
    teacher_l1: float
    photo_l1: float
    style_share: float
    teacher_style_share: float
    diversity: float
    swept: int
    identity_ssim: float
    monotonic_share: float


def _pairwise_l1(images: list[Tensor]) -> float:
    return float(np.mean([(a - b).abs().mean().item() for a, b in itertools.combinations(images, 2)]))


@torch.inference_mode()
def evaluate(
    network: InstantStyle, photos: list[Path], artworks: list[Path], say: Callable[[int, int], None], sweep_every: int = 1
) -> Evaluation:
    """Runs network and teacher over all pairs.

    Args:
        say: called with pairs done and of how many.
        sweep_every: every n-th pair is painted at every alpha, which takes most of the time; the others at alpha 1.

    Raises:
        ImageError: no photo, fewer than two artworks, or one that cannot be read.
    """
    if not photos or len(artworks) < 2:
        raise ImageError(f"{len(photos)} photos and {len(artworks)} artworks: evaluation needs a photo and two artworks at least")
    teacher, perceptual = Teacher(torch.get_num_threads()), PerceptualNetwork()
    styles = [load_square(path, STYLE_SIZE) for path in artworks]
    vectors = [teacher.style_vector(style) for style in styles]
    codes = [network.style_encoder(to_tensor(style[None])) for style in styles]
    # At the photos' scale: a texture's statistics depend on it.
    wanted = [style_statistics(perceptual(to_tensor(load_square(path, CONTENT_SIZE)[None]))) for path in artworks]

    rows: list[tuple[float, ...]] = []
    sweeps: list[tuple[float, float]] = []
    diversity: list[float] = []
    for path in photos:
        pixels = load_square(path, CONTENT_SIZE)
        photo = to_tensor(pixels[None])
        # The photo's features and statistics depend on neither style nor alpha.
        features, photo_statistics = network.stylizer.content_encoder(photo), style_statistics(perceptual(photo))
        outputs: list[Tensor] = []
        taught = [to_tensor(teacher.stylize(pixels, vector)[None]) for vector in vectors]
        for style, code in enumerate(codes):
            swept = len(rows) % sweep_every == 0
            alphas = torch.tensor(ALPHAS if swept else ALPHAS[-1:])[:, None]
            repeated = ContentFeatures(*(feature.expand(len(alphas), -1, -1, -1) for feature in features))
            steps = network.stylizer.decoder(repeated, code.expand(len(alphas), -1), alphas)
            of_photo = relative_distances(photo_statistics, wanted[style]).item()
            painted = style_statistics(perceptual(torch.cat((steps, taught[style]))))
            *of_steps, of_teacher = relative_distances(painted, wanted[style]).tolist()
            outputs.append(steps[-1:])
            # Half, because L1 is given for images in [0, 1] and these are in [-1, 1].
            off, photo_off = ((image - taught[style]).abs().mean().item() / 2 for image in (outputs[-1], photo))
            rows.append((off, photo_off, of_steps[-1] / of_photo, of_teacher / of_photo))
            if swept:
                falls = all(after <= before for before, after in itertools.pairwise(of_steps))
                sweeps.append((ssim(photo[0].numpy(), steps[0].numpy(), -1, 1), float(falls)))
            say(len(rows), len(photos) * len(codes))
        diversity.append(_pairwise_l1(outputs) / _pairwise_l1(taught))
    l1, photo_l1, share, teacher_share = (float(np.mean(column)) for column in zip(*rows, strict=True))
    identity, falls = (float(np.mean(column)) for column in zip(*sweeps, strict=True))
    spread = float(np.mean(diversity))
    return Evaluation(len(photos), len(artworks), l1, photo_l1, share, teacher_share, spread, len(sweeps), identity, falls)
