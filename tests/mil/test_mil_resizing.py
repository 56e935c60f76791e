"""Resizing, cropping and resampling against the documented places, one element at a time in NumPy, float64."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random
from scipy import ndimage
from torch import from_numpy
from torch.nn import functional

from instantstyle.system.errors import ExecutionError

MODES = ["STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS"]
SIZES = [((5, 7), (10, 21)), ((5, 7), (8, 3)), ((6, 4), (6, 9)), ((3, 8), (1, 1)), ((1, 5), (4, 2)), ((9, 2), (4, 13))]


def place(mode: str, i: int, size: int, count: int) -> float:
    """As the notes of resize_bilinear have it."""
    if mode == "ALIGN_CORNERS" and count == 1:
        return (size - 1) / 2
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        spacing = (size - 1) / (count - 1) if count > 1 else 0.0
        at = i * spacing
    elif mode == "DEFAULT":
        spacing = (size - size / count) / (count - 1) if count > 1 else 0.0
        at = i * spacing
    elif mode == "OFFSET_CORNERS":
        delta = max(1, size - 1) / count
        at = 0.5 * delta + i * delta
    else:
        spacing = size / count
        at = i * spacing + 0.5 * spacing - 0.5
    return min(size - 1, max(0.0, at))


def value_at(x: np.ndarray, places: Sequence[float]) -> np.ndarray:
    """Multilinear over the last dimensions, by the corners around the place."""
    total = np.zeros(x.shape[: -len(places)])
    for corner in itertools.product((0, 1), repeat=len(places)):
        weight, index = 1.0, []
        for at, side, size in zip(places, corner, x.shape[-len(places) :], strict=True):
            low = int(np.floor(at))
            weight *= at - low if side else 1 - (at - low)
            index.append(min(low + side, size - 1))
        total += weight * x[..., *index].astype(np.float64)
    return total


def resized(x: np.ndarray, sizes: Sequence[int], places: Callable[[int, int, int], float]) -> np.ndarray:
    """``places`` gets the element, and the old and new size."""
    y = np.zeros((*x.shape[: -len(sizes)], *sizes))
    for position in np.ndindex(*sizes):
        at = [places(i, have, want) for i, have, want in zip(position, x.shape[-len(sizes) :], sizes, strict=True)]
        y[..., *position] = value_at(x, at)
    return y


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "target"), SIZES)
def test_resize_bilinear(mode: str, size: tuple[int, int], target: tuple[int, int]) -> None:
    x = random(2, 3, *size)

    def build(x: Any) -> Any:
        return mb.resize_bilinear(x=x, target_size_height=target[0], target_size_width=target[1], sampling_mode=mode)

    assert_close(only(evaluate("iOS15", {"x": x}, build)), resized(x, target, lambda *numbers: place(mode, *numbers)))


@pytest.mark.parametrize("rank", [3, 5])
def test_resize_bilinear_of_other_ranks(rank: int) -> None:
    x = random(*(2, 2, 3, 4, 5)[5 - rank :])
    found = evaluate("iOS17", {"x": x}, lambda x: mb.resize_bilinear(x=x, target_size_height=7, target_size_width=3))
    assert_close(only(found), resized(x, (7, 3), lambda *numbers: place("DEFAULT", *numbers)))


@pytest.mark.parametrize(
    ("mode", "count", "expected"),
    [
        ("UNALIGN_CORNERS", 5, [0, 0.1, 0.5, 0.9, 1]),
        ("STRICT_ALIGN_CORNERS", 5, [0, 0.25, 0.5, 0.75, 1]),
        ("ALIGN_CORNERS", 5, [0, 0.25, 0.5, 0.75, 1]),
        ("DEFAULT", 5, [0, 0.4, 0.8, 1, 1]),
        ("OFFSET_CORNERS", 5, [0.1, 0.3, 0.5, 0.7, 0.9]),
        ("UNALIGN_CORNERS", 6, [0, 0, 1 / 3, 2 / 3, 1, 1]),
        ("ALIGN_CORNERS", 6, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ("DEFAULT", 6, [0, 1 / 3, 2 / 3, 1, 1, 1]),
        ("OFFSET_CORNERS", 6, [1 / 12, 3 / 12, 5 / 12, 7 / 12, 9 / 12, 11 / 12]),
        ("ALIGN_CORNERS", 1, [0.5]),
    ],
)
def test_places_that_the_documentation_lists(mode: str, count: int, expected: list[float]) -> None:
    x = np.array([0, 1], np.float32).reshape(1, 1, 2)
    found = evaluate("iOS15", {"x": x}, lambda x: mb.resize_bilinear(x=x, target_size_width=count, sampling_mode=mode))
    assert_close(only(found).ravel(), np.array(expected))


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("factors", [(2.0, 3.0), (1.5, 2.6), (0.5, 0.75), (2.6, 0.3), (1.0, 1.12)])
@pytest.mark.parametrize("opset", ["iOS15", "iOS16"])
def test_upsample_bilinear(align: bool, factors: tuple[float, float], opset: str) -> None:
    x = random(2, 3, 6, 5)
    sizes = [int(np.floor(size * factor)) for size, factor in zip((6, 5), factors, strict=True)]

    def build(x: Any) -> Any:
        return mb.upsample_bilinear(x=x, scale_factor_height=factors[0], scale_factor_width=factors[1], align_corners=align)

    mode = "STRICT_ALIGN_CORNERS" if align else "UNALIGN_CORNERS"
    assert_close(only(evaluate(opset, {"x": x}, build)), resized(x, sizes, lambda *numbers: place(mode, *numbers)))


@pytest.mark.parametrize("half", [True, False, None])
@pytest.mark.parametrize("align", [True, False])
def test_half_pixel_centers(half: bool | None, align: bool) -> None:
    """Results that Core ML gave, from coremltools' test suite; both at once it does not define."""
    x = np.array([1, 2], np.float32).reshape(1, 1, 1, 2)

    def build(x: Any) -> Any:
        given = {} if half is None else {"half_pixel_centers": half}
        return mb.upsample_bilinear(x=x, scale_factor_height=2, scale_factor_width=3, align_corners=align, **given)

    if align and half:
        with pytest.raises(ExecutionError, match="half_pixel_centers is not defined together with align_corners"):
            evaluate("iOS16", {"x": x}, build)
        return
    third = 1 / 3
    row = [1, 1.2, 1.4, 1.6, 1.8, 2] if align else [1, 1 + third, 2 - third, 2, 2, 2]
    if not align and half is not False:
        row = [1, 1, 1 + third, 2 - third, 2, 2]
    assert_close(only(evaluate("iOS16", {"x": x}, build)), np.array([[[row, row]]]))


@pytest.mark.parametrize("factors", [(2, 3), (2.5, 1.0), (3.17, 0.67), (1.12, 1.7), (0.5, 4.0)])
@pytest.mark.parametrize("shape", [(2, 3, 6, 5), (4, 3, 7), (1, 1, 2, 9, 10)])
def test_upsample_nearest_neighbor(factors: tuple[float, float], shape: tuple[int, ...]) -> None:
    x = random(*shape)
    rows, columns = (int(np.floor(np.float32(factor) * size)) for size, factor in zip(shape[-2:], factors, strict=True))

    def build(x: Any) -> Any:
        return mb.upsample_nearest_neighbor(x=x, scale_factor_height=factors[0], scale_factor_width=factors[1])

    chosen = x[..., [i * shape[-2] // rows for i in range(rows)], :][..., [i * shape[-1] // columns for i in range(columns)]]
    np.testing.assert_array_equal(only(evaluate("iOS15", {"x": x}, build)), chosen)


def test_nearest_elements_that_core_ml_gave() -> None:
    """From coremltools' test suite."""
    x = np.array([1.5, -2.5, 3.5], np.float32).reshape(1, 1, 3)
    pair = np.array([-6.174, 9.371], np.float32).reshape(1, 2, 1)

    def build(x: Any, pair: Any) -> Any:
        return (
            mb.upsample_nearest_neighbor(x=x, scale_factor_height=1.0, scale_factor_width=0.67),
            mb.upsample_nearest_neighbor(x=x, scale_factor_height=1.0, scale_factor_width=1.12),
            mb.resize(x=pair, shape=[3, 2], resized_dims=np.uint32(2), interpolation_mode="NEAREST_NEIGHBOR"),
        )

    fewer, same, more = evaluate("iOS17", {"x": x, "pair": pair}, build)
    assert fewer.ravel().tolist() == [1.5, -2.5]
    assert same.ravel().tolist() == [1.5, -2.5, 3.5]
    np.testing.assert_array_equal(more, pair[:, [0, 1, 1]].repeat(2, axis=2))


@pytest.mark.parametrize(("size", "target"), SIZES)
@pytest.mark.parametrize("operator", ["resize_nearest_neighbor", "resize"])
def test_resize_nearest_neighbor(size: tuple[int, int], target: tuple[int, int], operator: str) -> None:
    """The element on which the new one's centre lies."""
    x = random(2, 3, *size)

    def build(x: Any) -> Any:
        if operator == "resize":
            return mb.resize(x=x, shape=target, resized_dims=np.uint32(2), interpolation_mode="NEAREST_NEIGHBOR")
        return mb.resize_nearest_neighbor(x=x, target_size_height=target[0], target_size_width=target[1])

    rows, columns = ([int((i + 0.5) * have / want + 1e-9) for i in range(want)] for have, want in zip(size, target, strict=True))
    np.testing.assert_array_equal(only(evaluate("iOS17", {"x": x}, build)), x[:, :, rows][:, :, :, columns])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "count"), [((7, 4), 1), ((5, 3, 6), 2), ((2, 4, 7, 3), 3)])
def test_resize(mode: str, shape: tuple[int, ...], count: int) -> None:
    """``shape`` may have more entries than are resized, of which the first are ignored."""
    x = random(2, 3, 4, 5)
    sizes = shape[len(shape) - count :]

    def build(x: Any) -> Any:
        return mb.resize(x=x, shape=shape, resized_dims=np.uint32(count), interpolation_mode="LINEAR", sampling_mode=mode)

    assert_close(only(evaluate("iOS17", {"x": x}, build)), resized(x, sizes, lambda *numbers: place(mode, *numbers)))


@pytest.mark.parametrize("interpolation", ["LINEAR", "NEAREST_NEIGHBOR"])
def test_resize_to_computed_and_kept_sizes(interpolation: str) -> None:
    x, shape = random(1, 2, 3, 4), np.array([9, 0, 6], np.int32)

    def build(x: Any, shape: Any) -> Any:
        return mb.resize(x=x, shape=shape, resized_dims=np.uint32(2), interpolation_mode=interpolation)

    found = only(evaluate("iOS17", {"x": x, "shape": shape}, build))
    if interpolation == "LINEAR":
        assert_close(found, resized(x, (3, 6), lambda *numbers: place("DEFAULT", *numbers)))
    else:
        np.testing.assert_array_equal(found, x[..., [0, 1, 1, 2, 3, 3]])


@pytest.mark.parametrize("mode", ["STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "OFFSET_CORNERS", "UNALIGN_CORNERS"])
def test_nearest_resize_that_is_not_defined(mode: str) -> None:
    def build(x: Any) -> Any:
        return mb.resize(x=x, shape=[4, 4], resized_dims=np.uint32(2), interpolation_mode="NEAREST_NEIGHBOR", sampling_mode=mode)

    with pytest.raises(ExecutionError, match=f"sampling_mode '{mode}' is not defined for interpolation_mode 'NEAREST_NEIGHBOR'"):
        evaluate("iOS17", {"x": random(1, 1, 3, 3)}, build)


def test_resize_of_integers() -> None:
    x = np.arange(6, dtype=np.int32).reshape(2, 3)

    def build(x: Any) -> Any:
        return mb.resize(x=x, shape=[4, 3], resized_dims=np.uint32(2), interpolation_mode="NEAREST_NEIGHBOR")

    assert only(evaluate("iOS17", {"x": x}, build)).tolist() == [[0, 1, 2]] * 2 + [[3, 4, 5]] * 2
    with pytest.raises(ExecutionError, match="how integers are rounded is not defined"):
        evaluate("iOS17", {"x": x}, lambda x: mb.resize(x=x, shape=[4, 3], resized_dims=np.uint32(2)))


@pytest.mark.parametrize("shape", [(1, 6, 7), (2, 3, 6, 7), (1, 2, 1, 6, 7)])
@pytest.mark.parametrize(("height", "width"), [((0, 0), (0, 0)), ((1, 2), (3, 0)), ((0, 5), (2, 4))])
def test_crop(shape: tuple[int, ...], height: tuple[int, int], width: tuple[int, int]) -> None:
    x = random(*shape)
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.crop(x=x, crop_height=height, crop_width=width)))
    np.testing.assert_array_equal(found, x[..., height[0] : 6 - height[1], width[0] : 7 - width[1]])


def boxed(image: np.ndarray, box: Sequence[float], size: Sequence[int], mode: str, fill: float) -> np.ndarray:
    """``box`` is (top, left, bottom, right) in elements."""
    y = np.full((*image.shape[:-2], *size), fill, np.float64)
    ends = list(zip(box[:2], box[2:], strict=True))
    for position in np.ndindex(*size):
        places = []
        for i, (start, end), count in zip(position, ends, size, strict=True):
            direction = 1 if end >= start else -1
            places.append(start + direction * place(mode, i, abs(end - start) + 1, count))  # pyright: ignore[reportArgumentType]
        # The float32 product of a coordinate and a size may be off the border by a rounding.
        if all(-1e-6 <= at <= limit - 1 + 1e-6 for at, limit in zip(places, image.shape[-2:], strict=True)):
            y[..., *position] = value_at(image, [min(max(at, 0), n - 1) for at, n in zip(places, image.shape[-2:], strict=True)])
    return y


BOXES = np.array([[0.5, 1.25, 3.5, 5.0], [0, 0, 4, 6], [1, 2, 1.625, 2], [-0.5, 3, 2, 6.5]], np.float32)
CROP_MODES = [mode for mode in MODES if mode != "UNALIGN_CORNERS"]


def as_given(boxes: np.ndarray, box_mode: str) -> np.ndarray:
    if box_mode.startswith("CENTER_SIZE"):
        boxes = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
    return boxes[:, [1, 0, 3, 2]] if box_mode.endswith("WIDTH_FIRST") else boxes


@pytest.mark.parametrize("mode", CROP_MODES)
@pytest.mark.parametrize("box_mode", ["CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST", "CENTER_SIZE_HEIGHT_FIRST", "CENTER_SIZE_WIDTH_FIRST"])
@pytest.mark.parametrize("size", [(3, 4), (1, 2)])
def test_crop_resize(mode: str, box_mode: str, size: tuple[int, int]) -> None:
    x, fill = random(2, 3, 5, 7), 7.5
    indices = np.array([1, 0, 0, 1], np.int32)
    boxes = as_given(BOXES, box_mode)

    def build(x: Any, boxes: Any, indices: Any) -> Any:
        return mb.crop_resize(
            x=x, boxes=boxes, box_indices=indices, target_height=size[0], target_width=size[1], box_coordinate_mode=box_mode,
            sampling_mode=mode, pad_value=fill,
        )  # fmt: skip

    expected = np.stack([boxed(x[i], box.tolist(), size, mode, fill) for i, box in zip(indices, BOXES, strict=True)])
    assert_close(only(evaluate("iOS17", {"x": x, "boxes": boxes, "indices": indices}, build)), expected)


@pytest.mark.parametrize("opset", ["iOS15", "iOS16"])
@pytest.mark.parametrize("mode", CROP_MODES)
@pytest.mark.parametrize("indexed", [True, False])
def test_crop_resize_of_regions(opset: str, mode: str, indexed: bool) -> None:
    """Normalized, with a spatial scale; every box from every image, or one image with its index."""
    x = random(1 if indexed else 2, 3, 5, 7)
    boxes = BOXES / np.array([4, 6, 4, 6], np.float32)
    fill = 0.0 if opset == "iOS15" else -3.0
    roi = (np.concatenate([np.zeros((4, 1), np.float32), boxes], axis=1) if indexed else boxes) * np.float32(2)

    def build(x: Any) -> Any:
        given = {} if opset == "iOS15" else {"pad_value": fill}
        return mb.crop_resize(
            x=x, roi=roi.reshape(4, 1, -1, 1, 1), target_height=3, target_width=2, normalized_coordinates=True, spatial_scale=0.5,
            sampling_mode=mode, **given,
        )  # fmt: skip

    expected = np.stack([[boxed(image, box.tolist(), (3, 2), mode, fill) for image in x] for box in BOXES])
    assert_close(only(evaluate(opset, {"x": x}, build)), expected)


def test_crops_that_core_ml_gave() -> None:
    """From coremltools' test suite: outside of the image there is the pad value alone; a box may be upside down."""
    x = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
    shared: dict[str, Any] = {"target_height": 2, "target_width": 2, "sampling_mode": "ALIGN_CORNERS"}
    boxes = np.array([[0.1, 0.3, 1.3, 1.0], [0.5, 1.8, 1.0, 0.3], [0.0, 0.4, 0.6, 0.7]], np.float32)

    def build(x: Any) -> Any:
        indices = np.zeros(3, np.int32)
        upside_down = np.array([[2, 2, 1, 1]], np.float32)
        return (
            mb.crop_resize(x=x, boxes=boxes, box_indices=indices, normalized_coordinates=True, pad_value=10.0, **shared),
            mb.crop_resize(x=x, boxes=upside_down, **shared),
        )

    normalized, inverted = evaluate("iOS17", {"x": x}, build)
    np.testing.assert_allclose(normalized.ravel(), [3.1, 5.2, 10, 10, 10, 7.9, 10, 13.9, 2.2, 3.1, 9.4, 10.3], rtol=1e-5)
    assert inverted.ravel().tolist() == [11, 10, 7, 6]


@pytest.mark.parametrize(
    ("mode", "box", "index", "message"),
    [
        ("UNALIGN_CORNERS", [0, 0, 1, 1], 0, "sampling_mode 'UNALIGN_CORNERS' is not defined for crop_resize"),
        ("DEFAULT", [2, 0, 1, 1], 0, "a box that ends, at 1.0, before it starts, at 2.0"),
        ("ALIGN_CORNERS", [0, 0, 1, 1], 2, "there is no image 2 among 2"),
        ("ALIGN_CORNERS", [0, 0, 1, 1], -1, "there is no image -1 among 2"),
    ],
)
def test_crop_resize_that_is_not_defined(mode: str, box: list[float], index: int, message: str) -> None:
    indices = np.array([index], np.int32)

    def build(x: Any, indices: Any) -> Any:
        return mb.crop_resize(x=x, boxes=np.array([box], np.float32), box_indices=indices, sampling_mode=mode)

    with pytest.raises(ExecutionError, match=message):
        evaluate("iOS17", {"x": random(2, 1, 3, 3), "indices": indices}, build)


def test_indexed_regions_of_several_images() -> None:
    roi = np.zeros((1, 1, 5, 1, 1), np.float32)
    with pytest.raises(ExecutionError, match="roi with image indices is defined for one image only"):
        evaluate("iOS15", {"x": random(2, 1, 3, 3)}, lambda x: mb.crop_resize(x=x, roi=roi))


def in_elements(coordinate: float, size: int, mode: str, align: bool) -> float:
    """0 and size - 1, or -0.5 and size - 0.5, are where the normalized interval ends."""
    if mode == "unnormalized":
        return coordinate
    part = (coordinate + 1) / 2 if mode == "normalized_minus_one_to_one" else coordinate
    return part * (size - 1) if align else part * size - 0.5


SCIPY_MODES = {"constant": "grid-constant", "border": "nearest", "reflection": "mirror", "symmetric": "reflect"}


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("mode", ["unnormalized", "normalized_minus_one_to_one", "normalized_zero_to_one"])
@pytest.mark.parametrize("padding", list(SCIPY_MODES))
@pytest.mark.parametrize("sampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("opset", ["iOS15", "iOS16", "iOS17"])
def test_resample(align: bool, mode: str, padding: str, sampling: str, opset: str) -> None:
    """Against scipy, whose paddings have the same examples in their documentation."""
    x, fill = random(2, 2, 5, 4), 0.75
    limits = {"unnormalized": (-9, 12), "normalized_minus_one_to_one": (-3, 3), "normalized_zero_to_one": (-1.5, 2)}[mode]
    coordinates = random(2, 6, 7, 2, seed=5, low=limits[0], high=limits[1])

    def build(x: Any, coordinates: Any) -> Any:
        return mb.resample(
            x=x, coordinates=coordinates, sampling_mode=sampling, padding_mode=padding, padding_value=fill, coordinates_mode=mode,
            align_corners=align,
        )  # fmt: skip

    expected = np.zeros((2, 2, 6, 7))
    for n, c in np.ndindex(2, 2):
        places = [
            [in_elements(float(value), size, mode, align) for value in coordinates[n, ..., axis].ravel()] for axis, size in ((1, 5), (0, 4))
        ]
        order, plane = int(sampling == "bilinear"), x[n, c].astype(np.float64)
        expected[n, c] = ndimage.map_coordinates(plane, places, order=order, mode=SCIPY_MODES[padding], cval=fill).reshape(6, 7)
    assert_close(only(evaluate(opset, {"x": x, "coordinates": coordinates}, build)), expected)


@pytest.mark.parametrize("sampling", ["bilinear", "nearest"])
@pytest.mark.parametrize(
    ("padding", "align", "pytorch"),
    [
        ("constant", True, "zeros"),
        ("constant", False, "zeros"),
        ("border", False, "border"),
        ("reflection", True, "reflection"),
        ("symmetric", False, "reflection"),
    ],
)
def test_resample_as_grid_sample(sampling: str, padding: str, align: bool, pytorch: str) -> None:
    """What coremltools' PyTorch frontend translates to it, on a grid of halves, where a nearest element is a matter of rounding."""
    x = random(1, 3, 4, 8)
    columns, rows = np.meshgrid(np.arange(-2, 2.25, 0.125), np.arange(-2, 2.25, 0.25))
    grid = np.stack([columns, rows], axis=-1)[None].astype(np.float32)

    def build(x: Any, grid: Any) -> Any:
        return mb.resample(
            x=x, coordinates=grid, sampling_mode=sampling, padding_mode=padding, padding_value=0.0,
            coordinates_mode="normalized_minus_one_to_one", align_corners=align,
        )  # fmt: skip

    expected = functional.grid_sample(from_numpy(x), from_numpy(grid), sampling, pytorch, align)
    assert_close(only(evaluate("iOS16", {"x": x, "grid": grid}, build)), expected.numpy())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("bilinear", "constant", 6.17, "normalized_minus_one_to_one", True), [8.585, 6.17, 27.5, 6.17]),
        (("nearest", "border", -1.0, "unnormalized", False), [11, 11, 11, 44]),
        (("bilinear", "reflection", -1.0, "normalized_zero_to_one", True), [22, 36.3, 11, 34.1]),
        (("nearest", "symmetric", -1.0, "normalized_zero_to_one", False), [22, 33, 11, 33]),
    ],
)
def test_samples_that_core_ml_gave(options: tuple[str, str, float, str, bool], expected: list[float]) -> None:
    """From coremltools' test suite."""
    x = np.array([11, 22, 33, 44], np.float32).reshape(1, 1, 2, 2)
    coordinates = np.array([-1, -2, -3.7, -1, 0, 0, 3.5, 1.2], np.float32).reshape(1, 2, 2, 2)
    names = ("sampling_mode", "padding_mode", "padding_value", "coordinates_mode", "align_corners")
    given: dict[str, Any] = dict(zip(names, options, strict=True))
    found = only(
        evaluate("iOS15", {"x": x, "coordinates": coordinates}, lambda x, coordinates: mb.resample(x=x, coordinates=coordinates, **given))
    )
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)


@pytest.mark.parametrize("padding", list(SCIPY_MODES))
def test_resample_at_integers(padding: str) -> None:
    """Far outside as well; of a single row, which reflects onto itself."""
    x = random(1, 1, 1, 3)
    coordinates = np.array([[[[0, 0], [2, 0], [5, 0], [-(10**9), 0], [1, 4]]]], np.int32)

    def build(x: Any, coordinates: Any) -> Any:
        return mb.resample(
            x=x, coordinates=coordinates, sampling_mode="bilinear", padding_mode=padding, padding_value=9.0,
            coordinates_mode="unnormalized", align_corners=True,
        )  # fmt: skip

    found = only(evaluate("iOS17", {"x": x, "coordinates": coordinates}, build)).ravel()
    a, b, c = x.ravel()
    expected = {"constant": [a, c, 9, 9, 9], "border": [a, c, c, a, b], "reflection": [a, c, b, a, b], "symmetric": [a, c, a, c, b]}
    np.testing.assert_allclose(found[[0, 1, 2, 4]], np.array(expected[padding])[[0, 1, 2, 4]])
    assert padding not in ("constant", "border") or found[3] == expected[padding][3]


@pytest.mark.parametrize("size", [(3, 4), (7, 2)])
@pytest.mark.parametrize("matrices", [1, 2])
def test_affine(size: tuple[int, int], matrices: int) -> None:
    x = random(2, 3, 5, 4)
    matrix = random(matrices, 6, seed=3, low=-0.9, high=0.9)
    shared = {"sampling_mode": "bilinear", "padding_mode": "constant", "padding_value": 0.0, "align_corners": True}

    def build(x: Any, matrix: Any) -> Any:
        return mb.affine(
            x=x, transform_matrix=matrix, output_height=size[0], output_width=size[1], coordinates_mode="normalized_minus_one_to_one",
            **shared,
        )  # fmt: skip

    expected = np.zeros((2, 3, *size))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for n, i, j in np.ndindex(2, *size):
        a0, a1, a2, b0, b1, b2 = matrix[n % matrices].astype(np.float64)
        across, down = 2 * j / (size[1] - 1) - 1, 2 * i / (size[0] - 1) - 1
        column = (a0 * across + a1 * down + a2 + 1) / 2 * 3
        row = (b0 * across + b1 * down + b2 + 1) / 2 * 4
        if -1 < row < 5 and -1 < column < 4:
            expected[n, :, i, j] = value_at(padded[n], [row + 1, column + 1])
    assert_close(only(evaluate("iOS15", {"x": x, "matrix": matrix}, build)), expected)


def test_affine_image_that_core_ml_gave() -> None:
    """From coremltools' test suite."""
    x = np.array([11, 22, 33, 44], np.float32).reshape(1, 1, 2, 2)
    matrix = np.array([[-1, -2, -3.7, -1, 3.5, 1.2]], np.float32)

    def build(x: Any) -> Any:
        return mb.affine(
            x=x, transform_matrix=matrix, output_height=3, output_width=3, sampling_mode="bilinear", padding_mode="constant",
            padding_value=0.0, coordinates_mode="normalized_minus_one_to_one", align_corners=True,
        )  # fmt: skip

    found = only(evaluate("iOS15", {"x": x}, build))
    assert_close(found.ravel(), np.array([10.7525, 2.5025, 0, 1.98, 0, 0, 0, 0, 0]))


@pytest.mark.parametrize(("width", "align", "message"), [(1, True, "output_width 1"), (3, False, "align_corners False is not defined")])
def test_affine_that_is_not_defined(width: int, align: bool, message: str) -> None:
    def build(x: Any) -> Any:
        return mb.affine(
            x=x, transform_matrix=random(1, 6), output_height=3, output_width=width, sampling_mode="bilinear", padding_mode="constant",
            padding_value=0.0, coordinates_mode="normalized_minus_one_to_one", align_corners=align,
        )  # fmt: skip

    with pytest.raises(ExecutionError, match=message):
        evaluate("iOS15", {"x": random(1, 1, 3, 3)}, build)


def test_saved_resizing(tmp_path: Path) -> None:
    x = random(1, 2, 5, 6)

    def build(x: Any) -> Any:
        return (
            mb.upsample_bilinear(x=x, scale_factor_height=1.5, scale_factor_width=2.0, align_corners=False, half_pixel_centers=False),
            mb.upsample_nearest_neighbor(x=x, scale_factor_height=2, scale_factor_width=3),
            mb.resize(x=x, shape=[0, 4], resized_dims=np.uint32(2), sampling_mode="OFFSET_CORNERS"),
            mb.crop_resize(
                x=x, boxes=np.array([[0.5, 1, 3, 4]], np.float32), target_height=2, target_width=3, sampling_mode="ALIGN_CORNERS"
            ),
        )

    bilinear, nearest, offset, crop = evaluate_saved("iOS17", {"x": x}, build, tmp_path)
    assert_close(bilinear, resized(x, (7, 12), lambda *numbers: place("DEFAULT", *numbers)))
    np.testing.assert_array_equal(nearest, x.repeat(2, axis=2).repeat(3, axis=3))
    # No point but the middle of each, along a dimension that keeps its size too.
    assert_close(offset, resized(x, (5, 4), lambda *numbers: place("OFFSET_CORNERS", *numbers)))
    assert_close(crop, boxed(x, [0.5, 1, 3, 4], (2, 3), "ALIGN_CORNERS", 0))


def test_saved_resample(tmp_path: Path) -> None:
    x, coordinates = random(1, 2, 5, 6), random(1, 3, 4, 2, low=0, high=4)

    def build(x: Any, coordinates: Any) -> Any:
        return mb.resample(
            x=x, coordinates=coordinates, sampling_mode="bilinear", padding_mode="border", padding_value=0.0,
            coordinates_mode="unnormalized", align_corners=False,
        )  # fmt: skip

    expected = np.zeros((1, 2, 3, 4))
    for i, j in np.ndindex(3, 4):
        expected[0, :, i, j] = value_at(x[0], coordinates[0, i, j, ::-1].tolist())
    assert_close(only(evaluate_saved("iOS15", {"x": x, "coordinates": coordinates}, build, tmp_path)), expected)
