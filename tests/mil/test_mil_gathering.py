"""Gathering and scattering against loops over single elements."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random

from instantstyle.system.errors import ExecutionError

OPSETS = ["iOS15", "iOS16", "iOS17"]


def places(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, shape))


def drawn(shape: tuple[int, ...], size: int, negative: bool, seed: int = 0) -> np.ndarray:
    """Indices into ``size`` elements."""
    return np.random.default_rng(seed).integers(-size if negative else 0, size, shape, dtype=np.int32)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (1, 2, 2)])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_gather(axis: int, shape: tuple[int, ...], opset: str) -> None:
    x = random(3, 4, 5)
    indices = drawn(shape, x.shape[axis], negative=opset != "iOS17")
    found = only(evaluate(opset, {"x": x, "indices": indices}, lambda x, indices: mb.gather(x=x, indices=indices, axis=axis)))
    at = axis % 3
    assert found.shape == (*x.shape[:at], *shape, *x.shape[at + 1 :])
    for place in places(found.shape):
        before, inner, after = place[:at], place[at : at + len(shape)], place[at + len(shape) :]
        assert found[place] == x[(*before, indices[inner], *after)]


@pytest.mark.parametrize("opset", OPSETS)
def test_gather_of_one_index(opset: str) -> None:
    x = random(3, 4)
    found = only(evaluate(opset, {"x": x}, lambda x: mb.gather(x=x, indices=np.int32(2), axis=1)))
    assert found.tolist() == [row[2] for row in x.tolist()]


@pytest.mark.parametrize("opset", ["iOS16", "iOS17"])
@pytest.mark.parametrize(("axis", "batch_dims"), [(1, 1), (2, 1), (-1, 1), (2, 2)])
@pytest.mark.parametrize("tail", [(), (4,), (2, 2)])
def test_gather_with_batches(axis: int, batch_dims: int, tail: tuple[int, ...], opset: str) -> None:
    x = random(2, 3, 5)
    at = axis % 3
    indices = drawn((*x.shape[:batch_dims], *tail), x.shape[axis], negative=False)

    def build(x, indices):
        return mb.gather(x=x, indices=indices, axis=axis, batch_dims=batch_dims)

    found = only(evaluate(opset, {"x": x, "indices": indices}, build))
    assert found.shape == (*x.shape[:at], *tail, *x.shape[at + 1 :])
    for place in places(found.shape):
        inner = place[at : at + len(tail)]
        assert found[place] == x[(*place[:at], indices[(*place[:batch_dims], *inner)], *place[at + len(tail) :])]


@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint8"])
def test_gather_with_narrow_indices(dtype: str) -> None:
    x, indices = random(200), np.array([0, 199, 150], np.int32)

    def build(x, indices):
        return mb.gather(x=x, indices=mb.cast(x=indices, dtype=dtype))

    assert only(evaluate("iOS17", {"x": x, "indices": indices}, build)).tolist() == [x[0], x[199], x[150]]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_along_axis(axis: int, opset: str) -> None:
    x = random(3, 4, 5)
    shape = list(x.shape)
    shape[axis] = 6
    indices = drawn(tuple(shape), x.shape[axis], negative=opset != "iOS17")
    found = only(evaluate(opset, {"x": x, "indices": indices}, lambda x, indices: mb.gather_along_axis(x=x, indices=indices, axis=axis)))
    assert found.shape == indices.shape
    for place in places(found.shape):
        source = list(place)
        source[axis] = int(indices[place])
        assert found[place] == x[tuple(source)]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("shape", [(4,), (2, 3)])
def test_gather_nd(shape: tuple[int, ...], depth: int, opset: str) -> None:
    x = random(3, 4, 5)
    indices = np.stack([drawn(shape, size, opset != "iOS17", seed) for seed, size in enumerate(x.shape[:depth])], axis=-1)
    found = only(evaluate(opset, {"x": x, "indices": indices}, lambda x, indices: mb.gather_nd(x=x, indices=indices)))
    assert found.shape == (*shape, *x.shape[depth:])
    for place in places(shape):
        np.testing.assert_array_equal(found[place], x[tuple(indices[place])])


@pytest.mark.parametrize("opset", ["iOS16", "iOS17"])
@pytest.mark.parametrize(("batch_dims", "depth"), [(1, 1), (1, 2), (2, 1)])
def test_gather_nd_with_batches(batch_dims: int, depth: int, opset: str) -> None:
    x = random(2, 3, 5)
    shape = (*x.shape[:batch_dims], 4)
    sizes = x.shape[batch_dims : batch_dims + depth]
    indices = np.stack([drawn(shape, size, False, seed) for seed, size in enumerate(sizes)], axis=-1)

    def build(x, indices):
        return mb.gather_nd(x=x, indices=indices, batch_dims=batch_dims)

    found = only(evaluate(opset, {"x": x, "indices": indices}, build))
    assert found.shape == (*shape, *x.shape[batch_dims + depth :])
    for place in places(shape):
        np.testing.assert_array_equal(found[place], x[(*place[:batch_dims], *indices[place])])


@pytest.mark.parametrize("index", [-1, 3])
@pytest.mark.parametrize("name", ["gather", "gather_along_axis", "gather_nd"])
def test_gathering_outside_is_refused_since_ios17(name: str, index: int) -> None:
    x, indices = random(3), np.array([[0], [index]] if name == "gather_nd" else [0, index], np.int32)
    with pytest.raises(ExecutionError, match="undefined"):
        evaluate("iOS17", {"x": x, "indices": indices}, lambda x, indices: getattr(mb, name)(x=x, indices=indices))


COMBINE = {
    "update": lambda old, new: new,
    "add": lambda old, new: old + new,
    "sub": lambda old, new: old - new,
    "mul": lambda old, new: old * new,
    "div": lambda old, new: old / new,
    "max": max,
    "min": min,
}
MODES = [*COMBINE]


def scattered(data: np.ndarray, targets: list[tuple[int, ...]], values: list[float], mode: str) -> np.ndarray:
    """One after the other."""
    result = data.astype(np.float64)
    for target, value in zip(targets, values, strict=True):
        result[target] = COMBINE[mode](result[target], float(value))
    return result


def choice(size: int, count: int, mode: str, opset: str) -> np.ndarray:
    """Indices, which repeat unless the mode forbids it, half of them counted from the end before iOS17."""
    rng = np.random.default_rng(7)
    indices = rng.permutation(size)[:count] if mode == "update" else rng.integers(0, size, count)
    return (indices - (size * (np.arange(count) % 2) if opset != "iOS17" else 0)).astype(np.int32)


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("mode", MODES)
def test_scatter(mode: str, axis: int, opset: str) -> None:
    data = random(4, 5, 6)
    count = 3 if mode == "update" else 7
    indices = choice(data.shape[axis], count, mode, opset)
    shape = list(data.shape)
    shape[axis] = count
    updates = random(*shape, seed=1, low=0.5, high=2)
    targets = []
    for place in places(updates.shape):
        target = list(place)
        target[axis] = int(indices[place[axis]])
        targets.append(tuple(target))

    def build(data, indices, updates):
        return mb.scatter(data=data, indices=indices, updates=updates, axis=axis, mode=mode)

    found = only(evaluate(opset, {"data": data, "indices": indices, "updates": updates}, build))
    assert_close(found, scattered(data, targets, updates.ravel().tolist(), mode), 1e-6)


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("mode", MODES)
def test_scatter_along_axis(mode: str, axis: int, opset: str) -> None:
    data = random(4, 5)
    count = 3 if mode == "update" else 7
    shape = (count, 5) if axis == 0 else (4, count)
    line = choice(data.shape[axis], count, mode, opset)
    indices = np.broadcast_to(line[:, None] if axis == 0 else line, shape).copy()
    updates = random(*shape, seed=1, low=0.5, high=2)
    targets = [(int(indices[place]), place[1]) if axis == 0 else (place[0], int(indices[place])) for place in places(shape)]

    def build(data, indices, updates):
        return mb.scatter_along_axis(data=data, indices=indices, updates=updates, axis=axis, mode=mode)

    found = only(evaluate(opset, {"data": data, "indices": indices, "updates": updates}, build))
    assert_close(found, scattered(data, targets, updates.ravel().tolist(), mode), 1e-6)


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_scatter_nd(mode: str, depth: int, opset: str) -> None:
    data = random(4, 5, 3)
    count = 4 if mode == "update" else 9
    indices = np.stack([choice(size, count, mode, opset) for size in data.shape[:depth]], axis=-1)
    updates = random(count, *data.shape[depth:], seed=1, low=0.5, high=2)
    targets = [(*indices[place[0]].tolist(), *place[1:]) for place in places(updates.shape)]

    def build(data, indices, updates):
        return mb.scatter_nd(data=data, indices=indices, updates=updates, mode=mode)

    found = only(evaluate(opset, {"data": data, "indices": indices, "updates": updates}, build))
    assert_close(found, scattered(data, targets, updates.ravel().tolist(), mode), 1e-6)


def test_scatter_of_integers() -> None:
    data, indices, updates = (
        np.array([[1, 2, 3], [4, 5, 6]], np.int32),
        np.array([1, 0], np.int32),
        np.array([[5, 6, 7], [8, 9, 10]], np.int32),
    )
    inputs = {"data": data, "indices": indices, "updates": updates}
    found = only(
        evaluate("iOS15", inputs, lambda data, indices, updates: mb.scatter(data=data, indices=indices, updates=updates, mode="add"))
    )
    assert found.dtype == np.int32
    assert found.tolist() == [[9, 11, 13], [9, 11, 13]]
    with pytest.raises(ExecutionError, match="div"):
        evaluate("iOS15", inputs, lambda data, indices, updates: mb.scatter(data=data, indices=indices, updates=updates, mode="div"))


def test_two_updates_of_one_place_are_refused() -> None:
    data, indices, updates = random(3), np.array([1, 1], np.int32), random(2)
    with pytest.raises(ExecutionError, match="several values"):
        evaluate(
            "iOS17",
            {"data": data, "indices": indices, "updates": updates},
            lambda data, indices, updates: mb.scatter(data=data, indices=indices, updates=updates, mode="update"),
        )


@pytest.mark.parametrize("name", ["scatter", "scatter_along_axis", "scatter_nd"])
def test_scattering_to_negative_indices_is_refused_since_ios17(name: str) -> None:
    data, indices, updates = random(3), np.array([[-1]] if name == "scatter_nd" else [-1], np.int32), random(1)
    with pytest.raises(ExecutionError, match="undefined"):
        evaluate(
            "iOS17",
            {"data": data, "indices": indices, "updates": updates},
            lambda data, indices, updates: getattr(mb, name)(data=data, indices=indices, updates=updates, mode="add"),
        )


def test_saved_package(tmp_path: Path) -> None:
    x = random(3, 4)

    def build(x):
        some = mb.gather(x=x, indices=np.array([2, 0], np.int32), axis=1)
        return mb.scatter_nd(data=some, indices=np.array([[0, 1], [2, 0]], np.int32), updates=np.array([10, 20], np.float32), mode="add")

    expected = x[:, [2, 0]] + np.array([[0, 10], [0, 0], [20, 0]])
    assert_close(only(evaluate_saved("iOS17", {"x": x}, build, tmp_path)), expected, 1e-6)
