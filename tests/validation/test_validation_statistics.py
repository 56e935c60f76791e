import math

import numpy as np
import pytest
from scipy.stats import binom

from instantstyle.metrics.statistics import can_carry, median, ratio_of_medians, samples_needed
from instantstyle.validation.results.measurements import Quality, Score, Spread


@pytest.mark.parametrize("percent,needed", [(50, 4), (75, 8), (90, 20), (95, 40), (99, 200), (5, 40), (1, 200), (10, 20)])
def test_samples_that_a_percentile_needs(percent: int, needed: int) -> None:
    assert samples_needed(percent) == needed
    assert can_carry(percent, needed) and not can_carry(percent, needed - 1)


@pytest.mark.parametrize("percent", [0, 100, -5])
def test_percentiles_that_do_not_exist(percent: int) -> None:
    with pytest.raises(ValueError, match="1 to 99"):
        samples_needed(percent)


def test_bootstrap_interval_has_the_exact_quantiles() -> None:
    """The bootstrap distribution of the median of n = 301 sorted values is known: P(median* <= x_k) = P(Binomial(n, k/n) >= 151)."""
    n = 301
    values = np.random.default_rng(1).permutation(np.arange(1.0, n + 1))
    cumulative = np.array([binom.sf(150, n, k / n) for k in range(1, n + 1)])
    low, high = (1 + int(np.searchsorted(cumulative, level)) for level in (0.025, 0.975))
    estimate = median(values[:, None])
    assert estimate.value == 151
    # A 90% interval would be 137 to 165.
    assert (low, high) == (134, 168)
    assert abs(estimate.low - low) <= 1 and abs(estimate.high - high) <= 1


def test_every_round_can_be_drawn() -> None:
    estimate = median(np.array([[1.0], [3.0]]))
    assert (estimate.low, estimate.value, estimate.high) == (1.0, 2.0, 3.0)


def test_bootstrap_interval_covers_the_true_median_95_times_of_100() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for trial in range(300):
        estimate = median(generator.exponential(size=(30, 1)), seed=trial)
        covered += estimate.low <= math.log(2) <= estimate.high
    assert 0.90 <= covered / 300 <= 0.99


def test_bootstrap_is_reproducible() -> None:
    values = np.random.default_rng(0).normal(size=(20, 3))
    assert median(values) == median(values)


def test_rounds_are_drawn_whole() -> None:
    """Values of one round are no independent evidence: thrice the same values a round must not narrow the interval."""
    rounds = np.random.default_rng(0).normal(size=(15, 1))
    assert median(np.repeat(rounds, 3, axis=1)) == median(rounds)


def test_a_slow_moment_cancels_in_the_ratio() -> None:
    slowness = np.random.default_rng(0).uniform(1, 5, size=(10, 1)) * np.ones((10, 3))
    ratio = ratio_of_medians(30 * slowness, 10 * slowness)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((3.0, 3.0, 3.0))


def test_ratio_interval_of_independent_noise_contains_the_ratio_and_is_not_empty() -> None:
    generator = np.random.default_rng(5)
    ratio = ratio_of_medians(20 + generator.normal(size=(30, 1)), 10 + generator.normal(size=(30, 1)))
    assert ratio.low < 2.0 < ratio.high
    assert 0.02 < ratio.high - ratio.low < 0.5


def test_ratio_needs_the_same_rounds() -> None:
    with pytest.raises(ValueError, match="same rounds, got 3 and 4"):
        ratio_of_medians(np.ones((3, 1)), np.ones((4, 1)))


def scores(*values: float) -> tuple[Score, ...]:
    return tuple(Score(f"s{index}", value, value * 40, 0.0) for index, value in enumerate(values))


def test_spread_names_the_worst_sample_and_leaves_hard_ones_out() -> None:
    quality = Quality(scores(0.9, 0.7, 0.8), (Score("flat", 0.1, 1.0, 1.0),))
    assert quality.ssim() == Spread(float(np.mean([0.9, 0.7, 0.8])), None, 0.7, "s1")
    assert quality.hard_ssim() == Spread(0.1, None, 0.1, "flat")
    psnr = quality.psnr_db()
    assert psnr is not None and (psnr.worst, psnr.worst_sample) == (28.0, "s1")


def test_fifth_percentile_wants_forty_samples() -> None:
    values = [index / 100 for index in range(41)]
    many, few = Quality(scores(*values), ()).ssim(), Quality(scores(*values[:39]), ()).ssim()
    assert many is not None and many.fifth_percentile == pytest.approx(0.02)
    assert few is not None and few.fifth_percentile is None


def test_nan_is_the_worst() -> None:
    spread = Quality(scores(0.9, math.nan, 0.1), ()).ssim()
    assert spread is not None
    assert spread.worst_sample == "s1" and math.isnan(spread.worst) and math.isnan(spread.mean)


def test_no_scores_have_no_spread() -> None:
    assert Quality((), ()).ssim() is None
    assert Quality((Score("vector", None, 40.0, 0.1),), ()).ssim() is None
