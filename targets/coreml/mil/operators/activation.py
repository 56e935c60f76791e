"""Activation functions."""

import torch
from torch import Tensor
from torch.nn import functional

from ..kernels import kernel


@kernel("clamped_relu", "iOS15", "iOS17")
def clamped_relu(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """min(beta, x) where x >= 0, else min(beta, alpha * x)."""
    return functional.leaky_relu(x, float(alpha)).clamp_(max=float(beta))


@kernel("elu", "iOS15", "iOS17")
def elu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where x > 0, else alpha * (e^x - 1)."""
    return functional.elu(x, float(alpha))


@kernel("gelu", "iOS15")
def gelu(x: Tensor, mode: str) -> Tensor:
    """x times the normal distribution function of x, or one of its two approximations."""
    if mode == "EXACT":
        return functional.gelu(x)
    if mode == "TANH_APPROXIMATION":
        return functional.gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    raise ValueError(f"mode '{mode}' is none of EXACT, TANH_APPROXIMATION, SIGMOID_APPROXIMATION")


@kernel("leaky_relu", "iOS15", "iOS17")
def leaky_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where x >= 0, else alpha * x."""
    return functional.leaky_relu(x, float(alpha))


@kernel("linear_activation", "iOS15", "iOS17")
def linear_activation(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha * x + beta."""
    return (x * alpha).add_(beta)


@kernel("prelu", "iOS15", "iOS17")
def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where x > 0, else alpha of the channel times x; (N, C, *spatial), (C,)."""
    return functional.prelu(x, alpha)


@kernel("relu", "iOS15")
def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return torch.relu(x)


@kernel("relu6", "iOS15")
def relu6(x: Tensor) -> Tensor:
    """min(max(x, 0), 6)."""
    return x.clamp(0, 6)


@kernel("scaled_tanh", "iOS15", "iOS17")
def scaled_tanh(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha * tanh(beta * x)."""
    return (x * beta).tanh_().mul_(alpha)


@kernel("sigmoid", "iOS15")
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return torch.sigmoid(x)


@kernel("sigmoid_hard", "iOS15", "iOS17")
def sigmoid_hard(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """min(max(alpha * x + beta, 0), 1)."""
    return (x * alpha).add_(beta).clamp_(0, 1)


@kernel("silu", "iOS15")
def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return functional.silu(x)


@kernel("softplus", "iOS15")
def softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x)."""
    return functional.softplus(x)


@kernel("softplus_parametric", "iOS15", "iOS17")
def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha * ln(1 + e^(beta * x)) with the channel's alpha and beta; (N, C, *spatial), (C,), (C,)."""
    shape = (1, -1, *[1] * (x.dim() - 2))
    return functional.softplus(x * beta.reshape(shape)).mul_(alpha.reshape(shape))


@kernel("softmax", "iOS15")
def softmax(x: Tensor, axis: Tensor) -> Tensor:
    """e^x over its sum along ``axis``."""
    return functional.softmax(x, int(axis))


@kernel("softsign", "iOS15")
def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return functional.softsign(x)


@kernel("thresholded_relu", "iOS15", "iOS17")
def thresholded_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where x >= alpha, else 0."""
    return torch.where(x >= alpha, x, 0.0)
