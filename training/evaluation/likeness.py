"""How alike two networks paint, for instance a pruned one and the whole: SSIM at the size of a release."""

from pathlib import Path

import numpy as np
import torch

from ...metrics.ssim import ssim
from ...model.network import STYLE_SIZE, InstantStyle
from ..images import load_square, to_tensor
from .pairs import Say

SIZE = 512


@torch.inference_mode()
def likeness(network: InstantStyle, other: InstantStyle, photos: list[Path], artworks: list[Path], say: Say) -> tuple[float, float]:
    """Mean and worst SSIM (images in [-1, 1]) of the two networks' pictures of every photo in every style, 512x512, alpha 1."""
    styles = [to_tensor(load_square(path, STYLE_SIZE)[None]) for path in artworks]
    codes = [(network.style_encoder(style), other.style_encoder(style)) for style in styles]
    one, found = torch.ones(1, 1), []
    for path in photos:
        photo = to_tensor(load_square(path, SIZE)[None])
        for own, others in codes:
            found.append(ssim(other.stylizer(photo, others, one)[0].numpy(), network.stylizer(photo, own, one)[0].numpy(), -1, 1))
            say(len(found), len(photos) * len(codes))
    return float(np.mean(found)), float(np.min(found))
