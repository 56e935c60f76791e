"""``python -m instantstyle.training.evaluate``: how well a checkpoint stylises pictures that training never saw.

Images in [0, 1], photos at 384x384 where the teacher works. The style distance is that of the training loss.
"""

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..model.checkpoint import load_checkpoint
from ..model.network import InstantStyle
from ..validation.ssim import ssim
from .data import CONTENT_SIZE, STYLE_SIZE, image_files, load_square, to_tensor
from .losses import relative_distance
from .perceptual import PerceptualNetwork, style_statistics
from .teacher import Teacher

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Evaluation:
    """Means over all photo x artwork pairs.

    Attributes:
        teacher_l1: L1 to the teacher's output.
        style_share: style distance of the output to the artwork, over that of the plain photo.
        diversity: mean pairwise L1 of one photo under all artworks, over the teacher's own.
        identity_ssim: SSIM of photo and output at alpha 0.
        monotonic_share: share of pairs whose style distance never rises over alpha 0, 0.25, 0.5, 0.75, 1.
    """

    pairs: int
    teacher_l1: float
    style_share: float
    diversity: float
    identity_ssim: float
    monotonic_share: float


def _pairwise_l1(images: list[Tensor]) -> float:
    return float(np.mean([(a - b).abs().mean().item() for a, b in itertools.combinations(images, 2)]))


@torch.inference_mode()
def evaluate(network: InstantStyle, photos: list[Path], artworks: list[Path]) -> Evaluation:
    """Runs network and teacher over all pairs; needs two artworks or more."""
    teacher, perceptual = Teacher(), PerceptualNetwork()
    styles = [load_square(path, STYLE_SIZE) for path in artworks]
    vectors = [teacher.style_vector(style) for style in styles]
    codes = [network.style_encoder(to_tensor(style[None])) for style in styles]
    # At the photos' scale: a texture's statistics depend on it.
    wanted = [style_statistics(perceptual(to_tensor(load_square(path, CONTENT_SIZE)[None]))) for path in artworks]

    def distance(image: Tensor, style: int) -> float:
        return relative_distance(style_statistics(perceptual(image)), wanted[style]).item()

    rows: list[tuple[float, float, float, bool]] = []
    diversity: list[float] = []
    for path in photos:
        pixels = load_square(path, CONTENT_SIZE)
        photo = to_tensor(pixels[None])
        outputs: list[Tensor] = []
        taught = [to_tensor(teacher.stylize(pixels, vector)[None]) for vector in vectors]
        for style, code in enumerate(codes):
            steps = [network.stylizer(photo, code, torch.full((1, 1), alpha)) for alpha in ALPHAS]
            distances = [distance(step, style) for step in steps]
            falls = all(after <= before for before, after in itertools.pairwise(distances))
            identity = ssim(photo[0].numpy(), steps[0][0].numpy(), -1, 1)
            outputs.append(steps[-1])
            # Half, because L1 is given for images in [0, 1] and these are in [-1, 1].
            rows.append(((steps[-1] - taught[style]).abs().mean().item() / 2, distances[-1] / distance(photo, style), identity, falls))
        diversity.append(_pairwise_l1(outputs) / _pairwise_l1(taught))
    l1, share, identity, falls = (float(np.mean(column)) for column in zip(*rows, strict=True))
    return Evaluation(len(rows), l1, share, float(np.mean(diversity)), identity, falls)


def main() -> None:
    """Parses the arguments and prints a line a number."""
    parser = argparse.ArgumentParser(prog="python -m instantstyle.training.evaluate", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/instantstyle-12m.safetensors"))
    parser.add_argument("--photos", type=Path, default=Path("samples/validation/photos"))
    parser.add_argument("--artworks", type=Path, default=Path("samples/validation/styles"))
    arguments = parser.parse_args()
    result = evaluate(load_checkpoint(arguments.checkpoint), image_files(arguments.photos), image_files(arguments.artworks))
    for name, value in vars(result).items():
        print(f"{name:16} {value:.4f}" if isinstance(value, float) else f"{name:16} {value}")


if __name__ == "__main__":
    main()
