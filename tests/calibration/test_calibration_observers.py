"""Observers against brute force in float64."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from instantstyle.calibration.histogram import MagnitudeHistogram
from instantstyle.calibration.observers import OBSERVERS, Observer, ObserverError, make_observer
from instantstyle.calibration.thresholds import divergences, entropy_threshold, mse_threshold, squared_errors
from instantstyle.system.errors import RecipeError

CLIPPING = ["percentile", "entropy", "mse"]


def observed(name: str, *updates: np.ndarray, percentile: float = 99.99) -> Observer:
    observer = make_observer(name, percentile)
    for values in updates:
        observer.update(torch.from_numpy(np.asarray(values)).float())
    return observer


def batches(seed: int = 0, count: int = 20_000) -> list[np.ndarray]:
    """Updates of different scale, so that the histogram has to grow, with a heavy tail; float32."""
    generator = np.random.default_rng(seed)
    return [(scale * generator.laplace(size=count)).astype(np.float32) for scale in (0.3, 1.0, 0.8, 2.5, 1.2)]


def test_the_registry_holds_the_five_observers() -> None:
    assert set(OBSERVERS) == {"min_max", "moving_average", "percentile", "entropy", "mse"}
    with pytest.raises(RecipeError, match="unknown observer 'kl'; there are min_max, moving_average, percentile, entropy, mse"):
        make_observer("kl")


@pytest.mark.parametrize("percentile", [0, -1, 100.5, float("nan")])
def test_percentile_out_of_range(percentile: float) -> None:
    with pytest.raises(RecipeError, match="above 0 and at most 100"):
        make_observer("percentile", percentile)


# What every observer has to do.


@pytest.mark.parametrize("name", OBSERVERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2e37])
def test_values_that_are_not_finite_are_refused_and_leave_no_trace(name: str, bad: float) -> None:
    good = batches()[0]
    observer = observed(name, good)
    before = observer.range()
    spoiled = good.copy()
    spoiled[777] = bad
    with pytest.raises(ObserverError, match="cannot be quantised"):
        observer.update(torch.from_numpy(spoiled))
    assert observer.range() == before


@pytest.mark.parametrize("name", OBSERVERS)
def test_no_values_are_refused(name: str) -> None:
    observer = make_observer(name)
    with pytest.raises(ObserverError, match="no values"):
        observer.update(torch.zeros(0, 3))
    with pytest.raises(ObserverError, match="saw no activation"):
        observer.range()


@pytest.mark.parametrize("name", OBSERVERS)
def test_all_zero(name: str) -> None:
    assert observed(name, np.zeros(100), np.zeros(7)).range() == (0, 0)


@pytest.mark.parametrize("name", OBSERVERS)
def test_zero_is_always_inside(name: str) -> None:
    positive = np.linspace(2, 5, 5000)
    low, high = observed(name, positive, positive).range()
    assert low == 0
    assert 4.5 < high <= 5
    low, high = observed(name, -positive, -positive).range()
    assert -5 <= low < -4.5
    assert high == 0


@pytest.mark.parametrize("name", OBSERVERS)
def test_the_smaller_side_keeps_its_extreme(name: str) -> None:
    values = np.concatenate([np.linspace(0, 100, 20_000), [-0.5]])
    assert observed(name, values).range()[0] == -0.5


@pytest.mark.parametrize("name", OBSERVERS)
def test_kinds_of_tensors(name: str) -> None:
    values = torch.from_numpy(batches()[1][:19_200]).reshape(2, 3, 40, 80).bfloat16()
    reference = make_observer(name)
    reference.update(values.float())
    for variant in (
        values,
        values.double(),
        values.float().requires_grad_(),
        values.to(memory_format=torch.channels_last),
        values[:, :, ::1].mT,
    ):
        observer = make_observer(name)
        observer.update(variant)
        assert observer.range() == reference.range()


@pytest.mark.parametrize("name", OBSERVERS)
def test_a_constant_is_represented(name: str) -> None:
    low, high = observed(name, np.full(1000, 0.7), np.full(1000, 0.7)).range()
    assert low == 0
    assert high == pytest.approx(0.7, rel=1e-3)


@pytest.mark.parametrize("name", OBSERVERS)
@pytest.mark.parametrize("factor", [2.0**-40, 2.0**60])
def test_ranges_scale_with_the_values(name: str, factor: float) -> None:
    plain, scaled = (observed(name, *(values * share for values in batches())).range() for share in (1.0, factor))
    np.testing.assert_allclose(scaled, np.array(plain) * factor, rtol=1e-9)


# min_max and moving_average


def test_min_max() -> None:
    updates = batches()
    everything = np.concatenate(updates)
    assert observed("min_max", *updates).range() == (everything.min(), everything.max())


@pytest.mark.parametrize("name", ["min_max", *CLIPPING])
def test_true_extremes_come_from_all_elements(name: str) -> None:
    values = np.random.default_rng(0).uniform(0, 1, 1_000_000)
    values[1], values[-2] = -3, 9  # not among the evenly spaced ones
    observer = observed(name, values)
    assert (observer.minimum, observer.maximum, observer.magnitude) == (-3, 9, 9)


def test_moving_average() -> None:
    updates = [values + 0.1 for values in batches()]
    low, high = (float(extreme(updates[0])) for extreme in (np.min, np.max))
    for values in updates[1:]:
        low, high = 0.99 * low + 0.01 * values.min().astype(float), 0.99 * high + 0.01 * values.max().astype(float)
    np.testing.assert_allclose(observed("moving_average", *updates).range(), (low, high), rtol=1e-6)


# percentile


@pytest.mark.parametrize("percentile", [50, 99, 99.9, 99.99])
def test_percentile(percentile: float) -> None:
    updates = batches()
    everything = np.abs(np.concatenate(updates)).astype(np.float64)
    low, high = observed("percentile", *updates, percentile=percentile).range()
    assert low == -high
    # One bin: the histogram's limit is at most twice the maximum, its bins are 8192.
    assert abs(high - np.percentile(everything, percentile)) <= 2 * everything.max() / 8192


def test_percentile_100_is_the_maximum() -> None:
    updates = batches()
    everything = np.concatenate(updates)
    assert observed("percentile", *updates, percentile=100).range() == (everything.min(), everything.max())


def test_percentile_counts_zeros() -> None:
    values = np.concatenate([np.zeros(9_000), np.linspace(0.001, 1, 1_000)])
    assert observed("percentile", values, percentile=95).range() == (0, pytest.approx(np.percentile(values, 95), abs=1 / 4096))


def test_percentile_of_mostly_zeros_clips_nothing() -> None:
    values = np.zeros(100_000)
    values[5] = 3
    assert observed("percentile", values).range() == (0, 3)


def test_percentile_of_a_large_activation_is_close() -> None:
    values = np.random.default_rng(3).normal(size=1_500_000)
    _, high = observed("percentile", values, percentile=99.9).range()
    assert high == pytest.approx(np.percentile(np.abs(values), 99.9), rel=0.02)


# entropy


def histogram_of(values: np.ndarray, bins: int) -> MagnitudeHistogram:
    histogram = MagnitudeHistogram(bins)
    histogram.update(torch.from_numpy(values).float(), float(np.abs(values.astype(np.float32)).max()))
    return histogram


def divergence_by_definition(counts: np.ndarray, kept: int) -> float:
    if counts[:kept].sum() < 0.9 * counts.sum():
        return np.inf
    reference = counts[:kept].copy()
    reference[-1] += counts[kept:].sum()
    candidate = np.zeros(kept)
    level_of = [(j * 128) // kept for j in range(kept)]
    for level in range(128):
        members = [j for j in range(kept) if level_of[j] == level and counts[j] > 0]
        for j in members:
            candidate[j] = sum(counts[k] for k in members) / len(members)
    if candidate[-1] == 0 and reference[-1] > 0:
        candidate[-1] = 1e-4
    p, q = reference / reference.sum(), candidate / candidate.sum()
    return sum(p[j] * np.log(p[j] / q[j]) for j in range(kept) if p[j] > 0)


DISTRIBUTIONS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "normal": lambda generator: generator.normal(size=3000),
    "laplace": lambda generator: generator.laplace(size=3000),
    "after ReLU": lambda generator: np.maximum(generator.normal(size=3000), 0),
    "uniform": lambda generator: generator.uniform(-1, 1, size=3000),
    "one outlier": lambda generator: np.append(generator.normal(size=3000), 30.0),
    "few values": lambda generator: generator.choice([0.1, 0.4, 0.9, 1.0], size=3000),
    "cauchy": lambda generator: generator.standard_cauchy(size=3000),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_entropy_by_definition(name: str) -> None:
    values = DISTRIBUTIONS[name](np.random.default_rng(4))
    histogram = histogram_of(values, 256)
    counts = histogram.counts.copy()
    counts[0] = counts[1]
    kept = np.arange(128, 257)
    expected = np.array([divergence_by_definition(counts, int(number)) for number in kept])
    np.testing.assert_allclose(divergences(counts, kept), expected, rtol=1e-9, atol=1e-12)
    best = kept[np.flatnonzero(expected <= expected.min() + 1e-12)[-1]]
    magnitude = float(np.float32(np.abs(values).max()))
    assert entropy_threshold(histogram, magnitude) == pytest.approx(min(magnitude, (best + 0.5) * magnitude / 256), rel=1e-12)


def test_entropy_clips_an_outlier_but_not_a_uniform_distribution() -> None:
    generator = np.random.default_rng(5)
    bulk = generator.normal(size=100_000)
    _, high = observed("entropy", np.append(bulk, 50.0)).range()
    assert 3 < high < 6
    _, high = observed("entropy", generator.uniform(0, 1, 100_000)).range()
    assert high > 0.98


def test_entropy_does_not_depend_on_how_many_zeros_relu_made() -> None:
    positive = np.abs(np.random.default_rng(6).normal(size=50_000))
    few, many = (observed("entropy", np.append(positive, np.zeros(zeros))).range() for zeros in (0, 150_000))
    assert few == many


# mse


def squared_error(values: np.ndarray, threshold: float) -> float:
    scale = threshold / 127
    return float(np.square(values - np.clip(np.rint(values / scale), -127, 127) * scale).mean())


@pytest.mark.parametrize("name", [name for name in DISTRIBUTIONS if name != "few values"])
def test_mse_is_as_good_as_a_scan_of_the_raw_values(name: str) -> None:
    generator = np.random.default_rng(7)
    updates = [scale * DISTRIBUTIONS[name](generator) for scale in (0.5, 1.0, 0.9)]
    everything = np.concatenate(updates).astype(np.float32).astype(np.float64)
    low, high = observed("mse", *updates).range()
    largest = np.abs(everything).max()
    best = min(squared_error(everything, threshold) for threshold in np.geomspace(largest / 300, largest, 3000))
    assert squared_error(everything, max(-low, high)) <= 1.03 * best


def test_mse_of_a_normal_distribution_is_near_its_known_optimum() -> None:
    values = np.random.default_rng(8).normal(size=250_000)
    _, high = observed("mse", values).range()
    # Banner et al. 2019 (ACIQ) give 3.92 for 8 bits; the optimum is flat.
    assert high == pytest.approx(3.92, abs=0.2)


def test_squared_errors_by_numerical_integration() -> None:
    generator = np.random.default_rng(9)
    histogram = histogram_of(generator.normal(size=500), 32)
    thresholds = np.array([0.02, 0.3, 1.0, 1.7]) * histogram.limit
    share = (np.arange(40_000) + 0.5) / 40_000
    points = (np.arange(32)[:, None] + share) * histogram.width
    weights = histogram.counts[:, None] / 40_000
    for threshold, error in zip(thresholds, squared_errors(histogram, thresholds, 32), strict=True):
        scale = threshold / 127
        expected = (weights * np.square(points - np.clip(np.rint(points / scale), 0, 127) * scale)).sum()
        assert error == pytest.approx(expected, rel=1e-5)


def test_mse_threshold_is_the_best_of_a_fine_scan() -> None:
    histogram = histogram_of(np.random.default_rng(10).standard_cauchy(size=20_000), 2048)
    magnitude = histogram.limit
    scan = np.geomspace(magnitude / 128, magnitude, 2000)
    best = squared_errors(histogram, scan, 2048).min()
    assert squared_errors(histogram, np.array([mse_threshold(histogram, magnitude)]), 2048)[0] <= 1.001 * best
