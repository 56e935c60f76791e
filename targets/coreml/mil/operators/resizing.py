"""Resizing, cropping and resampling of images."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..kernels import ints, kernel

# Where PyTorch computes the same grid: align_corners by sampling mode.
_PYTORCH = {"STRICT_ALIGN_CORNERS": True, "UNALIGN_CORNERS": False}


def _sampling_points(mode: str, length: float, count: int) -> Tensor:
    """The ``count`` places, float64, at which an interval of ``length`` elements is sampled: 0 is the first's centre.

    DEFAULT is TensorFlow's grid without half-pixel centres, OFFSET_CORNERS that of a region-of-interest alignment.
    """
    steps = torch.arange(count, dtype=torch.float64)
    if mode == "ALIGN_CORNERS" and count == 1:
        points = steps + (length - 1) / 2
    elif mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        points = steps * (length - 1) / max(1, count - 1)
    elif mode == "DEFAULT":
        points = steps * length / count
    elif mode == "OFFSET_CORNERS":
        points = (steps + 0.5) * max(1.0, length - 1) / count
    elif mode == "UNALIGN_CORNERS":
        points = (steps + 0.5) * length / count - 0.5
    else:
        raise ValueError(f"sampling_mode '{mode}' is not known")
    return points.clamp(0, length - 1)


def _interpolated(x: Tensor, axis: int, points: Tensor) -> Tensor:
    """Linear interpolation along one axis at places from 0 to its size - 1."""
    low = points.floor().long()
    high = (low + 1).clamp(max=x.shape[axis] - 1)
    weight = (points - low).to(x.dtype).reshape([-1 if dimension == axis else 1 for dimension in range(x.dim())])
    return torch.lerp(x.index_select(axis, low), x.index_select(axis, high), weight)


def _linear(x: Tensor, sizes: Sequence[int], mode: str) -> Tensor:
    """(*leading, *spatial) -> (*leading, *sizes)."""
    if len(sizes) == 2 and mode in _PYTORCH:
        rows = x.reshape(1, -1, *x.shape[-2:])
        resized = functional.interpolate(rows, tuple(sizes), mode="bilinear", align_corners=_PYTORCH[mode])
        return resized.reshape(*x.shape[:-2], *sizes)
    for axis, size in enumerate(sizes, start=x.dim() - len(sizes)):
        points = _sampling_points(mode, x.shape[axis], size)
        if size != x.shape[axis] or not torch.equal(points, torch.arange(size, dtype=points.dtype)):
            x = _interpolated(x, axis, points)
    return x


def _nearest(x: Tensor, sizes: Sequence[int], half_pixel: bool) -> Tensor:
    """(*leading, *spatial) -> (*leading, *sizes): element ``floor(i * scale)``, or ``floor((i + 0.5) * scale)``."""
    for axis, size in enumerate(sizes, start=x.dim() - len(sizes)):
        have = x.shape[axis]
        if size % have == 0:
            x = x.repeat_interleave(size // have, dim=axis) if size != have else x
        else:
            # In integers, because a rounded quotient can fall below the element that it should be.
            steps = torch.arange(size)
            x = x.index_select(axis, (2 * steps + 1) * have // (2 * size) if half_pixel else steps * have // size)
    return x


def _scaled(x: Tensor, factors: Sequence[float | Tensor]) -> list[int]:
    """Sizes of the last two dimensions, rounded down."""
    # In the factor's own precision, like the sizes that the program declares.
    return [int(torch.floor(torch.as_tensor(factor) * size)) for factor, size in zip(factors, x.shape[-2:], strict=True)]


@kernel("upsample_nearest_neighbor", "iOS15")
def upsample_nearest_neighbor(x: Tensor, scale_factor_height: float | Tensor = 1, scale_factor_width: float | Tensor = 1) -> Tensor:
    """(*leading, H, W) -> (*leading, floor(H * height), floor(W * width)).

    Element ``floor(i * H / H')``: with ``i / height`` instead, 3 elements by 1.12 would not stay what they are, as coremltools' tests
    record.
    """
    return _nearest(x, _scaled(x, (scale_factor_height, scale_factor_width)), half_pixel=False)


@kernel("resize_nearest_neighbor", "iOS15")
def resize_nearest_neighbor(x: Tensor, target_size_height: Tensor, target_size_width: Tensor) -> Tensor:
    """(*leading, H, W) -> (*leading, height, width).

    Element ``floor((i + 0.5) * H / H')``: coremltools translates TensorFlow's operator with half-pixel centres to this one.
    """
    return _nearest(x, [int(target_size_height), int(target_size_width)], half_pixel=True)


@kernel("upsample_bilinear", "iOS15", "iOS16")
def upsample_bilinear(
    x: Tensor,
    scale_factor_height: float | Tensor = 1,
    scale_factor_width: float | Tensor = 1,
    align_corners: bool | Tensor = True,
    half_pixel_centers: bool | Tensor | None = None,
) -> Tensor:
    """(*leading, H, W) -> (*leading, floor(H * height), floor(W * width)); the grid is that of the sizes, not of the factors."""
    if half_pixel_centers is None:
        half_pixel_centers = not align_corners
    if align_corners and half_pixel_centers:
        raise ValueError("half_pixel_centers is not defined together with align_corners")
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS" if half_pixel_centers else "DEFAULT"
    return _linear(x, _scaled(x, (scale_factor_height, scale_factor_width)), mode)


@kernel("resize_bilinear", "iOS15")
def resize_bilinear(
    x: Tensor, target_size_height: int | Tensor = 1, target_size_width: int | Tensor = 1, sampling_mode: str = "DEFAULT"
) -> Tensor:
    """(*leading, H, W) -> (*leading, height, width)."""
    return _linear(x, [int(target_size_height), int(target_size_width)], sampling_mode)


@kernel("resize", "iOS17")
def resize(x: Tensor, shape: Tensor, resized_dims: Tensor, interpolation_mode: str = "LINEAR", sampling_mode: str = "DEFAULT") -> Tensor:
    """(*leading, *spatial) -> (*leading, *sizes), the last ``resized_dims`` of ``shape``, where 0 keeps the dimension."""
    count = int(resized_dims)
    wanted = ints(shape)
    sizes = [size or have for size, have in zip(wanted[len(wanted) - count :], x.shape[x.dim() - count :], strict=True)]
    if interpolation_mode == "NEAREST_NEIGHBOR":
        if sampling_mode != "DEFAULT":
            # DEFAULT is known from TensorFlow's operator, and is not the element nearest to that mode's linear grid; so nothing
            # follows from the grids of the others.
            raise ValueError(f"sampling_mode '{sampling_mode}' is not defined for interpolation_mode '{interpolation_mode}'")
        return _nearest(x, sizes, half_pixel=True)
    if interpolation_mode != "LINEAR":
        raise ValueError(f"interpolation_mode '{interpolation_mode}' is not known")
    if not x.is_floating_point():
        raise ValueError("interpolation_mode 'LINEAR': how integers are rounded is not defined")
    return _linear(x, sizes, sampling_mode)


@kernel("crop", "iOS15")
def crop(x: Tensor, crop_height: Tensor, crop_width: Tensor) -> Tensor:
    """(*leading, H, W) -> the same, less so many rows above and below, and columns left and right."""
    (top, bottom), (left, right) = ints(crop_height), ints(crop_width)
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def _box_points(mode: str, start: float, end: float, count: int) -> Tensor:
    """As ``_sampling_points``, of the interval from ``start`` to ``end``, both included."""
    if mode == "UNALIGN_CORNERS":
        # The one result that coremltools' tests record does not depend on the box.
        raise ValueError("sampling_mode 'UNALIGN_CORNERS' is not defined for crop_resize")
    if end < start and not mode.endswith("ALIGN_CORNERS"):
        raise ValueError(f"sampling_mode '{mode}' is not defined for a box that ends, at {end}, before it starts, at {start}")
    points = _sampling_points(mode, abs(end - start) + 1, count)
    points = start + points if end >= start else start - points
    return points.clamp(min(start, end), max(start, end))  # so that rounding takes no place out of the image


def _crop_resize(  # noqa: PLR0913
    x: Tensor,
    boxes: Tensor,
    indices: Tensor,
    *,
    target_height: int | Tensor = 1,
    target_width: int | Tensor = 1,
    normalized_coordinates: bool | Tensor = False,
    spatial_scale: float | Tensor = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float | Tensor = 0.0,
) -> Tensor:
    """(B, C, H, W), (N, 4), (N,) -> (N, C, height, width), from the inputs that all versions of the operator have."""
    box_mode, size = box_coordinate_mode, (int(target_height), int(target_width))
    scale, fill = _box_scale(x, normalized_coordinates, spatial_scale), float(pad_value)
    if box_mode not in ("CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST", "CENTER_SIZE_HEIGHT_FIRST", "CENTER_SIZE_WIDTH_FIRST"):
        raise ValueError(f"box_coordinate_mode '{box_mode}' is not known")
    boxes = boxes.float()
    if box_mode.endswith("WIDTH_FIRST"):
        boxes = boxes[:, [1, 0, 3, 2]]
    boxes = boxes * torch.tensor([*scale, *scale])
    if box_mode.startswith("CENTER_SIZE"):
        # Coordinates are those of elements' centres, so that a box of the size 0 is a point: normalized ones make it the only choice.
        boxes = torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], dim=1)
    outside = indices[(indices < 0) | (indices >= len(x))]
    if len(outside):
        raise ValueError(f"there is no image {int(outside[0])} among {len(x)}")
    results = []
    for (top, left, bottom, right), index in zip(boxes.tolist(), indices.tolist(), strict=True):
        image = x[index]
        for axis, (start, end) in enumerate(((top, bottom), (left, right)), start=1):
            points = _box_points(sampling_mode, start, end, size[axis - 1])
            limit = image.shape[axis] - 1
            beyond = (points < 0) | (points > limit)
            image = _interpolated(image, axis, points.clamp(0, limit))
            # A place outside has the fill value alone, as in TensorFlow; it is not interpolated between that and the border.
            image = image.masked_fill(beyond.reshape([-1 if dimension == axis else 1 for dimension in range(3)]), fill)
        results.append(image)
    return torch.stack(results)


def _box_scale(x: Tensor, normalized: bool | Tensor, spatial_scale: float | Tensor) -> tuple[float, float]:
    height, width = x.shape[-2:]
    factor = float(spatial_scale)
    return (factor * (height - 1), factor * (width - 1)) if normalized else (factor, factor)


@kernel("crop_resize", "iOS15", "iOS16", preamble=_crop_resize)
def crop_resize_roi(x: Tensor, roi: Tensor, **cut: Any) -> Tensor:
    """(B, C, H, W), (N, 1, 4, 1, 1) -> (N, B, C, height, width); with (N, 1, 5, 1, 1), image and box, (N, 1, C, height, width).

    Outside of the image iOS15, which has no ``pad_value``, is taken to have 0: coremltools translates TensorFlow's operator to it
    only with that.
    """
    values = roi.reshape(len(roi), -1)
    if values.shape[1] == 5:
        if len(x) != 1:
            # The program declares (N, B, ...) then, which contradicts the documentation.
            raise ValueError("roi with image indices is defined for one image only")
        return _crop_resize(x, values[:, 1:], values[:, 0].long(), **cut).unsqueeze(1)
    boxes = values.repeat_interleave(len(x), dim=0)
    found = _crop_resize(x, boxes, torch.arange(len(x)).repeat(len(values)), **cut)
    return found.unflatten(0, (len(values), len(x)))


@kernel("crop_resize", "iOS17", preamble=_crop_resize)
def crop_resize(x: Tensor, boxes: Tensor, box_indices: Tensor | None = None, **cut: Any) -> Tensor:
    """(B, C, H, W), (N, 4), (N,) -> (N, C, height, width)."""
    indices = torch.arange(len(boxes)) if box_indices is None else box_indices
    return _crop_resize(x, boxes, indices, **cut)
