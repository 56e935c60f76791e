"""Matrix products and attention against sums in float64."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from mil_helpers import assert_close, evaluate, evaluate_saved, mb, only, random

from instantstyle.system.errors import ExecutionError


def product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Broadcast product of stacks of matrices, by sums of elementwise products."""
    return (x.astype(np.float64)[..., :, :, None] * y.astype(np.float64)[..., None, :, :]).sum(-2)


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_linear(shape: tuple[int, ...], with_bias: bool, opset: str) -> None:
    x, weight, bias = random(*shape), random(4, 5, seed=1), random(4, seed=2)
    expected = (x[..., None, :].astype(np.float64) * weight).sum(-1) + (bias if with_bias else 0)
    given = {"bias": bias} if with_bias else {}
    assert_close(only(evaluate(opset, {"x": x}, lambda x: mb.linear(x=x, weight=weight, **given))), expected)


def test_linear_of_integers() -> None:
    x, weight = np.array([[1, -2, 3]], np.int32), np.array([[4, 5, 6], [-1, 0, 2]], np.int32)
    found = only(evaluate("iOS15", {"x": x}, lambda x: mb.linear(x=x, weight=weight, bias=np.array([10, 20], np.int32))))
    assert found.dtype == np.int32
    assert found.tolist() == [[4 - 10 + 18 + 10, -1 + 6 + 20]]


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("transpose_y", [False, True])
@pytest.mark.parametrize("transpose_x", [False, True])
@pytest.mark.parametrize(("batch_x", "batch_y"), [((), ()), ((2,), (2,)), ((4, 1), (3,)), ((), (2, 3))])
def test_matmul(batch_x: tuple[int, ...], batch_y: tuple[int, ...], transpose_x: bool, transpose_y: bool, opset: str) -> None:
    x, y = random(*batch_x, 3, 5), random(*batch_y, 5, 4, seed=1)
    expected = product(x, y)
    x, y = (np.swapaxes(x, -1, -2) if transpose_x else x), (np.swapaxes(y, -1, -2) if transpose_y else y)

    def build(x, y):
        return mb.matmul(x=x, y=y, transpose_x=transpose_x, transpose_y=transpose_y)

    assert_close(only(evaluate(opset, {"x": np.ascontiguousarray(x), "y": np.ascontiguousarray(y)}, build)), expected)


def test_matmul_of_a_vector() -> None:
    x, y = random(4), random(4, 3, seed=1)
    assert_close(only(evaluate("iOS15", {"x": x, "y": y}, lambda x, y: mb.matmul(x=x, y=y))), product(x[None], y)[0])


def test_matmul_of_integers() -> None:
    x, y = np.arange(6, dtype=np.int32).reshape(2, 3), np.arange(-3, 3, dtype=np.int32).reshape(3, 2)
    found = only(evaluate("iOS15", {"x": x, "y": y}, lambda x, y: mb.matmul(x=x, y=y)))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, product(x, y))


def test_a_product_of_integers_and_floats_is_refused() -> None:
    x = np.array([[1, 2]], np.int32)
    with pytest.raises(ExecutionError, match="integers"):
        evaluate("iOS17", {"x": x}, lambda x: mb.matmul(x=x, y=np.ones((2, 2), np.float32)))
    with pytest.raises(ExecutionError, match="integers"):
        evaluate("iOS17", {"x": x}, lambda x: mb.linear(x=x, weight=np.ones((2, 2), np.float32)))


@pytest.mark.parametrize(
    ("equation", "shape_x", "shape_y"),
    [
        ("nchw,nwhu->nchu", (2, 3, 4, 5), (2, 5, 4, 6)),
        ("abcd,adce->abce", (1, 3, 4, 5), (2, 5, 4, 6)),
        ("nchw,nwhu->nchu", (2, 3, 1, 5), (1, 5, 4, 6)),
        ("chw,whr->chr", (3, 4, 5), (5, 4, 6)),
        ("chw,whr->chr", (3, 4, 5), (5, 1, 6)),
    ],
)
def test_einsum(equation: str, shape_x: tuple[int, ...], shape_y: tuple[int, ...]) -> None:
    x, y = random(*shape_x), random(*shape_y, seed=1)
    wide_x, wide_y = (v.astype(np.float64).reshape((1,) * (4 - v.ndim) + v.shape) for v in (x, y))
    batch, height = max(wide_x.shape[0], wide_y.shape[0]), max(wide_x.shape[2], wide_y.shape[2])
    expected = np.zeros((batch, wide_x.shape[1], height, wide_y.shape[3]))
    for n, c, h, u in itertools.product(*map(range, expected.shape)):
        left = wide_x[n % wide_x.shape[0], c, h % wide_x.shape[2]]
        expected[n, c, h, u] = (left * wide_y[n % wide_y.shape[0], :, h % wide_y.shape[2], u]).sum()
    found = only(evaluate("iOS15", {"x": x, "y": y}, lambda x, y: mb.einsum(values=[x, y], equation=equation)))
    assert_close(found, expected.reshape(found.shape))


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The documented formula."""
    scores = product(query, np.swapaxes(key, -1, -2)) / np.sqrt(query.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return product(weights / weights.sum(-1, keepdims=True), value)


@pytest.mark.parametrize("mask", [None, "bool", "float", "bool row", "float per head"])
@pytest.mark.parametrize("batch", [(2,), (2, 3), (1, 2, 3)])
def test_attention(batch: tuple[int, ...], mask: str | None) -> None:
    query, key, value = random(*batch, 4, 8), random(*batch, 5, 8, seed=1), random(*batch, 5, 6, seed=2)
    shape = {"bool row": (5,), "float per head": (*batch, 4, 5)}.get(mask or "", (4, 5))
    values = random(*shape, seed=4)
    inputs = {"query": query, "key": key, "value": value}
    if mask is None:
        found = evaluate("iOS18", inputs, lambda query, key, value: mb.scaled_dot_product_attention(query=query, key=key, value=value))
        assert_close(only(found), attention(query, key, value, None))
        return
    if mask.startswith("bool"):
        values = values > -1
        values[..., 0] = True

    def build(query, key, value, attn_mask):
        return mb.scaled_dot_product_attention(query=query, key=key, value=value, attn_mask=attn_mask)

    assert_close(only(evaluate("iOS18", {**inputs, "attn_mask": values}, build)), attention(query, key, value, values))


def test_a_row_without_keys_is_nan() -> None:
    x, mask = random(1, 2, 3), np.array([[True, True], [False, False]])

    def build(x, mask):
        return mb.scaled_dot_product_attention(query=x, key=x, value=x, attn_mask=mask)

    found = only(evaluate("iOS18", {"x": x, "mask": mask}, build))
    assert np.isfinite(found[0, 0]).all()
    assert np.isnan(found[0, 1]).all()


def test_saved_package(tmp_path: Path) -> None:
    x, weight, bias = random(1, 4, 6), random(6, 6, seed=1), random(6, seed=2)

    def build(x):
        hidden = mb.linear(x=x, weight=weight, bias=bias)
        return mb.scaled_dot_product_attention(query=hidden, key=x, value=mb.matmul(x=x, y=weight, transpose_y=True))

    hidden = product(x, weight.T) + bias
    assert_close(only(evaluate_saved("iOS18", {"x": x}, build, tmp_path)), attention(hidden, x, product(x, weight.T), None))
