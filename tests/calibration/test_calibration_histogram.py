"""The shared histogram of magnitudes: exact while its range grows, and fair when it samples."""

import numpy as np
import pytest
import torch

from instantstyle.calibration.histogram import MAX_COUNTED, MagnitudeHistogram, subsample


def filled(bins: int, *updates: np.ndarray) -> MagnitudeHistogram:
    histogram = MagnitudeHistogram(bins)
    for values in updates:
        tensor = torch.from_numpy(values).float().flatten()
        histogram.update(tensor, tensor.abs().max().item())
    return histogram


def centred(levels: int, count: int, seed: int) -> np.ndarray:
    """Values of both signs that lie in the middle of bins, so that rounding cannot move one across an edge."""
    generator = np.random.default_rng(seed)
    return (generator.integers(0, levels, count) + 0.5) * generator.choice([-1, 1], count) / 64


def test_growing_counts_what_one_histogram_would() -> None:
    updates = [centred(levels, 5000, seed) for seed, levels in enumerate([64, 64, 700, 128, 1024])]
    updates[0][0] = 1  # the first limit, a power of two
    histogram = filled(64, *updates)
    assert histogram.limit == 16
    updates[0][0] = np.nextafter(1, 0)  # a limit itself belongs to the last bin
    values = np.abs(np.concatenate(updates))
    expected, _ = np.histogram(values, bins=64, range=(0, 16))
    np.testing.assert_array_equal(histogram.counts, expected)
    assert histogram.zeros == 0


def test_at_least_half_of_the_bins_are_used() -> None:
    for magnitude in (1.01, 1.99, 2.0, 3.7, 1e-20, 1e30):
        histogram = filled(128, np.array([1e-20]), np.array([magnitude]))
        largest = float(np.float32(max(magnitude, 1e-20)))
        assert largest <= histogram.limit <= 2 * largest
        assert 64 <= histogram.used(largest) <= 128
        assert histogram.counts.sum() == 2


def test_zeros_are_counted_apart() -> None:
    histogram = filled(32, np.zeros(10), np.array([0.0, 0.0, -2.0, 1.0]), np.zeros((3, 3)))
    assert histogram.zeros == 21
    assert histogram.counts.sum() == 2
    assert (histogram.counts[16], histogram.counts[31]) == (1, 1)


def test_only_zeros_leave_it_empty() -> None:
    histogram = filled(32, np.zeros(5))
    assert (histogram.limit, histogram.zeros, histogram.counts.sum()) == (0, 5, 0)


@pytest.mark.parametrize("count", [MAX_COUNTED, MAX_COUNTED + 1, 1 << 20, 3 * 512 * 512, 2_000_003])
def test_subsample_is_small_and_even(count: int) -> None:
    kept = subsample(torch.arange(count))
    assert (kept.numel() == count) if count <= MAX_COUNTED else (MAX_COUNTED / 4 <= kept.numel() <= MAX_COUNTED)
    assert len(set(torch.diff(kept).tolist())) == 1
    assert count - kept[-1] <= kept[1] - kept[0]


def test_subsample_visits_all_columns() -> None:
    # A step of 4 would see columns 0, 4, 8, … only.
    columns = subsample(torch.arange(1 << 20)) % 1024
    counts = torch.bincount(columns, minlength=1024)
    assert counts.min() >= 0.99 * counts.max()


def test_sampled_updates_keep_their_weight() -> None:
    stripes = torch.zeros(1024, 1024)
    stripes[:, ::4] = 1.0
    small = torch.full((1000,), 0.25)
    histogram = MagnitudeHistogram(16)
    histogram.update(stripes.flatten(), 1.0)
    histogram.update(small, 0.25)
    assert histogram.zeros == pytest.approx(0.75 * 2**20, rel=0.01)
    assert histogram.counts[15] == pytest.approx(0.25 * 2**20, rel=0.01)
    assert histogram.counts[4] == 1000
    assert histogram.zeros + histogram.counts.sum() == pytest.approx(2**20 + 1000, rel=1e-12)
