import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

from instantstyle.metrics.local_errors import colour_difference, worst_block
from instantstyle.metrics.ssim import RADIUS, similarity


def picture(height: int = 160, width: int = 224) -> np.ndarray:
    """(3, H, W) in [-1, 1], smooth with some noise."""
    rows, columns = np.mgrid[:height, :width] / 40
    noise = np.random.default_rng(0).normal(0, 0.02, (3, height, width))
    return np.clip(np.stack([np.sin(rows + columns), np.cos(rows), np.sin(columns)]) * 0.6 + noise, -1, 1)


def full_map(reference: np.ndarray, image: np.ndarray) -> np.ndarray:
    """scikit-image's map at the places where the window fits, mean of the channels."""
    values = structural_similarity(
        reference + 1, image + 1, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=2.0, full=True
    )[1]
    return values.mean(axis=0)[RADIUS:-RADIUS, RADIUS:-RADIUS]


@pytest.mark.parametrize("height,width", [(160, 224), (64, 64), (11, 90), (138, 106)])
def test_the_worst_tile_is_that_of_scikit_images_map(height: int, width: int) -> None:
    reference = picture(height, width)
    image = reference + np.random.default_rng(1).normal(0, 0.05, reference.shape)
    image[:, height // 2 : height // 2 + 16, width // 2 : width // 2 + 16] = -1
    values = full_map(reference, image)
    edges = [[*range(0, length, 64)] for length in values.shape]
    edges = [[e for e in starts if e == 0 or length - e >= 32] + [length] for starts, length in zip(edges, values.shape, strict=True)]
    tiles = [
        values[top:bottom, left:right].mean()
        for top, bottom in zip(edges[0], edges[0][1:], strict=False)
        for left, right in zip(edges[1], edges[1][1:], strict=False)
    ]
    found = similarity(reference, image, -1, 1)
    assert found.worst_tile == pytest.approx(min(tiles), abs=1e-9)
    assert found.mean == pytest.approx(values.mean(), abs=1e-9)


def test_a_small_black_box_hides_in_the_mean_and_not_in_the_tile_or_the_block() -> None:
    reference = picture(512, 512)
    image = reference.copy()
    image[:, 300:316, 200:216] = -1
    found = similarity(reference, image, -1, 1)
    assert found.mean > 0.995 and found.worst_tile < 0.9
    expected = max(
        np.abs(reference - image)[:, top : top + 8, left : left + 8].mean() / 2 for top in range(296, 317, 8) for left in range(192, 217, 8)
    )
    assert worst_block(reference, image, -1, 1) == pytest.approx(expected)


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_black_border_of_five_pixels_is_seen_on_every_side(side: str) -> None:
    """Of a white picture whose sides are no multiples of the block: 5 of 8 pixels are off by the whole range."""
    reference = np.ones((3, 157, 221))
    image = reference.copy()
    image[{"left": np.s_[:, :, :5], "right": np.s_[:, :, -5:], "top": np.s_[:, :5], "bottom": np.s_[:, -5:]}[side]] = -1
    assert worst_block(reference, image, -1, 1) == pytest.approx(5 / 8)


def test_a_picture_smaller_than_a_block_is_one_block() -> None:
    assert worst_block(np.zeros((1, 5, 6)), np.full((1, 5, 6), 0.5), 0, 1) == pytest.approx(0.5)


def test_colour_difference_is_scikit_images() -> None:
    """Constant on blocks of 4x4, so that their mean changes nothing; two pairs of Sharma's table check scikit-image itself."""
    generator = np.random.default_rng(2)
    one, other = (np.kron(generator.random((3, 20, 30)), np.ones((1, 4, 4))) for _ in range(2))
    expected = deltaE_ciede2000(rgb2lab(np.moveaxis(one, 0, -1)), rgb2lab(np.moveaxis(other, 0, -1))).mean()
    assert colour_difference(one * 255, other * 255, 0, 255) == pytest.approx(expected)
    assert deltaE_ciede2000(np.array([50.0, 2.6772, -79.7751]), np.array([50.0, 0.0, -82.7485])) == pytest.approx(2.0425, abs=1e-4)


def test_a_tint_is_a_colour_difference_and_grey_has_none() -> None:
    reference = picture() * 0.7
    tinted = reference + np.array([0.2, 0, 0])[:, None, None]  # 0.1 of the range
    assert similarity(reference, tinted, -1, 1).mean > 0.95
    assert 3 < colour_difference(reference, tinted, -1, 1) < 15
    grey = np.full((1, 40, 40), 0.5)
    assert colour_difference(grey, grey, 0, 1) == 0
    assert colour_difference(np.zeros((1, 8, 8)), np.ones((1, 8, 8)), 0, 1) == pytest.approx(100, abs=0.1)
