"""The figures over all pairs of photos and artworks.

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

from ...metrics.perceptual import CPU, PerceptualNetwork
from ...metrics.ssim import ssim
from ...model.content_encoder import ContentFeatures
from ...model.network import InstantStyle
from ...model.precision import working_dtype
from ...system.errors import ImageError
from ..images import load_square, to_tensor
from ..losses import relative_distances
from ..sizes import ALPHAS, CONTENT_SIZE, STYLE_SIZE
from ..style_statistics import style_statistics
from ..teacher import Teacher
from .compression import clear_sky, grid_peak, saved_as_jpeg
from .frame import border_difference
from .octaves import CHROMA_PIXELS, LUMA_PIXELS, energies
from .stability import flicker

# A pan is 16 pictures: it is painted in one pair out of so many.
FLICKER_EVERY = 40

Say = Callable[[int, int], None]


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
        luma_energy, chroma_energy: energy of each octave, by its size in pixels, over that of the teacher's outputs, as amplitude: the root
            of the ratio of the sums over all pairs (see ``octaves.py``).
        grid_peak, teacher_grid_peak: of a sky that was saved as JPEG, median over the artworks (see ``compression.py``).
        frame, teacher_frame: difference of the border to what is 8 pixels inside, over the photo's; the sums over all pairs are divided.
        flicker: warped difference between frames of a pan, over that of the frames, mean (see ``stability.py``).
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
    luma_energy: dict[str, float]
    chroma_energy: dict[str, float]
    grid_peak: float
    teacher_grid_peak: float
    frame: float
    teacher_frame: float
    flicker: float


def _pairwise_l1(images: list[Tensor]) -> float:
    return float(np.mean([(a - b).abs().mean().item() for a, b in itertools.combinations(images, 2)]))


class Judge:
    """A network and its teacher, the artworks as both know them, and what has been measured so far.

    Args:
        network: in eval mode.
        artworks: two at least.
        sweep_every: every n-th pair is painted at every alpha, which takes most of the time; the others at alpha 1.
    """

    def __init__(self, network: InstantStyle, artworks: list[Path], sweep_every: int) -> None:
        self.network, self.sweep_every = network, sweep_every
        self.teacher, self.perceptual = Teacher(torch.get_num_threads()), PerceptualNetwork(dtype=working_dtype(CPU))
        styles = [load_square(path, STYLE_SIZE) for path in artworks]
        self.vectors = [self.teacher.style_vector(style) for style in styles]
        self.codes = [network.style_encoder(to_tensor(style[None])) for style in styles]
        # At the photos' scale: a texture's statistics depend on it.
        self.wanted = [style_statistics(self.perceptual(to_tensor(load_square(path, CONTENT_SIZE)[None]))) for path in artworks]
        self.rows: list[tuple[float, ...]] = []
        self.sweeps: list[tuple[float, float]] = []
        self.diversity: list[float] = []
        self.luma: list[np.ndarray] = []  # of a pair (2, 6): the network's and the teacher's
        self.chroma: list[np.ndarray] = []
        self.borders: list[tuple[float, float, float]] = []  # the network's, the teacher's, the photo's
        self.flickers: list[float] = []

    def photo(self, path: Path, say: Callable[[int], None]) -> None:
        """Measures a photo in every style; ``say`` gets the number of pairs that are done."""
        pixels = load_square(path, CONTENT_SIZE)
        photo = to_tensor(pixels[None])
        # The photo's features and statistics depend on neither style nor alpha.
        features, statistics = self.network.stylizer.content_encoder(photo), style_statistics(self.perceptual(photo))
        outputs: list[Tensor] = []
        taught = [to_tensor(self.teacher.stylize(pixels, vector)[None]) for vector in self.vectors]
        for style in range(len(self.codes)):
            outputs.append(self._pair(photo, features, statistics, style, taught[style]))
            say(len(self.rows))
        self.diversity.append(_pairwise_l1(outputs) / _pairwise_l1(taught))

    def _pair(self, photo: Tensor, features: ContentFeatures, statistics: list[Tensor], style: int, taught: Tensor) -> Tensor:
        index, code = len(self.rows), self.codes[style]
        alphas = torch.tensor(ALPHAS if index % self.sweep_every == 0 else ALPHAS[-1:])[:, None]
        repeated = ContentFeatures(*(feature.expand(len(alphas), -1, -1, -1) for feature in features))
        steps = self.network.stylizer.decoder(repeated, code.expand(len(alphas), -1), alphas)
        output = steps[-1:]
        of_photo = relative_distances(statistics, self.wanted[style]).item()
        *of_steps, of_teacher = relative_distances(
            style_statistics(self.perceptual(torch.cat((steps, taught)))), self.wanted[style]
        ).tolist()
        # Half, because L1 is given for images in [0, 1] and these are in [-1, 1].
        off, photo_off = ((image - taught).abs().mean().item() / 2 for image in (output, photo))
        self.rows.append((off, photo_off, of_steps[-1] / of_photo, of_teacher / of_photo))
        if len(alphas) > 1:
            falls = all(after <= before for before, after in itertools.pairwise(of_steps))
            self.sweeps.append((ssim(photo[0].numpy(), steps[0].numpy(), -1, 1), float(falls)))
        luma, chroma = energies(torch.cat((output, taught)))
        self.luma.append(luma.numpy())
        self.chroma.append(chroma.numpy())
        self.borders.append((border_difference(output), border_difference(taught), border_difference(photo)))
        if index % FLICKER_EVERY == 0:
            one = torch.ones(1, 1)
            self.flickers.append(flicker(photo, lambda frame: self.network.stylizer(frame, code, one)))
        return output

    def grid_peaks(self) -> tuple[float, float]:
        """The network's and the teacher's peak of the grid of a saved sky, median over the artworks."""
        pixels = saved_as_jpeg(clear_sky(CONTENT_SIZE))
        photo, one = to_tensor(pixels[None]), torch.ones(1, 1)
        painted = [grid_peak(self.network.stylizer(photo, code, one)) for code in self.codes]
        taught = [grid_peak(to_tensor(self.teacher.stylize(pixels, vector)[None])) for vector in self.vectors]
        return float(np.median(painted)), float(np.median(taught))

    def evaluation(self) -> Evaluation:
        """What all of it comes to."""
        l1, photo_l1, share, teacher_share = (float(np.mean(column)) for column in zip(*self.rows, strict=True))
        identity, falls = (float(np.mean(column)) for column in zip(*self.sweeps, strict=True))
        border, teacher_border, photo_border = np.mean(self.borders, axis=0).tolist()
        grid, teacher_grid = self.grid_peaks()
        return Evaluation(
            photos=len(self.diversity),
            artworks=len(self.codes),
            teacher_l1=l1,
            photo_l1=photo_l1,
            style_share=share,
            teacher_style_share=teacher_share,
            diversity=float(np.mean(self.diversity)),
            swept=len(self.sweeps),
            identity_ssim=identity,
            monotonic_share=falls,
            luma_energy=_over_teacher(self.luma, LUMA_PIXELS),
            chroma_energy=_over_teacher(self.chroma, CHROMA_PIXELS),
            grid_peak=grid,
            teacher_grid_peak=teacher_grid,
            frame=border / photo_border,
            teacher_frame=teacher_border / photo_border,
            flicker=float(np.mean(self.flickers)),
        )


def _over_teacher(pairs: list[np.ndarray], pixels: tuple[float, ...]) -> dict[str, float]:
    painted, taught = np.sum(pairs, axis=0)
    return {f"{size:g}": float(ratio) for size, ratio in zip(pixels, np.sqrt(painted / taught), strict=True)}


@torch.inference_mode()
def evaluate(network: InstantStyle, photos: list[Path], artworks: list[Path], say: Say, sweep_every: int = 1) -> Evaluation:
    """Runs network and teacher over all pairs.

    Args:
        say: called with pairs done and of how many.
        sweep_every: every n-th pair is painted at every alpha, which takes most of the time; the others at alpha 1.

    Raises:
        ImageError: no photo, fewer than two artworks, or one that cannot be read.
    """
    if not photos or len(artworks) < 2:
        raise ImageError(f"{len(photos)} photos and {len(artworks)} artworks: evaluation needs a photo and two artworks at least")
    judge = Judge(network, artworks, sweep_every)
    for path in photos:
        judge.photo(path, lambda done: say(done, len(photos) * len(artworks)))
    return judge.evaluation()
