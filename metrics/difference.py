"""How far an artifact's output is from the reference's."""

import math

import numpy as np


def psnr_db(reference: np.ndarray, output: np.ndarray, data_range: float) -> float:
    """10 log10(data_range² / mean squared error); ``inf`` for equality."""
    return _psnr_db(_difference(reference, output), data_range)


def snr_db(reference: np.ndarray, output: np.ndarray) -> float:
    """10 log10(energy of the reference / energy of the error); ``inf`` for equality, ``-inf`` for an error on a zero reference."""
    return _snr_db(reference, _difference(reference, output))


def max_abs(reference: np.ndarray, output: np.ndarray) -> float:
    """Largest absolute difference; NaN if there is NaN in either or Inf in both."""
    return _max_abs(_difference(reference, output))


def _difference(reference: np.ndarray, output: np.ndarray) -> np.ndarray:
    if reference.shape != output.shape:
        raise ValueError(f"shapes differ: {reference.shape} in the reference and {output.shape} here")
    with np.errstate(invalid="ignore"):
        return np.subtract(output, reference, dtype=np.float64).ravel()


def _max_abs(difference: np.ndarray) -> float:
    return float(np.maximum(difference.max(), -difference.min()))


def _psnr_db(difference: np.ndarray, data_range: float) -> float:
    return _decibel(data_range**2, _energy(difference) / difference.size)


def _snr_db(reference: np.ndarray, difference: np.ndarray) -> float:
    return _decibel(_energy(reference.astype(np.float64).ravel()), _energy(difference))


def _energy(values: np.ndarray) -> float:
    return float(np.dot(values, values))


def _decibel(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    ratio = signal / noise
    return -math.inf if ratio == 0 else 10 * math.log10(ratio)
