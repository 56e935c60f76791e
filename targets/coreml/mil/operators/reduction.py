"""Reductions over axes."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..kernels import ints, kernel
from .elementwise import dtype_of

Reduction = Callable[[Tensor, list[int], bool], Tensor]


def _prod(x: Tensor, dims: list[int], keep: bool) -> Tensor:
    for dim in sorted((dim % x.dim() for dim in dims), reverse=True):
        x = x.prod(dim, keepdim=keep, dtype=x.dtype)
    return x


# Of integers, these give integers that wrap at 32 bits.
_EXACT: dict[str, Reduction] = {
    "reduce_max": lambda x, dims, keep: x.amax(dims, keep),
    "reduce_min": lambda x, dims, keep: x.amin(dims, keep),
    "reduce_sum": lambda x, dims, keep: x.sum(dims, keep, dtype=x.dtype),
    "reduce_l1_norm": lambda x, dims, keep: x.abs().sum(dims, keep, dtype=x.dtype),
    "reduce_sum_square": lambda x, dims, keep: x.square().sum(dims, keep, dtype=x.dtype),
    "reduce_prod": _prod,
}
_REAL: dict[str, Reduction] = {
    "reduce_mean": lambda x, dims, keep: x.mean(dims, keep),
    "reduce_l2_norm": lambda x, dims, keep: x.square().sum(dims, keep).sqrt_(),
    "reduce_log_sum": lambda x, dims, keep: x.sum(dims, keep).log_(),
    "reduce_log_sum_exp": torch.logsumexp,
}


def _on_reals(function: Reduction) -> Reduction:
    """Of integers the result loses its fraction: it has the input's type, to which the value inference casts it."""
    return lambda x, dims, keep: function(x, dims, keep) if x.is_floating_point() else function(x.double(), dims, keep).to(x.dtype)


def _register(name: str, function: Reduction) -> None:
    @kernel(name, "iOS15")
    def _(x: Tensor, keep_dims: Tensor, axes: Tensor | None = None) -> Tensor:
        dims = list(range(x.dim())) if axes is None else ints(axes)
        keep = bool(keep_dims)
        if not dims:
            # PyTorch would take "no axes" for "all axes".
            x, dims, keep = x.unsqueeze(-1), [-1], False
        return function(x, dims, keep)


for _name, _function in _EXACT.items():
    _register(_name, _function)
for _name, _function in _REAL.items():
    _register(_name, _on_reals(_function))


@kernel("reduce_argmax", "iOS15", "iOS17")
def reduce_argmax(x: Tensor, axis: Tensor, keep_dims: Tensor, output_dtype: str = "int32") -> Tensor:
    """Position of the largest element along ``axis``; of equal ones MIL leaves open which."""
    return x.argmax(int(axis), bool(keep_dims)).to(dtype_of(output_dtype.lower()))


@kernel("reduce_argmin", "iOS15", "iOS17")
def reduce_argmin(x: Tensor, axis: Tensor, keep_dims: Tensor, output_dtype: str = "int32") -> Tensor:
    """Position of the smallest element along ``axis``; of equal ones MIL leaves open which."""
    return x.argmin(int(axis), bool(keep_dims)).to(dtype_of(output_dtype.lower()))
