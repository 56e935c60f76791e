"""MIL operators that sample an image at given places."""

import torch
from torch import Tensor

from ..kernels import kernel


def _elements(x: Tensor, rows: Tensor, columns: Tensor, fill: float) -> Tensor:
    """(B, C, H, W), integers (B, H', W') twice -> (B, C, H', W'); ``fill`` for elements that do not exist."""
    height, width = x.shape[2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    found = x.flatten(2).gather(2, index.flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1))
    return torch.where(inside.unsqueeze(1), found.unflatten(2, index.shape[1:]), fill)


def _bilinear(x: Tensor, rows: Tensor, columns: Tensor, fill: float) -> Tensor:
    """(B, C, H, W), places (B, H', W') twice -> (B, C, H', W')."""
    top, left = rows.floor(), columns.floor()
    across = (columns - left).unsqueeze(1)
    i, j = top.long(), left.long()
    upper = torch.lerp(_elements(x, i, j, fill), _elements(x, i, j + 1, fill), across)
    lower = torch.lerp(_elements(x, i + 1, j, fill), _elements(x, i + 1, j + 1, fill), across)
    return torch.lerp(upper, lower, (rows - top).unsqueeze(1))


def _folded(places: Tensor, size: int, padding_mode: str) -> Tensor:
    """Places outside of ``size`` elements, brought inside as the padding has it."""
    if padding_mode == "constant":
        return places.clamp(-2, size + 1)  # no nearer to any element, and small enough for an integer
    if padding_mode == "border":
        return places.clamp(0, size - 1)
    if padding_mode == "reflection":
        period = 2 * (size - 1)
        around = places.abs() % period if period else torch.zeros_like(places)
        return torch.minimum(around, period - around)
    if padding_mode == "symmetric":
        around = (places + 0.5).abs() % (2 * size)
        return (torch.minimum(around, 2 * size - around) - 0.5).clamp(0, size - 1)
    raise ValueError(f"padding_mode '{padding_mode}' is none of constant, border, reflection, symmetric")


def _places(coordinates: Tensor, size: int, mode: str, align_corners: bool) -> Tensor:
    """Coordinates in elements, where 0 is the first's centre."""
    if mode == "unnormalized":
        # From 0 to size - 1 by definition, whatever align_corners is.
        return coordinates
    if mode == "normalized_minus_one_to_one":
        return (coordinates + 1) / 2 * (size - 1) if align_corners else ((coordinates + 1) * size - 1) / 2
    if mode == "normalized_zero_to_one":
        return coordinates * (size - 1) if align_corners else coordinates * size - 0.5
    raise ValueError(f"coordinates_mode '{mode}' is not known")


@kernel("resample", "iOS15", "iOS16", "iOS17")
def resample(
    x: Tensor,
    coordinates: Tensor,
    sampling_mode: str,
    padding_mode: str,
    padding_value: Tensor,
    coordinates_mode: str,
    align_corners: Tensor,
) -> Tensor:
    """(B, C, H, W), (B, H', W', 2) of (x, y) -> (B, C, H', W')."""
    aligned, fill = bool(align_corners), float(padding_value)
    columns, rows = (
        _folded(_places(coordinates[..., axis].float(), size, coordinates_mode, aligned), size, padding_mode)
        for axis, size in enumerate((x.shape[3], x.shape[2]))
    )
    if sampling_mode == "bilinear":
        return _bilinear(x, rows, columns, fill)
    if sampling_mode == "nearest":
        # Halves to even, after folding, as PyTorch's grid_sample does, which coremltools translates to this; its tests record one.
        return _elements(x, rows.round().long(), columns.round().long(), fill)
    raise ValueError(f"sampling_mode '{sampling_mode}' is neither bilinear nor nearest")


@kernel("affine", "iOS15")
def affine(
    x: Tensor,
    transform_matrix: Tensor,
    output_height: Tensor,
    output_width: Tensor,
    sampling_mode: str,
    padding_mode: str,
    padding_value: Tensor,
    coordinates_mode: str,
    align_corners: Tensor,
) -> Tensor:
    """(B, C, H, W), (B or 1, 6) -> (B, C, height, width): the image at ``(a0 x + a1 y + a2, b0 x + b1 y + b2)``."""
    known = {"sampling_mode": "bilinear", "padding_mode": "constant", "coordinates_mode": "normalized_minus_one_to_one"}
    given = {"sampling_mode": sampling_mode, "padding_mode": padding_mode, "coordinates_mode": coordinates_mode}
    for name, value in given.items():
        if value.lower() != known[name]:
            raise ValueError(f"{name} '{value}' is not defined, only '{known[name]}' is")
    if float(padding_value) or not align_corners:
        raise ValueError(
            f"padding_value {float(padding_value)} with align_corners {bool(align_corners)} is not defined, only 0 with True is"
        )
    height, width = int(output_height), int(output_width)
    if min(height, width) == 1:
        raise ValueError("output_height or output_width 1: the place of its one row or column is not defined")
    columns, rows = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height).unsqueeze(1)
    a0, a1, a2, b0, b1, b2 = transform_matrix.expand(len(x), 6).reshape(len(x), 6, 1, 1).unbind(dim=1)
    coordinates = torch.stack([a0 * columns + a1 * rows + a2, b0 * columns + b1 * rows + b2], dim=-1)
    return resample(x, coordinates, "bilinear", "constant", padding_value, known["coordinates_mode"], align_corners)
