"""Target codes: what a style's code should be, from the teacher's style vector and the VGG statistics of the artwork.

A style encoder that learns only through the decoder ends with a code of a few directions, and the decoder with one tint a style. Here the
code space is fixed first: principal components of the teacher's vector and of the statistics. The stylizer learns to obey it and the style
encoder to find it in an image, each at full speed.
"""

import numpy as np
import torch
from torch import Tensor

# Deviations below this share of the largest are noise: they are not blown up.
SMALLEST_DEVIATION = 0.02


def standardise(values: Tensor) -> Tensor:
    """(S, D) -> the same with zero mean and unit deviation per column."""
    deviation, mean = torch.std_mean(values, dim=0)
    return (values - mean) / (deviation + 1e-3)


def components(values: Tensor, count: int) -> Tensor:
    """(S, D) -> (S, count): principal components, largest first, half whitened (divided by the root of their deviation).

    Without whitening most of the code would be too small to be learnt; fully whitened, noise would weigh as much as colour. Columns
    beyond the rank are zero.
    """
    _, deviations, directions = torch.linalg.svd(values - values.mean(0), full_matrices=False)
    deviations = deviations / len(values) ** 0.5
    scale = deviations.clamp_min(SMALLEST_DEVIATION * float(deviations[0])).sqrt()
    projected = (values - values.mean(0)) @ directions.T / scale
    kept = projected[:, :count]
    return torch.cat((kept, kept.new_zeros(len(values), count - kept.shape[1])), dim=1)


def target_codes(vectors: np.ndarray, statistics: np.ndarray, size: int) -> Tensor:
    """Codes (S, size) float32, unit mean square: 100 numbers of the teacher's vector, the rest of the statistics.

    Args:
        vectors: (S, 100), the teacher's style vectors.
        statistics: (S, D), VGG means and deviations of the artworks.
        size: length of a code.
    """
    of_vector = min(vectors.shape[1], size)
    parts = [components(standardise(torch.from_numpy(np.array(vectors)).double()), of_vector)]
    if size > of_vector:
        parts.append(components(standardise(torch.from_numpy(np.array(statistics)).double()), size - of_vector))
    parts = [part / part.square().mean().sqrt() for part in parts]
    return torch.cat(parts, dim=1).float()
