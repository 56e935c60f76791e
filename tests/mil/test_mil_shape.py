"""Shapes, slices and order against NumPy's indexing and loops."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random

from instantstyle.system.errors import ExecutionError


def counted(*shape: int, dtype: type = np.float32) -> np.ndarray:
    """All elements different, none 0."""
    return np.arange(1, math.prod(shape) + 1).astype(dtype).reshape(shape)


@pytest.mark.parametrize(
    ("opset", "shape", "expected"),
    [
        ("iOS15", [4, 6], (4, 6)),
        ("iOS15", [-1], (24,)),
        ("iOS15", [2, -1, 2], (2, 6, 2)),
        ("iOS15", [0, 0, 4], (2, 3, 4)),
        ("iOS15", [0, -1, 2], (2, 6, 2)),
        ("iOS17", [0, -1, 2], (2, 6, 2)),
        ("iOS17", [-1, 0], (6, 4)),
        ("iOS17", [0, -1], (3, 8)),
        ("iOS17", [0, 0, 0, 0], (1, 2, 3, 4)),
        ("iOS17", [1, 0, -1, 0], (1, 2, 3, 4)),
        ("iOS17", [0, 1, 0, -1, 0], (1, 1, 2, 3, 4)),
    ],
)
def test_reshape(opset: str, shape: list[int], expected: tuple[int, ...]) -> None:
    found = only(evaluate(opset, {"x": counted(2, 3, 4)}, lambda x: mb.reshape(x=x, shape=shape)))
    assert found.shape == expected
    assert found.ravel().tolist() == list(range(1, 25))


def test_reshape_to_a_computed_shape() -> None:
    x, like = counted(2, 6), counted(3, 4)
    found = only(evaluate("iOS15", {"x": x, "like": like}, lambda x, like: mb.reshape(x=x, shape=mb.shape(x=like))))
    np.testing.assert_array_equal(found, x.reshape(3, 4))


@pytest.mark.parametrize("opset", ["iOS16", "iOS17"])
def test_reshape_like(opset: str) -> None:
    x, a, b = counted(4, 15, 3), counted(2, 3, 4), counted(1, 5, 6)

    def build(x, a, b):
        return mb.reshape_like(x=x, ref_tensors=(a, b), begins=(0, 1), ends=(2, 0), end_masks=(False, True))

    found = only(evaluate(opset, {"x": x, "a": a, "b": b}, build))
    np.testing.assert_array_equal(found, x.ravel().reshape(2, 3, 5, 6))


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("perm", [[0, 1, 2], [2, 0, 1], [1, 0, 2], [-1, 0, -2]])
def test_transpose(perm: list[int], opset: str) -> None:
    x = counted(2, 3, 4)
    found = only(evaluate(opset, {"x": x}, lambda x: mb.transpose(x=x, perm=perm)))
    axes = [axis % 3 for axis in perm]
    assert found.shape == tuple(x.shape[axis] for axis in axes)
    for place in itertools.product(*map(range, found.shape)):
        source = [0, 0, 0]
        for axis, index in zip(axes, place, strict=True):
            source[axis] = index
        assert found[place] == x[tuple(source)]


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize(
    ("axes", "expected"), [(None, (3, 4)), ([0], (3, 1, 4)), ([-2], (1, 3, 4)), ([0, 2], (3, 4)), ([1], (1, 3, 1, 4)), ([0, 1], (3, 1, 4))]
)
def test_squeeze(axes: list[int] | None, expected: tuple[int, ...], opset: str) -> None:
    given = {} if axes is None else {"axes": axes}
    x = counted(1, 3, 1, 4)
    found = only(evaluate(opset, {"x": x}, lambda x: mb.squeeze(x=x, **given)))
    np.testing.assert_array_equal(found, x.reshape(expected))


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize(
    ("axes", "expected"),
    [([0], (1, 2, 3)), ([-1], (2, 3, 1)), ([1, 3], (2, 1, 3, 1)), ([3, 0], (1, 2, 3, 1)), ([-4, -2], (1, 2, 1, 3)), ([0, 1], (1, 1, 2, 3))],
)
def test_expand_dims(axes: list[int], expected: tuple[int, ...], opset: str) -> None:
    x = counted(2, 3)
    np.testing.assert_array_equal(only(evaluate(opset, {"x": x}, lambda x: mb.expand_dims(x=x, axes=axes))), x.reshape(expected))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_concat(axis: int) -> None:
    shapes = [[2, 3, 4] for _ in range(3)]
    for extra, shape in enumerate(shapes):
        shape[axis] += extra
    a, b, c = (random(*shape, seed=seed) for seed, shape in enumerate(shapes))
    found = only(evaluate("iOS15", {"a": a, "b": b, "c": c}, lambda a, b, c: mb.concat(values=[a, b, c], axis=axis)))
    start = 0
    for part in (a, b, c):
        stop = start + part.shape[axis]
        np.testing.assert_array_equal(np.moveaxis(found, axis, 0)[start:stop], np.moveaxis(part, axis, 0))
        start = stop
    assert start == found.shape[axis]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_interleaved_concat(axis: int) -> None:
    a, b, c = (random(2, 3, 4, seed=seed) for seed in range(3))
    found = only(evaluate("iOS15", {"a": a, "b": b, "c": c}, lambda a, b, c: mb.concat(values=[a, b, c], axis=axis, interleave=True)))
    for turn, part in enumerate((a, b, c)):
        np.testing.assert_array_equal(np.moveaxis(found, axis, 0)[turn::3], np.moveaxis(part, axis, 0))


def test_concat_of_scalars() -> None:
    x = counted(2, 3)

    def build(x):
        rows = mb.squeeze(x=mb.slice_by_size(x=mb.shape(x=x), begin=[0], size=[1]))
        return mb.concat(values=[rows, mb.reduce_max(x=mb.cast(x=x, dtype="int32"))], axis=0)

    assert only(evaluate("iOS15", {"x": x}, build)).tolist() == [2, 6]


@pytest.mark.parametrize(
    ("given", "axis", "bounds"),
    [
        ({"num_splits": 3}, 1, [0, 2, 4, 6]),
        ({"split_sizes": [1, 3, 2]}, 1, [0, 1, 4, 6]),
        ({"split_sizes": [1, 3, 2], "num_splits": 3}, -2, [0, 1, 4, 6]),
        ({"num_splits": 2}, -1, [0, 2, 4]),
        ({"num_splits": 2}, 0, [0, 1, 2]),
    ],
)
def test_split(given: dict[str, Any], axis: int, bounds: list[int]) -> None:
    x = counted(2, 6, 4)
    found = evaluate("iOS15", {"x": x}, lambda x: mb.split(x=x, axis=axis, **given))
    assert len(found) == len(bounds) - 1
    for part, start, stop in zip(found, bounds, bounds[1:], strict=False):
        np.testing.assert_array_equal(np.moveaxis(part, axis, 0), np.moveaxis(x, axis, 0)[start:stop])


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_stack(axis: int) -> None:
    a, b = random(2, 3), random(2, 3, seed=1)
    found = only(evaluate("iOS15", {"a": a, "b": b}, lambda a, b: mb.stack(values=[a, b], axis=axis)))
    np.testing.assert_array_equal(np.moveaxis(found, axis, 0), np.array([a.tolist(), b.tolist()], np.float32))


# begin, end, stride, begin_mask, end_mask, squeeze_mask, and the same as an index of NumPy.
SLICES = [
    ([0, 1], [2, 4], None, None, None, None, np.s_[0:2, 1:4]),
    ([1, 0], [3, 7], [1, 3], None, None, None, np.s_[1:3, 0:7:3]),
    ([-2, -5], [-1, -2], None, None, None, None, np.s_[-2:-1, -5:-2]),
    ([0, 2], [4, 99], None, None, None, None, np.s_[0:4, 2:99]),
    ([3, 3], [1, 5], None, [True, False], [False, True], None, np.s_[:1, 3:]),
    ([0, 0], [0, 0], [1, -1], [True, True], [True, True], None, np.s_[:, ::-1]),
    ([0, 5], [0, 1], [1, -2], [True, False], [True, False], None, np.s_[:, 5:1:-2]),
    ([0, -1], [0, 0], [1, -1], [True, False], [True, False], None, np.s_[:, -1:0:-1]),
    ([0, 5], [0, 0], [1, -2], [True, False], [True, True], None, np.s_[:, 5::-2]),
    ([0, 6], [0, 2], [1, -1], [True, True], [True, False], None, np.s_[:, :2:-1]),
    ([2, 1], [0, 4], None, None, None, [True, False], np.s_[2, 1:4]),
    ([1, -1], [4, 0], None, None, None, [False, True], np.s_[1:4, -1]),
    ([3, 2], [0, 0], None, None, None, [True, True], np.s_[3, 2]),
    ([0, 3], [4, 0], [2, 1], None, None, [False, True], np.s_[0:4:2, 3]),
]


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("case", SLICES)
def test_slice_by_index(case: tuple[Any, ...], opset: str) -> None:
    x = counted(4, 7)
    names = ("stride", "begin_mask", "end_mask", "squeeze_mask")
    given = {name: value for name, value in zip(names, case[2:6], strict=True) if value is not None}
    found = only(evaluate(opset, {"x": x}, lambda x: mb.slice_by_index(x=x, begin=case[0], end=case[1], **given)))
    np.testing.assert_array_equal(found, x[case[6]])


@pytest.mark.parametrize("case", [case for case in SLICES if case[5] != [True, True]])
def test_slice_update(case: tuple[Any, ...]) -> None:
    x = counted(4, 7)
    update = -1 - np.arange(x[case[6]].size, dtype=np.float32).reshape(x[case[6]].shape)
    names = ("stride", "begin_mask", "end_mask", "squeeze_mask")
    given = {name: value for name, value in zip(names, case[2:6], strict=True) if value is not None}

    def build(x, update):
        return mb.slice_update(x=x, update=update, begin=case[0], end=case[1], **given), mb.identity(x=x)

    found, kept = evaluate("iOS18", {"x": x, "update": update}, build)
    expected = x.copy()
    expected[case[6]] = update
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(kept, x)


def test_slice_with_a_computed_begin() -> None:
    x, offset = counted(6), np.array([2], np.int32)

    def build(x, offset):
        return mb.slice_by_index(x=x, begin=offset, end=mb.add(x=offset, y=np.array([3], np.int32)))

    assert only(evaluate("iOS15", {"x": x, "offset": offset}, build)).tolist() == [3, 4, 5]


def test_an_index_outside_is_refused() -> None:
    x, place = counted(3), np.array([3], np.int32)
    with pytest.raises(ExecutionError, match="index 3"):
        evaluate("iOS15", {"x": x, "place": place}, lambda x, place: mb.slice_by_index(x=x, begin=place, end=[0], squeeze_mask=[True]))


def test_a_falling_slice_to_before_the_beginning_is_refused() -> None:
    # A constant end would not do: coremltools' shape inference overwrites it with 0, which then is what the program holds.
    x, end = counted(4), np.array([-5], np.int32)
    with pytest.raises(ExecutionError, match="disagree"):
        evaluate("iOS15", {"x": x, "end": end}, lambda x, end: mb.slice_by_index(x=x, begin=[-1], end=end, stride=[-1]))


@pytest.mark.parametrize(
    ("begin", "end", "stride", "index"), [(-3, -1, 1, np.s_[-3:-1]), (-1, -4, -2, np.s_[-1:-4:-2]), (-9, 3, 1, np.s_[:3])]
)
def test_computed_negative_ends(begin: int, end: int, stride: int, index: Any) -> None:
    x, begins, ends = counted(5), np.array([begin], np.int32), np.array([end], np.int32)

    def build(x, begins, ends):
        return mb.slice_by_index(x=x, begin=begins, end=ends, stride=[stride])

    np.testing.assert_array_equal(only(evaluate("iOS15", {"x": x, "begins": begins, "ends": ends}, build)), x[index])


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize(
    ("begin", "size", "index"),
    [([1, 2], [2, 3], np.s_[1:3, 2:5]), ([0, 4], [4, -1], np.s_[0:4, 4:7]), ([-3, 0], [2, 7], np.s_[1:3, 0:7])],
)
def test_slice_by_size(begin: list[int], size: list[int], index: Any, opset: str) -> None:
    x = counted(4, 7)
    np.testing.assert_array_equal(only(evaluate(opset, {"x": x}, lambda x: mb.slice_by_size(x=x, begin=begin, size=size))), x[index])


def test_slice_by_size_beyond_the_end_is_refused() -> None:
    with pytest.raises(ExecutionError):
        evaluate("iOS15", {"x": counted(4)}, lambda x: mb.slice_by_size(x=x, begin=[2], size=[3]))


@pytest.mark.parametrize("reps", [[1, 2], [3, 1], [2, 3]])
def test_tile(reps: list[int]) -> None:
    x = counted(2, 3)
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.tile(x=x, reps=reps)))
    assert found.shape == (2 * reps[0], 3 * reps[1])
    for i, j in itertools.product(*map(range, found.shape)):
        assert found[i, j] == x[i % 2, j % 3]


@pytest.mark.parametrize(("axis", "expected"), [(1, (2, 12)), (2, (6, 4)), (-1, (6, 4)), (0, (1, 24)), (-3, (1, 24))])
def test_flatten2d(axis: int, expected: tuple[int, int]) -> None:
    x = counted(2, 3, 4)
    np.testing.assert_array_equal(only(evaluate("iOS15", {"x": x}, lambda x: mb.flatten2d(x=x, axis=axis))), x.reshape(expected))


def test_shape_and_identity() -> None:
    x = counted(2, 3, 4)
    sizes, same = evaluate("iOS15", {"x": x}, lambda x: (mb.shape(x=x), mb.identity(x=x)))
    assert sizes.dtype == np.int32
    assert sizes.tolist() == [2, 3, 4]
    np.testing.assert_array_equal(same, x)


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize(
    ("axes", "index"), [(None, np.s_[::-1, ::-1]), ([1], np.s_[:, ::-1]), ([-2], np.s_[::-1]), ([0, 1], np.s_[::-1, ::-1])]
)
def test_reverse(axes: list[int] | None, index: Any, opset: str) -> None:
    given = {} if axes is None else {"axes": axes}
    x = counted(3, 4)
    np.testing.assert_array_equal(only(evaluate(opset, {"x": x}, lambda x: mb.reverse(x=x, **given))), x[index])


@pytest.mark.parametrize("value", [np.float32(1.5), np.int32(-3), np.bool_(True)])
def test_fill(value: Any) -> None:
    x = counted(2, 3)
    filled, alike = evaluate(
        "iOS16", {"x": x}, lambda x: (mb.fill(shape=mb.shape(x=x), value=value), mb.fill_like(ref_tensor=x, value=value))
    )
    for found in (filled, alike):
        assert found.dtype == value.dtype
        assert found.tolist() == [[value.item()] * 3] * 2


def test_fill_is_0_by_default() -> None:
    found = only(evaluate("iOS15", {"x": counted(2, 2)}, lambda x: mb.fill(shape=mb.shape(x=x))))
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("start", "end", "step", "expected"),
    [
        (np.int32(2), np.int32(11), np.int32(3), [2, 5, 8]),
        (np.int32(2), np.int32(12), np.int32(3), [2, 5, 8, 11]),
        (np.int32(3), np.int32(-2), np.int32(-2), [3, 1, -1]),
        (np.float32(0), np.float32(2), np.float32(0.5), [0, 0.5, 1, 1.5]),
        (np.float32(1), np.float32(0), np.float32(-0.3), [1, 0.7, 0.4, 0.1]),
        (np.float32(0), np.float32(1), np.float32(0.1), [i / 10 for i in range(10)]),
    ],
)
def test_range(start: Any, end: Any, step: Any, expected: list[float]) -> None:
    x = np.array([end], end.dtype)

    def build(x):
        return mb.range_1d(start=start, end=mb.squeeze(x=x), step=step)

    found = only(evaluate("iOS15", {"x": x}, build))
    assert found.dtype == end.dtype
    assert_close(found, np.array(expected), 1e-7)


def test_a_range_whose_length_rounding_decides_is_refused() -> None:
    x = np.array([0.6], np.float32)
    with pytest.raises(ExecutionError, match="rounding"):
        evaluate("iOS15", {"x": x}, lambda x: mb.range_1d(start=np.float32(0), end=mb.squeeze(x=x), step=np.float32(0.2)))


@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -3])
@pytest.mark.parametrize("values", [None, (np.float32(2.5), np.float32(-1)), (np.bool_(False), np.bool_(True))])
def test_one_hot(axis: int, values: tuple[Any, Any] | None) -> None:
    indices = np.array([[0, 3, 1], [2, 2, 0]], np.int32)
    given = {} if values is None else {"on_value": values[0], "off_value": values[1]}
    on, off = (1, 0) if values is None else values
    found = only(
        evaluate("iOS15", {"indices": indices}, lambda indices: mb.one_hot(indices=indices, one_hot_vector_size=4, axis=axis, **given))
    )
    hot = np.moveaxis(found, axis, -1)
    assert hot.shape == (2, 3, 4)
    for i, j, k in itertools.product(range(2), range(3), range(4)):
        assert hot[i, j, k] == (on if indices[i, j] == k else off)


@pytest.mark.parametrize("index", [-1, 4])
def test_one_hot_outside_is_refused(index: int) -> None:
    indices = np.array([0, index], np.int32)
    with pytest.raises(ExecutionError, match="one_hot"):
        evaluate("iOS15", {"indices": indices}, lambda indices: mb.one_hot(indices=indices, one_hot_vector_size=4))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_cumsum(axis: int, exclusive: bool, reverse: bool, dtype: type) -> None:
    x = np.random.default_rng(0).integers(-9, 10, (3, 4)).astype(dtype)
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.cumsum(x=x, axis=axis, exclusive=exclusive, reverse=reverse)))
    assert found.dtype == dtype
    lines, sums = np.moveaxis(x, axis, -1), np.moveaxis(found, axis, -1)
    for line, got in zip(lines.reshape(-1, lines.shape[-1]), sums.reshape(-1, lines.shape[-1]), strict=True):
        for i, value in enumerate(got):
            near = 1 if exclusive else 0
            assert value == (sum(line[i + near :]) if reverse else sum(line[: i + 1 - near]))


@pytest.mark.parametrize("opset", ["iOS15", "iOS16", "iOS17"])
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize(("axis", "k"), [(0, 1), (1, 3), (-1, 5), (-2, 2)])
def test_topk(axis: int, k: int, ascending: bool, opset: str) -> None:
    x = np.random.default_rng(1).permutation(60).reshape(3, 4, 5).astype(np.float32)
    values, places = evaluate(opset, {"x": x}, lambda x: mb.topk(x=x, k=k, axis=axis, ascending=ascending))
    assert places.dtype == np.int32
    lines = np.moveaxis(x, axis, -1)
    for line, got, at in zip(
        lines.reshape(-1, lines.shape[-1]),
        np.moveaxis(values, axis, -1).reshape(-1, k),
        np.moveaxis(places, axis, -1).reshape(-1, k),
        strict=True,
    ):
        assert got.tolist() == sorted(line.tolist(), reverse=not ascending)[:k]
        assert line[at].tolist() == got.tolist()


def test_topk_without_positions_or_with_short_ones() -> None:
    x = np.array([[3, 1, 2]], np.int32)
    assert only(evaluate("iOS16", {"x": x}, lambda x: mb.topk(x=x, k=2, return_indices=False, sort=False))).tolist() == [[3, 2]]

    def build(x):
        values, places = mb.topk(x=x, k=2, output_indices_dtype="uint16")
        return values, mb.cast(x=places, dtype="int32")

    assert [found.tolist() for found in evaluate("iOS17", {"x": x}, build)] == [[[3, 2]], [[0, 2]]]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_argsort(axis: int, ascending: bool, dtype: type) -> None:
    x = np.random.default_rng(2).permutation(20).reshape(4, 5).astype(dtype)
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.argsort(x=x, axis=axis, ascending=ascending)))
    assert found.dtype == np.int32
    for line, places in zip(np.moveaxis(x, axis, -1), np.moveaxis(found, axis, -1), strict=True):
        assert line[places].tolist() == sorted(line.tolist(), reverse=not ascending)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_])
@pytest.mark.parametrize(("lower", "upper"), [(0, -1), (-1, 0), (0, 0), (1, 2), (-1, -1)])
def test_band_part(lower: int, upper: int, dtype: type) -> None:
    x = counted(2, 4, 5, dtype=dtype)
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.band_part(x=x, lower=lower, upper=upper)))
    assert found.dtype == dtype
    for b, m, n in itertools.product(range(2), range(4), range(5)):
        kept = (lower < 0 or m - n <= lower) and (upper < 0 or n - m <= upper)
        assert found[b, m, n] == (x[b, m, n] if kept else 0)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_])
def test_non_zero(dtype: type) -> None:
    x = np.array([[0, 1, 0], [5, 0, 7]]).astype(dtype)
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.non_zero(x=x)))
    assert found.dtype == np.int32
    assert found.tolist() == [[0, 1], [1, 0], [1, 2]]


def test_narrow_integers_keep_their_type(tmp_path: Path) -> None:
    x = np.array([[1.0, 200.0], [3.0, 255.0]], np.float32)

    def build(x):
        narrow = mb.cast(x=x, dtype="uint8")
        turned = mb.transpose(x=mb.reverse(x=mb.reshape(x=narrow, shape=[1, -1]), axes=[1]), perm=[1, 0])
        return mb.cast(x=mb.slice_by_size(x=mb.expand_dims(x=turned, axes=[0]), begin=[0, 0, 0], size=[1, 3, -1]), dtype="fp32")

    for found in (only(evaluate("iOS17", {"x": x}, build)), only(evaluate_saved("iOS17", {"x": x}, build, tmp_path))):
        assert found.tolist() == [[[255], [3], [200]]]


def test_saved_package(tmp_path: Path) -> None:
    x = random(1, 4, 6, 5)

    def build(x):
        first, second = mb.split(x=x, axis=1, num_splits=2)
        joined = mb.concat(values=[second, first], axis=2, interleave=True)
        part = mb.slice_by_index(
            x=joined, begin=[0, 0, 1, 0], end=[0, 2, 9, 0], stride=[1, 1, 2, -1], end_mask=[True, False, False, True],
            begin_mask=[False, False, False, True], squeeze_mask=[True, False, False, False],
        )  # fmt: skip
        return mb.cumsum(x=mb.tile(x=part, reps=[1, 2, 1]), axis=1, exclusive=True)

    joined = np.zeros((1, 2, 12, 5))
    joined[:, :, 0::2], joined[:, :, 1::2] = x[:, 2:], x[:, :2]
    part = joined[0, :, 1:9:2, ::-1]
    tiled = np.concatenate([part, part], axis=1)
    expected = np.stack([tiled[:, :i].sum(1) for i in range(8)], axis=1)
    assert_close(only(evaluate_saved("iOS18", {"x": x}, build, tmp_path)), expected)
