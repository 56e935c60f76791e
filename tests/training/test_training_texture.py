import numpy as np
import pytest
import torch
from torch.nn import functional

from instantstyle.training.texture import gram, gram_distance, octave_distance, octaves, opponent


def test_gram_is_the_mean_product_of_channels() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    assert gram(features).tolist() == [[[2.5, 0.5], [0.5, 5.0]]]


def test_gram_distance_does_not_ask_where() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(2, 4, 8, 8, generator=random)
    moved = features.flatten(2)[:, :, torch.randperm(64, generator=random)].view_as(features)
    assert gram_distance([moved], [features]).item() == pytest.approx(0, abs=1e-6)
    # Twice the features: four times the Gram matrix, so that the difference is three of its own.
    assert gram_distance([2 * features], [features]).item() == pytest.approx(9, rel=1e-3)


def test_opponent_colours_are_jfif() -> None:
    colours = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]])[:, :, None, None]
    values = opponent(colours)[:, :, 0, 0] - opponent(torch.full((1, 3, 1, 1), -1.0))[:, :, 0, 0]
    wanted = [[0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312], [1, 0, 0]]
    assert np.allclose(values, wanted, atol=1e-5)


def test_octaves_are_what_the_binomial_filter_takes_away() -> None:
    """A cosine of frequency f passes the filter by cos(pi f)^4 in each direction."""
    x = torch.arange(64.0)
    for cycles in (4, 8, 16, 32):
        wave = torch.cos(2 * torch.pi * cycles / 64 * x).expand(1, 1, 64, 64)
        band = octaves(wave)[0][0, 0, 8, 8:-8]
        left = 1 - np.cos(np.pi * cycles / 64) ** 4
        assert torch.allclose(band, left * wave[0, 0, 8, 8:-8], atol=1e-5)
    assert [band.shape[-1] for band in octaves(torch.zeros(1, 3, 64, 64))] == [64, 32, 16, 8, 4]


def test_octave_distance_of_a_blur_and_of_a_shift() -> None:
    random = torch.Generator().manual_seed(1)
    texture = torch.rand(2, 3, 96, 96, generator=random) * 1.6 - 0.8
    shifted = texture.roll((3, 5), dims=(2, 3))
    blurred = functional.avg_pool2d(functional.pad(texture, (1, 1, 1, 1), mode="reflect"), 3, 1)
    same, moved, soft = (octave_distance(images, texture).item() for images in (texture, shifted, blurred))
    assert same == 0
    # L1 takes the blur for the better picture by far; this distance does not.
    assert functional.l1_loss(blurred, texture) < 0.8 * functional.l1_loss(shifted, texture)
    assert moved < 0.25 * soft
