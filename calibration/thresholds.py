"""The magnitude at which to clip, from a histogram of magnitudes."""

import numpy as np

from .histogram import MagnitudeHistogram

INT8_LEVELS = 127
KL_LEVELS = 128
# What a bin that only clipping fills weighs in the candidate distribution, in counts; without it the divergence would be infinite.
KL_FLOOR = 1e-4
# Share of the counts that must not be clipped. Where hardly more than the last bin is left, the divergence is 0 again.
KL_KEPT_SHARE = 0.9
MSE_SMALLEST_BINS = 16
MSE_COARSE, MSE_FINE = 128, 64


def percentile_threshold(histogram: MagnitudeHistogram, percentile: float, magnitude: float) -> float:
    """The magnitude that ``percentile`` % of all values do not exceed, interpolated within its bin.

    If so many values are zero that it would be 0, nothing could be represented, and ``magnitude`` is returned.
    """
    cumulative = histogram.zeros + np.cumsum(histogram.counts)
    rank = cumulative[-1] * percentile / 100
    if rank <= histogram.zeros or percentile == 100:
        return magnitude
    index = int(np.searchsorted(cumulative, rank))
    share = (rank - (cumulative[index] - histogram.counts[index])) / histogram.counts[index]
    return min(magnitude, float(index + share) * histogram.width)


def entropy_threshold(histogram: MagnitudeHistogram, magnitude: float) -> float:
    """The clipping that loses least information: S. Migacz, "8-bit Inference with TensorRT", GTC 2017.

    For every number of bins ``kept`` from 128 on, the reference is the first ``kept`` bins with all that lies beyond added to
    the last of them; the candidate has the counts of those bins merged into 128 levels, each spread evenly over its bins
    that are not empty. The threshold is (kept + 0.5) bins where their Kullback-Leibler divergence is least.

    The talk leaves some things open. A level holds the bins j with floor(j * 128 / kept) equal to it. A last bin that only
    clipping fills weighs ``KL_FLOOR`` counts in the candidate. At most a tenth of the counts may be clipped. The first bin is
    given the count of the second, and exact zeros are left out: they are represented exactly by every scale, and after
    ReLU they would decide alone.
    """
    used = histogram.used(magnitude)
    counts = histogram.counts[:used].copy()
    if used <= KL_LEVELS:
        return magnitude
    counts[0] = counts[1]
    if not counts.any():
        return magnitude
    kept = np.arange(KL_LEVELS, used + 1)
    divergence = divergences(counts, kept)
    best = len(kept) - 1 - int(np.argmin(divergence[::-1]))  # the widest of equals
    return min(magnitude, (int(kept[best]) + 0.5) * histogram.width)


def divergences(counts: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence of reference and candidate for each entry of ``kept``.

    The candidate is constant within a level, so sums over levels replace sums over bins: with reference counts p of sum P
    and candidate counts q of sum Q, it is sum(p log p - p log q) / P - log P + log Q; infinite where too much is clipped.
    """
    sums, filled, self_information = (np.concatenate([[0.0], np.cumsum(x)]) for x in (counts, counts > 0, _x_log_x(counts)))
    # First bin of each level, and the end: (len(kept), 129). The smallest j with j * 128 >= level * kept.
    edges = -(-np.arange(KL_LEVELS + 1) * kept[:, None] // KL_LEVELS)
    level_sums, level_filled = np.diff(sums[edges]), np.diff(filled[edges])
    means = np.divide(level_sums, level_filled, out=np.ones_like(level_sums), where=level_filled > 0)
    outliers = sums[-1] - sums[kept]
    last = counts[kept - 1]
    floor = np.where((last == 0) & (outliers > 0), KL_FLOOR, 0.0)
    last_candidate = np.where(floor > 0, floor, means[:, -1])
    p_log_p = self_information[kept] - _x_log_x(last) + _x_log_x(last + outliers)
    p_log_q = (level_sums * np.log(means)).sum(axis=1) + np.where(outliers > 0, outliers * np.log(last_candidate), 0.0)
    inside = sums[kept] + floor
    divergence = (p_log_p - p_log_q) / sums[-1] - np.log(sums[-1]) + np.log(np.where(inside > 0, inside, 1.0))
    return np.where(sums[kept] >= KL_KEPT_SHARE * sums[-1], divergence, np.inf)


def mse_threshold(histogram: MagnitudeHistogram, magnitude: float) -> float:
    """The clipping with the least expected squared error of symmetric int8, found over scales from coarse to fine.

    Values are taken as spread evenly within their bin, for which the error has a closed form; zeros have none.
    """
    used = histogram.used(magnitude)
    lowest = min(magnitude, MSE_SMALLEST_BINS * histogram.width)
    coarse = np.geomspace(magnitude, lowest, MSE_COARSE)
    best = coarse[np.argmin(squared_errors(histogram, coarse, used))]
    step = (lowest / magnitude) ** (1 / (MSE_COARSE - 1))
    fine = np.geomspace(min(magnitude, best / step), best * step, MSE_FINE)
    candidates = np.append(fine, best)
    return float(candidates[np.argmin(squared_errors(histogram, candidates, used))])


def squared_errors(histogram: MagnitudeHistogram, thresholds: np.ndarray, used: int) -> np.ndarray:
    """Summed squared quantisation error for each threshold, over the first ``used`` bins.

    The antiderivative of (x - q(x))^2 is k s^3 / 12 + (x - k s)^3 / 3 with k = min(round(x / s), 127): each whole cell of the
    quantiser adds s^3 / 12, and what lies beyond 127 s is clipped to it.
    """
    edges = np.arange(used + 1) * histogram.width
    scales = thresholds[:, None] / INT8_LEVELS
    cells = np.minimum(np.rint(edges / scales), INT8_LEVELS)
    integral = cells * scales**3 / 12 + (edges - cells * scales) ** 3 / 3
    return np.diff(integral) @ (histogram.counts[:used] / histogram.width)


def _x_log_x(values: np.ndarray) -> np.ndarray:
    return values * np.log(np.where(values > 0, values, 1.0))
