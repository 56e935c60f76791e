"""Medians and means with their uncertainty, and which percentiles a number of samples can carry."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
CONFIDENCE_PERCENT = 95
# 97.5% quantiles of Student's t distribution with 1, 2, … degrees of freedom; any table of statistics has them.
T_QUANTILES = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314)


def samples_needed(percent: int) -> int:
    """The least number of samples for a percentile: two of them on average beyond it, so 2 / (1 - p) for the p-th.

    Args:
        percent: 1 to 99; the 5th percentile wants as many as the 95th.
    """
    if not 1 <= percent <= 99:
        raise ValueError(f"a percentile is 1 to 99, got {percent}")
    tail = min(percent, 100 - percent)
    return -(-200 // tail)


def can_carry(percent: int, samples: int) -> bool:
    """Whether a percentile of so many samples means anything."""
    return samples >= samples_needed(percent)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float

    def widened(self, share: float) -> "Estimate":
        """With an interval that reaches further on both sides by that share."""
        return Estimate(self.value, self.low * (1 - share), self.high * (1 + share))


def median(rounds: np.ndarray, seed: int = 0) -> Estimate:
    """Median of all values with its percentile bootstrap interval (Efron 1979).

    Args:
        rounds: (R, B): R rounds of B values. Whole rounds are drawn, since values of one round share the machine's state of that moment.
    """
    return _estimate(np.median(rounds), np.median(_resampled(rounds, _draws(len(rounds), seed)), axis=1))


def ratio_of_medians(numerator: np.ndarray, denominator: np.ndarray, seed: int = 0) -> Estimate:
    """Median of one contestant over that of another, both (R, B) and measured in the same rounds.

    The bootstrap draws the same rounds for both: a slow moment of the machine slows both and cancels.
    """
    if len(numerator) != len(denominator):
        raise ValueError(f"both contestants need the same rounds, got {len(numerator)} and {len(denominator)}")
    draws = _draws(len(numerator), seed)
    ratios = np.median(_resampled(numerator, draws), axis=1) / np.median(_resampled(denominator, draws), axis=1)
    return _estimate(np.median(numerator) / np.median(denominator), ratios)


def geometric_mean(values: Sequence[float]) -> Estimate:
    """Geometric mean of independent positive values, with Student's interval of the mean of their logarithms (Student 1908).

    Raises:
        ValueError: fewer than two values, or more than the table of quantiles goes.
    """
    if not 2 <= len(values) <= len(T_QUANTILES) + 1:
        raise ValueError(f"an interval needs 2 to {len(T_QUANTILES) + 1} values, got {len(values)}")
    logarithms = np.log(np.asarray(values, np.float64))
    reach = T_QUANTILES[len(values) - 2] * logarithms.std(ddof=1) / np.sqrt(len(values))
    return Estimate(*(float(np.exp(logarithms.mean() + offset)) for offset in (0.0, -reach, reach)))


def _draws(count: int, seed: int) -> np.ndarray:
    """(RESAMPLES, count) indices with replacement."""
    return np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))


def _resampled(rounds: np.ndarray, draws: np.ndarray) -> np.ndarray:
    return rounds[draws].reshape(len(draws), -1)


def _estimate(value: float, resampled: np.ndarray) -> Estimate:
    tail = (100 - CONFIDENCE_PERCENT) / 2
    low, high = np.percentile(resampled, (tail, 100 - tail))
    # Of a few lopsided rounds, the value itself may lie outside of what was drawn.
    return Estimate(float(value), min(float(low), float(value)), max(float(high), float(value)))
