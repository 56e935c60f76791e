"""Gathering from and scattering to positions."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..kernels import kernel

# Takes elements of a tensor along an axis, given their places.
Pick = Callable[[Tensor, int, Tensor], Tensor]


def _checked(indices: Tensor, sizes: Tensor | int, negative: bool) -> Tensor:
    """The indices as int64, counted from the start; ``sizes`` broadcasts with them.

    Before iOS17 a negative index counts from the end. Since iOS17 it is as undefined as one beyond the end, whether or not the
    program asks for validation.
    """
    indices = indices.long()
    if bool(((indices >= sizes) | (indices < (-sizes if negative else 0))).any()):
        raise ValueError(f"indices from {int(indices.min())} to {int(indices.max())} into {sizes} elements: outside it is undefined")
    return torch.where(indices < 0, indices + sizes, indices)


def _gather(x: Tensor, indices: Tensor, axis: int, batch_dims: int) -> Tensor:
    """Indices already checked; both begin with the same ``batch_dims`` dimensions."""
    if batch_dims:
        batch = x.shape[:batch_dims]
        parts = zip(x.flatten(0, batch_dims - 1), indices.flatten(0, batch_dims - 1), strict=True)
        return torch.stack([_gather(part, places, axis - batch_dims, 0) for part, places in parts]).unflatten(0, batch)
    return x.index_select(axis, indices.reshape(-1)).reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def _gather_checked(x: Tensor, indices: Tensor, axis: Tensor, batch_dims: int, negative: bool) -> Tensor:
    place = int(axis) % x.dim()
    if place < batch_dims:
        raise ValueError(f"gather along axis {place} with {batch_dims} batch dimensions: the axis must come after them")
    return _gather(x, _checked(indices, x.shape[place], negative), place, batch_dims)


@kernel("gather", "iOS15")
def gather_ios15(x: Tensor, indices: Tensor, axis: Tensor) -> Tensor:
    """x[..., indices, ...] at ``axis``; all dimensions of the indices take its place."""
    return _gather_checked(x, indices, axis, 0, negative=True)


@kernel("gather", "iOS16")
def gather_ios16(x: Tensor, indices: Tensor, axis: Tensor, batch_dims: Tensor) -> Tensor:
    """As of iOS15, for each index of the first ``batch_dims`` dimensions."""
    return _gather_checked(x, indices, axis, int(batch_dims), negative=True)


@kernel("gather", "iOS17")
def gather(x: Tensor, indices: Tensor, axis: Tensor, batch_dims: Tensor, validate_indices: Tensor) -> Tensor:
    """As of iOS16, without negative indices."""
    return _gather_checked(x, indices, axis, int(batch_dims), negative=False)


@kernel("gather_along_axis", "iOS15", "iOS16")
def gather_along_axis_ios15(x: Tensor, indices: Tensor, axis: Tensor) -> Tensor:
    """Element ``indices[p]`` along ``axis`` of x for each place p, in the shape of the indices."""
    return x.gather(int(axis), _checked(indices, x.shape[int(axis)], negative=True))


@kernel("gather_along_axis", "iOS17")
def gather_along_axis(x: Tensor, indices: Tensor, axis: Tensor, validate_indices: Tensor) -> Tensor:
    """As of iOS15, without negative indices."""
    return x.gather(int(axis), _checked(indices, x.shape[int(axis)], negative=False))


def _gather_nd(x: Tensor, indices: Tensor, batch_dims: int, negative: bool) -> Tensor:
    depth = indices.shape[-1]
    indices = _checked(indices, torch.tensor(x.shape[batch_dims : batch_dims + depth]), negative)
    if not batch_dims:
        return x[indices.unbind(-1)]
    parts = zip(x.flatten(0, batch_dims - 1), indices.flatten(0, batch_dims - 1), strict=True)
    return torch.stack([part[places.unbind(-1)] for part, places in parts]).unflatten(0, x.shape[:batch_dims])


@kernel("gather_nd", "iOS15")
def gather_nd_ios15(x: Tensor, indices: Tensor) -> Tensor:
    """x[indices[i, 0], indices[i, 1], ...] for each i."""
    return _gather_nd(x, indices, 0, negative=True)


@kernel("gather_nd", "iOS16")
def gather_nd_ios16(x: Tensor, indices: Tensor, batch_dims: Tensor) -> Tensor:
    """As of iOS15, for each index of the first ``batch_dims`` dimensions."""
    return _gather_nd(x, indices, int(batch_dims), negative=True)


@kernel("gather_nd", "iOS17")
def gather_nd(x: Tensor, indices: Tensor, batch_dims: Tensor, validate_indices: Tensor) -> Tensor:
    """As of iOS16, without negative indices."""
    return _gather_nd(x, indices, int(batch_dims), negative=False)


def _scattered(data: Tensor, targets: Tensor, updates: Tensor, mode: str) -> Tensor:
    """``data`` with ``updates`` combined into the elements at ``targets``, which are positions in the flattened data."""
    flat, places, values = data.flatten().clone(), targets.flatten(), updates.flatten()
    if mode == "update":
        if places.unique().numel() < places.numel():
            raise ValueError("scatter with mode 'update' of several values to one place: which one stays is not documented")
        flat.scatter_(0, places, values)
    elif mode in ("add", "sub"):
        flat.scatter_add_(0, places, values if mode == "add" else -values)
    elif mode == "mul":
        flat.scatter_reduce_(0, places, values, "prod")
    elif mode == "div":
        if not data.is_floating_point():
            raise ValueError("scatter with mode 'div' of integers: how the quotient is rounded is not documented")
        flat /= torch.ones_like(flat).scatter_reduce_(0, places, values, "prod")
    elif mode in ("max", "min"):
        flat.scatter_reduce_(0, places, values, f"a{mode}")
    else:
        raise ValueError(f"mode '{mode}' is none of update, add, sub, mul, div, max, min")
    return flat.reshape(data.shape)


def _positions(data: Tensor) -> Tensor:
    """Of each element in the flattened data."""
    return torch.arange(data.numel()).reshape(data.shape)


def _scatter(pick: Pick, data: Tensor, indices: Tensor, updates: Tensor, axis: Tensor, mode: str, *, negative: bool) -> Tensor:
    places = _checked(indices, data.shape[int(axis)], negative)
    return _scattered(data, pick(_positions(data), int(axis), places), updates, mode)


@kernel("scatter", "iOS15")
def scatter_ios15(data: Tensor, indices: Tensor, updates: Tensor, axis: Tensor, mode: str) -> Tensor:
    """Slices of the updates go to those places along ``axis``, those for the same place one after the other."""
    return _scatter(torch.index_select, data, indices, updates, axis, mode, negative=True)


@kernel("scatter", "iOS17")
def scatter(data: Tensor, indices: Tensor, updates: Tensor, axis: Tensor, mode: str, validate_indices: Tensor) -> Tensor:
    """As of iOS15, without negative indices."""
    return _scatter(torch.index_select, data, indices, updates, axis, mode, negative=False)


@kernel("scatter_along_axis", "iOS15")
def scatter_along_axis_ios15(data: Tensor, indices: Tensor, updates: Tensor, axis: Tensor, mode: str) -> Tensor:
    """The update at each place p goes to ``indices[p]`` along ``axis``."""
    return _scatter(torch.gather, data, indices, updates, axis, mode, negative=True)


@kernel("scatter_along_axis", "iOS17")
def scatter_along_axis(data: Tensor, indices: Tensor, updates: Tensor, axis: Tensor, mode: str, validate_indices: Tensor) -> Tensor:
    """As of iOS15, without negative indices."""
    return _scatter(torch.gather, data, indices, updates, axis, mode, negative=False)


def _scatter_nd(data: Tensor, indices: Tensor, updates: Tensor, mode: str, negative: bool) -> Tensor:
    places = _checked(indices, torch.tensor(data.shape[: indices.shape[-1]]), negative)
    return _scattered(data, _positions(data)[places.unbind(-1)], updates, mode)


@kernel("scatter_nd", "iOS15")
def scatter_nd_ios15(data: Tensor, indices: Tensor, updates: Tensor, mode: str) -> Tensor:
    """``updates[i]`` goes to ``data[indices[i, 0], indices[i, 1], ...]`` for each i."""
    return _scatter_nd(data, indices, updates, mode, negative=True)


@kernel("scatter_nd", "iOS17")
def scatter_nd(data: Tensor, indices: Tensor, updates: Tensor, mode: str, validate_indices: Tensor) -> Tensor:
    """As of iOS15, without negative indices."""
    return _scatter_nd(data, indices, updates, mode, negative=False)
