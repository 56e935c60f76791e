"""Matrix products and attention."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..kernels import kernel


def _as(values: Tensor, x: Tensor) -> Tensor:
    """A constant operand in the type of the other one, which is the result's."""
    if values.is_floating_point() and not x.is_floating_point():
        raise ValueError("a product of integers with a floating-point constant: how the result is rounded to an integer is not documented")
    return values.to(x.dtype)


@kernel("linear", "iOS15", "iOS17")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(*, I), (O, I), (O,) -> (*, O)."""
    weight = _as(weight, x)
    if x.is_floating_point():
        return functional.linear(x, weight, None if bias is None else _as(bias, x))
    product = torch.matmul(x, weight.T)
    return product if bias is None else product + _as(bias, x)


@kernel("matmul", "iOS15", "iOS17")
def matmul(x: Tensor, y: Tensor, transpose_x: Tensor, transpose_y: Tensor) -> Tensor:
    """(*, I, K), (*, K, J) -> (*, I, J), where the leading dimensions broadcast and x may be (K,)."""
    if x.is_floating_point() != y.is_floating_point():
        # One of them is a constant, the other one's type is the result's, and the evaluator cannot see which is which.
        raise ValueError("matmul of integers and floating-point numbers: the result's type is that of whichever is not constant")
    return torch.matmul(x.mT if bool(transpose_x) else x, y.mT if bool(transpose_y) else y)


@kernel("einsum", "iOS15")
def einsum(values: tuple[Tensor, Tensor], equation: str) -> Tensor:
    """Dimensions of length 1 broadcast."""
    return torch.einsum(equation, *values)


@kernel("scaled_dot_product_attention", "iOS18")
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """(*, L, E), (*, S, E), (*, S, V) -> (*, L, V).

    A mask is added to the scores; one of bools keeps the scores where it is True. A row that keeps none becomes NaN, as by the
    documented formula; PyTorch's own function makes it 0.
    """
    if attn_mask is None:
        return functional.scaled_dot_product_attention(query, key, value)
    scores = torch.matmul(query, key.mT).div_(math.sqrt(query.shape[-1]))
    if attn_mask.dtype == torch.bool:
        scores.masked_fill_(~attn_mask, -math.inf)
    else:
        scores.add_(attn_mask)
    return torch.matmul(functional.softmax(scores, -1), value)
