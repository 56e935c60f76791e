"""Medians with their uncertainty, and which percentiles a number of samples can carry."""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
CONFIDENCE_PERCENT = 95


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


def _draws(count: int, seed: int) -> np.ndarray:
    """(RESAMPLES, count) indices with replacement."""
    return np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))


def _resampled(rounds: np.ndarray, draws: np.ndarray) -> np.ndarray:
    return rounds[draws].reshape(len(draws), -1)


def _estimate(value: float, resampled: np.ndarray) -> Estimate:
    tail = (100 - CONFIDENCE_PERCENT) / 2
    low, high = np.percentile(resampled, (tail, 100 - tail))
    return Estimate(float(value), float(low), float(high))
