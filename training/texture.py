"""Losses of texture: they ask for the teacher's strokes in kind and strength, not for each of them at its place.

An L1 distance is smallest at the median of all that might be there, which is a blur. These two are not: Gram matrices of VGG features
(Gatys et al., CVPR 2016) and the energy of every octave of the picture itself.
"""

import torch
from torch import Tensor
from torch.nn import functional

OCTAVES = 6
WINDOW = 8
# What the ratio of a whole picture's energies weighs beside that of its windows.
WHOLE = 1.0
# Least deviation that counts, in [0, 1]: half a level of 255.
FLOOR = 0.002


def gram(features: Tensor) -> Tensor:
    """Mean products of channels: (N, C, H, W) -> (N, C, C)."""
    flat = features.float().flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def gram_distance(features: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Squared difference of the Gram matrices as a share of the target's mean square, mean over pictures and layers."""
    total = features[0].new_zeros(())
    for feature, target in zip(features, targets, strict=True):
        wanted = gram(target.detach())
        total = total + ((gram(feature) - wanted).square().mean(dim=(1, 2)) / (wanted.square().mean(dim=(1, 2)) + 1e-6)).mean()
    return total / len(features)


def opponent(images: Tensor) -> Tensor:
    """RGB in [-1, 1] -> luma and two differences of colours (JFIF's YCbCr), in units of [0, 1]: (N, 3, H, W), both ways."""
    weights = images.new_tensor(((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)))
    return functional.conv2d(images / 2, weights[:, :, None, None])


def octaves(images: Tensor) -> list[Tensor]:
    """Bands of a Laplacian pyramid (Burt & Adelson 1983), without its last low pass: (N, C, H / 2^k, W / 2^k)."""
    channels = images.shape[1]
    line = images.new_tensor((1.0, 4.0, 6.0, 4.0, 1.0)) / 16
    kernel = (line[:, None] * line).expand(channels, 1, 5, 5).contiguous()
    bands: list[Tensor] = []
    for _ in range(OCTAVES):
        if min(images.shape[2:]) < 4:
            break
        low = functional.conv2d(functional.pad(images, (2, 2, 2, 2), mode="replicate"), kernel, groups=channels)
        bands.append(images - low)
        images = low[:, :, ::2, ::2]
    return bands


def octave_distance(images: Tensor, targets: Tensor) -> Tensor:
    """How far the energies of luma and chroma are from the target's, mean over octaves.

    Of each octave: the squared difference of the deviations in windows of 8 x 8 of its cells, as a share of the target's mean square, and
    the squared logarithm of the ratio of the whole picture's energies.

    Args:
        images, targets: (N, 3, H, W) in [-1, 1].
    """
    pairs = list(zip(octaves(opponent(images)), octaves(opponent(targets.detach())), strict=True))
    total = images.new_zeros(())
    for band, wanted in pairs:
        window = min(WINDOW, *band.shape[2:])
        energy, asked = (functional.avg_pool2d(each.square(), window) + FLOOR**2 for each in (band, wanted))
        local = (energy.sqrt() - asked.sqrt()).square().mean(dim=(2, 3)) / asked.mean(dim=(2, 3))
        whole = torch.log(energy.mean(dim=(2, 3)) / asked.mean(dim=(2, 3))).square()
        total = total + (local + WHOLE * whole).mean()
    return total / len(pairs)
