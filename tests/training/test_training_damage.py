import numpy as np
import pytest

from instantstyle.training.damage import band, blur, compress, damage, noise, resample
from instantstyle.training.sky import sky


def steps_at_eighth(pixels: np.ndarray) -> float:
    """Power of horizontal steps at 1/8 cycle a pixel over the median of all frequencies."""
    steps = np.diff(pixels.astype(float).mean(axis=2), axis=1)[:, :64]
    power = (np.abs(np.fft.rfft(steps, axis=1)) ** 2).mean(axis=0)
    return float(power[8] / np.median(power[1:]))


def gradient(size: int = 96) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size
    return np.stack((60 + 50 * x + 20 * y, 100 + 60 * x, 180 - 40 * x), axis=2).round().astype(np.uint8)


def test_compression_makes_a_grid_anywhere() -> None:
    pixels, phases = gradient(), set()
    grids = [compress(pixels, np.random.default_rng(seed)) for seed in range(12)]
    for damaged in grids:
        assert damaged.shape == pixels.shape and damaged.dtype == np.uint8
        assert 0 < np.abs(damaged.astype(int) - pixels).mean() < 12
        jumps = np.abs(np.diff(damaged.astype(float).mean(axis=2), axis=1)).mean(axis=0)
        phases.add(int(np.argmax([jumps[phase::8].mean() for phase in range(8)])))
    assert np.median([steps_at_eighth(damaged) for damaged in grids]) > 3 * steps_at_eighth(pixels)
    assert len(phases) > 2


def test_noise_is_of_the_deviations_it_says() -> None:
    flat = np.full((64, 64, 3), 128, np.uint8)
    deviations = [noise(flat, np.random.default_rng(seed)).std() for seed in range(30)]
    assert 0.8 < min(deviations) < 4 and 8 < max(deviations) < 12.5


def test_bands_are_few_levels() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    banded = band(ramp, np.random.default_rng(0))
    assert 16 <= len(np.unique(banded)) <= 64
    assert np.abs(banded.astype(int) - ramp).max() <= 9 and banded[0, 0, 0] == 0 and banded[0, -1, 0] == 255


@pytest.mark.parametrize("kind", [blur, resample])
def test_blur_and_resampling_lose_the_finest_detail_and_keep_the_mean(kind) -> None:  # type: ignore[no-untyped-def]
    pixels = (np.indices((64, 64)).sum(axis=0) % 2 * 200 + 20).astype(np.uint8)[:, :, None].repeat(3, axis=2)
    softened = kind(pixels, np.random.default_rng(1))
    assert softened.shape == pixels.shape and softened.std() < 0.8 * pixels.std()
    assert abs(softened.mean() - pixels.mean()) < 2


def test_damage_follows_from_its_seed_and_always_changes_something() -> None:
    pixels = np.random.default_rng(0).integers(30, 220, (48, 48, 3), dtype=np.uint8)
    for seed in range(20):
        first, second = (damage(pixels, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(first, second) and not np.array_equal(first, pixels)


def test_sky_is_smooth_without_bands_and_the_ground_is_the_photo() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    clear = 0
    for seed in range(20):
        painted = sky(photo, np.random.default_rng(seed))
        top = painted[:20].astype(float)
        rows = top.mean(axis=1)
        # Dithered: no step of a whole level between the means of neighbouring rows beyond the gradient's own.
        assert np.abs(np.diff(rows, n=2, axis=0)).max() < 1
        assert top.std(axis=1).max() < 60 and not np.array_equal(painted[:20], photo[:20])
        ground = np.array_equal(painted[-3:], photo[-3:])
        clear += not ground
    assert 2 <= clear <= 10
