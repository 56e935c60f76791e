import math

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from instantstyle.metrics.difference import max_abs, psnr_db, snr_db
from instantstyle.metrics.ssim import ssim
from instantstyle.model.graph import TensorKind, TensorSpec
from instantstyle.system.errors import InstantStyleError
from instantstyle.validation.measure.quality import score

IMAGE = TensorSpec("image")
VECTOR = TensorSpec("code", TensorKind.VECTOR, channels=2)


def paper_ssim(x: np.ndarray, y: np.ndarray, data_range: float) -> float:
    """Wang et al. 2004, equations 13 to 17, window by window, in float64; (C, H, W) from 0 to data_range."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for channel_x, channel_y in zip(x.astype(np.float64), y.astype(np.float64), strict=True):
        for row in range(channel_x.shape[0] - 10):
            for column in range(channel_x.shape[1] - 10):
                a, b = (channel[row : row + 11, column : column + 11] for channel in (channel_x, channel_y))
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
                covariance = (window * (a - mean_a) * (b - mean_b)).sum()
                luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
                values.append(luminance * (2 * covariance + c2) / (var_a + var_b + c2))
    return float(np.mean(values))


def pair(shape: tuple[int, ...], sigma: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    rows, columns = np.indices(shape[1:])
    clean = np.stack([0.5 + 0.4 * np.sin(rows / 5 + columns / (3 + channel)) for channel in range(shape[0])])
    return clean, clean + generator.normal(0, sigma, shape)


@pytest.mark.parametrize("sigma", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("shape", [(3, 32, 24), (1, 11, 11), (2, 13, 40)])
def test_ssim_is_the_papers(shape: tuple[int, ...], sigma: float) -> None:
    x, y = pair(shape, sigma)
    assert ssim(x, y, 0, 1) == pytest.approx(paper_ssim(x, y, 1.0), abs=1e-12)


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 74, 70), (1, 75, 33), (3, 139, 150), (4, 200, 11)])
def test_ssim_is_scikit_images(shape: tuple[int, ...]) -> None:
    x, y = pair(shape, 0.1)
    expected = structural_similarity(x, y, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0)
    assert ssim(x, y, 0, 1) == pytest.approx(expected, abs=1e-9)


def test_ssim_does_not_depend_on_how_the_range_is_written() -> None:
    x, y = pair((3, 32, 32), 0.1)
    expected = structural_similarity(
        255 * x, 255 * y, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(2 * x - 1, 2 * y - 1, -1, 1) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("a,b", [(0.0, 0.0), (1.0, 1.0), (0.0, 0.02), (0.0, 1.0), (0.5, 0.6), (1.0, 0.98)])
def test_ssim_of_flat_images_is_the_luminance_term(a: float, b: float) -> None:
    x, y = np.full((3, 80, 32), 2 * a - 1, np.float32), np.full((3, 80, 32), 2 * b - 1, np.float32)
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    assert ssim(x, y, -1, 1) == pytest.approx(expected, abs=1e-6)


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    with pytest.raises(InstantStyleError, match="11x11 pixels, this one has 32x10"):
        ssim(np.zeros((3, 32, 10)), np.zeros((3, 32, 10)), 0, 1)


def test_psnr_by_hand() -> None:
    reference, output = np.zeros((1, 1, 2, 2), np.float32), np.array([0.1, -0.1, 0.3, 0.1], np.float32).reshape(1, 1, 2, 2)
    assert psnr_db(reference, output, 2.0) == pytest.approx(10 * math.log10(4 / 0.03), abs=1e-5)
    assert max_abs(reference, output) == pytest.approx(0.3)
    assert max_abs(output, reference) == pytest.approx(0.3)


def test_snr_by_hand() -> None:
    assert snr_db(np.array([[3.0, 4.0]]), np.array([[3.0, 4.5]])) == pytest.approx(20.0)
    assert snr_db(np.zeros((1, 2)), np.array([[0.0, 0.1]])) == -math.inf
    assert snr_db(np.zeros((1, 2)), np.zeros((1, 2))) == math.inf


def test_score_of_equal_images() -> None:
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)
    same = score("s", IMAGE, image, image.copy())
    assert (same.sample, same.psnr_db, same.max_abs) == ("s", math.inf, 0.0)
    assert same.ssim == pytest.approx(1.0, abs=1e-12)
    assert same.is_finite


def test_score_uses_the_specs_range() -> None:
    """The same picture in [-1, 1] and in [0, 255] has the same SSIM and PSNR."""
    x, y = pair((3, 16, 16), 0.05)
    small = score("s", IMAGE, (2 * x - 1)[None], (2 * y - 1)[None])
    large = score("s", TensorSpec("image", minimum=0, maximum=255), 255 * x[None], 255 * y[None])
    assert small.ssim == pytest.approx(large.ssim, abs=1e-9)
    assert small.psnr_db == pytest.approx(large.psnr_db, abs=1e-6)
    assert small.max_abs * 127.5 == pytest.approx(large.max_abs)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["reference", "output", "both"])
def test_one_value_that_is_not_finite_makes_every_number_nan(value: float, where: str) -> None:
    arrays = {"reference": np.zeros((1, 3, 16, 16), np.float32), "output": np.zeros((1, 3, 16, 16), np.float32)}
    for name in arrays if where == "both" else (where,):
        arrays[name][0, 1, 3, 4] = value
    found = score("s", IMAGE, **arrays)
    assert found.ssim is not None and math.isnan(found.ssim)
    assert math.isnan(found.psnr_db) and math.isnan(found.max_abs)
    assert not found.is_finite


def test_a_vector_has_no_ssim_and_nan_in_it_is_seen() -> None:
    reference = np.array([[1.0, 2.0]], np.float32)
    good = score("s", VECTOR, reference, np.array([[1.0, 2.5]], np.float32))
    assert (good.ssim, good.max_abs, good.is_finite) == (None, 0.5, True)
    assert good.psnr_db == pytest.approx(10 * math.log10(5 / 0.25))
    assert not score("s", VECTOR, reference, np.array([[1.0, np.nan]], np.float32)).is_finite


def test_score_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        score("s", IMAGE, np.zeros((1, 3, 16, 16)), np.zeros((1, 3, 16, 1)))


def test_what_leaves_the_range_is_judged_as_it_is_seen() -> None:
    """A reference that is far beyond white is white, in a format that clips as in one that does not."""
    x, _ = pair((3, 16, 16), 0.0)
    reference = (4 * x - 2)[None]
    clipped = np.clip(reference, -1, 1)
    for output in (reference, clipped):
        assert score("s", IMAGE, reference, output).ssim == pytest.approx(1.0, abs=1e-12)
        assert score("s", IMAGE, reference, output).max_abs == 0
    darker = score("s", IMAGE, reference, clipped - 0.25)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2.0, "channel_axis": 0}
    assert darker.ssim == pytest.approx(structural_similarity(clipped[0] + 1, np.clip(clipped[0] - 0.25, -1, 1) + 1, **settings), abs=1e-9)
    assert darker.max_abs == pytest.approx(0.25)


def test_mean_and_std_are_undone_before_anything_is_compared() -> None:
    x, y = pair((3, 16, 16), 0.05)
    plain = score("s", TensorSpec("image", minimum=0, maximum=1), x[None], y[None])
    std, mean = np.array([0.2, 0.4, 0.1])[:, None, None], np.array([0.5, 0.4, 0.3])[:, None, None]
    spec = TensorSpec("image", minimum=0, maximum=1, mean=(0.5, 0.4, 0.3), std=(0.2, 0.4, 0.1))
    normalised = score("s", spec, ((x - mean) / std)[None], ((y - mean) / std)[None])
    assert normalised.ssim == pytest.approx(plain.ssim, abs=1e-9)
    assert normalised.psnr_db == pytest.approx(plain.psnr_db, abs=1e-9)
    assert normalised.max_abs == pytest.approx(plain.max_abs, abs=1e-9)
