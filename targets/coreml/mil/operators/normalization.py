"""Normalization by given or computed statistics."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..kernels import ints, kernel


def _standardized(x: Tensor, dimensions: Sequence[int], epsilon: float | Tensor) -> Tensor:
    """Mean 0 and variance 1, of the population, over ``dimensions``."""
    variance, mean = torch.var_mean(x, dim=list(dimensions), correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(variance + epsilon)


def _affine(x: Tensor, gamma: Tensor | None, beta: Tensor | None, shape: Sequence[int]) -> Tensor:
    if gamma is not None:
        x = x * gamma.reshape(shape)
    return x if beta is None else x + beta.reshape(shape)


@kernel("batch_norm", "iOS15", "iOS17")
def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float | Tensor = 1e-5,
) -> Tensor:
    """(N, C, *spatial), all others (C,) -> (N, C, *spatial)."""
    return functional.batch_norm(x, mean, variance, gamma, beta, training=False, eps=float(epsilon))


@kernel("instance_norm", "iOS15", "iOS17")
def instance_norm(x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: float | Tensor = 1e-5) -> Tensor:
    """(N, C, *spatial), (C,) -> (N, C, *spatial): every channel of every image by itself."""
    if x.dim() not in (3, 4):
        raise ValueError(f"x has rank {x.dim()}; instance_norm is defined for 3 and 4")
    return _affine(_standardized(x, range(2, x.dim()), epsilon), gamma, beta, [-1, *[1] * (x.dim() - 2)])


@kernel("l2_norm", "iOS15", "iOS17")
def l2_norm(x: Tensor, epsilon: float | Tensor = 1e-6) -> Tensor:
    """(*batch, A, B, C) -> the same, each (A, B, C) divided by the root of its sum of squares and ``epsilon``."""
    return x / torch.sqrt(x.square().sum(dim=(-3, -2, -1), keepdim=True) + epsilon)


@kernel("layer_norm", "iOS15", "iOS17")
def layer_norm(
    x: Tensor,
    axes: Tensor | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float | Tensor = 1e-5,
) -> Tensor:
    """Any shape -> the same; ``gamma`` and ``beta`` have the sizes of ``axes``, in the order that ``x`` has them."""
    dimensions = sorted(range(x.dim()) if axes is None else {axis % x.dim() for axis in ints(axes)})
    shape = [size if dimension in dimensions else 1 for dimension, size in enumerate(x.shape)]
    return _affine(_standardized(x, dimensions, epsilon), gamma, beta, shape)


@kernel("local_response_norm", "iOS15", "iOS17")
def local_response_norm(
    x: Tensor, size: Tensor, alpha: float | Tensor = 1e-4, beta: float | Tensor = 0.75, k: float | Tensor = 1.0
) -> Tensor:
    """(N, C, H, W) -> (N, C, H, W): divided by a power of ``k`` and ``alpha / size`` of the squares of ``size`` channels around."""
    if x.dim() != 4:
        # For (N, C, L), which MIL allows, the results recorded in coremltools' tests are those of windows over N.
        raise ValueError(f"x has rank {x.dim()}; which dimension holds the channels is certain only for 4")
    if int(size) % 2 == 0:
        raise ValueError(f"size {int(size)} is even, and on which side of a channel the window is longer is not defined")
    return functional.local_response_norm(x, int(size), float(alpha), float(beta), float(k))
