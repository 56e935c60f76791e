"""How far an artifact's output is from the reference's."""

import math

import numpy as np

from ..model.graph import TensorKind, TensorSpec
from ..model.pixels import LEVELS, visible
from .measurements import Score
from .ssim import ssim


def score(sample: str, spec: TensorSpec, reference: np.ndarray, output: np.ndarray) -> Score:
    """Compares one output with the reference's.

    NaN or Inf in either makes all numbers NaN, so that no comparison with a limit holds. Images are compared as people see them: what
    leaves the spec's range is black or white, in the reference as in the output.

    Args:
        spec: of the output; an image is compared by SSIM and PSNR over its range, anything else by its signal-to-noise ratio.
        reference, output: of equal shape; an image is (1, C, H, W).

    Raises:
        ValueError: the shapes differ.
        InstantStyleError: an image is smaller than SSIM's window.
    """
    difference = _difference(reference, output)
    largest = _max_abs(difference)
    is_image = spec.kind is TensorKind.IMAGE
    if not math.isfinite(largest):
        return Score(sample, math.nan if is_image else None, math.nan, math.nan)
    if not is_image:
        return Score(sample, None, _snr_db(reference, difference), largest)
    shown = visible(spec, reference), visible(spec, output)
    difference = _difference(*shown)
    structure = ssim(shown[0][0], shown[1][0], 0, LEVELS)
    return Score(sample, structure, _psnr_db(difference, LEVELS), _max_abs(difference) * (spec.maximum - spec.minimum) / LEVELS)


def similarity(spec: TensorSpec, reference: np.ndarray, output: np.ndarray) -> float:
    """SSIM of an image (1, C, H, W) with the reference's, as ``score`` computes it."""
    return ssim(visible(spec, reference)[0], visible(spec, output)[0], 0, LEVELS)


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
