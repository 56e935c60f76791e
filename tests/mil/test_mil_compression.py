"""Compressed weights against the documented algorithms, and against what coremltools makes of its own compressed models."""

import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np
import pytest
import torch
from coremltools.converters.mil.mil import types
from mil_helpers import OPSETS, assert_close, evaluate, evaluate_saved, mb, only, random

from instantstyle.targets.coreml.mil.evaluator import Evaluator
from instantstyle.targets.coreml.mil.package import open_package

BITS = {
    1: types.np_uint1_dtype,
    2: types.np_uint2_dtype,
    3: types.np_uint3_dtype,
    4: types.np_uint4_dtype,
    6: types.np_uint6_dtype,
    8: np.uint8,
}


def places(shape: tuple[int, ...]) -> Any:
    return itertools.product(*map(range, shape))


def shown(opset: str, shape: tuple[int, ...], weight: Callable[[], Any], folder: Path | None = None) -> np.ndarray:
    """The weight that ``weight`` builds, added to zeros."""

    def build(x):
        return mb.add(x=x, y=mb.cast(x=weight(), dtype="fp32"))

    inputs = {"x": np.zeros(shape, np.float32)}
    return only(evaluate(opset, inputs, build) if folder is None else evaluate_saved(opset, inputs, build, folder))


def packed(numbers: np.ndarray, bits: int) -> np.ndarray:
    """One long whole number, whose bytes from the lowest on are the packed data."""
    total = sum(int(number) << (position * bits) for position, number in enumerate(numbers.ravel()))
    return np.frombuffer(total.to_bytes(-(-numbers.size * bits // 8), "little"), np.uint8).copy()


@pytest.mark.parametrize("zero_is_vector", [True, False])
@pytest.mark.parametrize("scale_is_vector", [True, False])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_affine(dtype: type, axis: int, scale_is_vector: bool, zero_is_vector: bool) -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (3, 4, 5), dtype=dtype, endpoint=True)
    size = data.shape[axis]
    scale: Any = random(size, low=0.1, high=1) if scale_is_vector else np.float32(0.3)
    zero: Any = rng.integers(5, 90, size).astype(dtype) if zero_is_vector else dtype(17)
    expected = np.zeros(data.shape)
    for place in places(data.shape):
        s = float(scale[place[axis]]) if scale_is_vector else float(scale)
        z = int(zero[place[axis]]) if zero_is_vector else int(zero)
        expected[place] = s * (int(data[place]) - z)
    found = shown("iOS16", data.shape, lambda: mb.constexpr_affine_dequantize(quantized_data=data, zero_point=zero, scale=scale, axis=axis))
    assert_close(found, expected, 1e-7)


@pytest.mark.parametrize("opset", ["iOS16", "iOS18"])
def test_cast(opset: str) -> None:
    values = random(3, 4).astype(np.float16)
    found = shown(opset, values.shape, lambda: mb.constexpr_cast(source_val=values, output_dtype="fp32"))
    np.testing.assert_array_equal(found, values.astype(np.float32))


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 3, 5)])
def test_packed_table(shape: tuple[int, ...], bits: int) -> None:
    numbers = np.random.default_rng(bits).integers(0, 2**bits, shape)
    lut = random(2**bits, seed=1)
    found = shown(
        "iOS16", shape, lambda: mb.constexpr_lut_to_dense(indices=packed(numbers, bits), lut=lut, shape=np.array(shape, np.uint32))
    )  # fmt: skip
    np.testing.assert_array_equal(found, np.array([lut[i] for i in numbers.ravel()]).reshape(shape))


def test_packed_table_of_the_documentation() -> None:
    """Two bits a number, i0 = 00, i1 = 11, i2 = 10, i3 = 01, i4 = 11."""
    indices, lut = np.array([0b01101100, 0b00000011], np.uint8), np.array([10, 20, 30, 40], np.float32)
    found = shown("iOS16", (5,), lambda: mb.constexpr_lut_to_dense(indices=indices, lut=lut, shape=np.array([5], np.uint32)))
    assert found.tolist() == [10, 40, 30, 20, 40]


@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 4)])
def test_packed_mask(shape: tuple[int, ...]) -> None:
    dense = np.where(np.random.default_rng(2).random(shape) < 0.6, random(*shape, low=1), 0).astype(np.float32)
    found = shown(
        "iOS16",
        shape,
        lambda: mb.constexpr_sparse_to_dense(nonzero_data=dense[dense != 0], mask=packed(dense != 0, 1), shape=np.array(shape, np.uint32)),
    )
    np.testing.assert_array_equal(found, dense)


DATA_TYPES = {
    "int4": (types.np_int4_dtype, -8, 7),
    "uint4": (types.np_uint4_dtype, 0, 15),
    "int8": (np.int8, -128, 127),
    "uint8": (np.uint8, 0, 255),
    "fp32": (np.float32, -9, 9),
}


@pytest.mark.parametrize("with_offset", [True, False])
@pytest.mark.parametrize("blocks", [(1, 1), (4, 1), (1, 6), (4, 2), (2, 3), (4, 6)])
@pytest.mark.parametrize("kind", DATA_TYPES)
def test_blockwise(kind: str, blocks: tuple[int, int], with_offset: bool) -> None:
    dtype, low, high = DATA_TYPES[kind]
    rng = np.random.default_rng(1)
    data = rng.integers(low, high, (4, 6), endpoint=True).astype(dtype)
    scale = random(*blocks, low=0.1, high=1)
    offset = rng.integers(low, high, blocks, endpoint=True).astype(dtype)
    given = {"offset": offset} if with_offset else {}
    expected = np.zeros(data.shape)
    for i, j in places(data.shape):
        block = i // (4 // blocks[0]), j // (6 // blocks[1])
        expected[i, j] = float(scale[block]) * (float(data[i, j]) - (float(offset[block]) if with_offset else 0))
    found = shown("iOS18", (4, 6), lambda: mb.constexpr_blockwise_shift_scale(data=data, scale=scale, **given))
    assert_close(found, expected, 1e-6)


def from_table(indices: np.ndarray, lut: np.ndarray, axis: int | None) -> np.ndarray:
    """One number at a time: its vector along ``axis``."""
    vector, at = lut.shape[-1], 0 if axis is None else axis % indices.ndim
    shape = list(indices.shape)
    shape[at] *= vector
    dense = np.zeros(shape)
    for place in places(indices.shape):
        block = tuple(index // (size // count) for index, size, count in zip(place, indices.shape, lut.shape, strict=False))
        for position in range(vector):
            target = list(place)
            target[at] = place[at] * vector + position
            dense[tuple(target)] = lut[(*block, int(indices[place]), position)]
    return dense


@pytest.mark.parametrize("blocks", [(1, 1), (4, 1), (2, 3)])
@pytest.mark.parametrize("bits", BITS)
def test_table(bits: int, blocks: tuple[int, int]) -> None:
    indices = np.random.default_rng(bits).integers(0, 2**bits, (4, 6)).astype(BITS[bits])
    lut = random(*blocks, 2**bits, 1)
    found = shown("iOS18", (4, 6), lambda: mb.constexpr_lut_to_dense(indices=indices, lut=lut))
    np.testing.assert_array_equal(found, from_table(indices, lut, None).astype(np.float32))


@pytest.mark.parametrize("blocks", [(1, 1, 1), (2, 1, 1), (1, 3, 1), (2, 3, 2)])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("vector", [2, 3])
def test_table_of_vectors(vector: int, axis: int, blocks: tuple[int, ...]) -> None:
    indices = np.random.default_rng(3).integers(0, 4, (2, 3, 4)).astype(BITS[2])
    lut = random(*blocks, 4, vector)
    expected = from_table(indices, lut, axis)
    found = shown("iOS18", expected.shape, lambda: mb.constexpr_lut_to_dense(indices=indices, lut=lut, vector_axis=axis))
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_tables_of_the_documentation() -> None:
    indices = np.array([2, 3, 3, 0, 1, 0, 3, 0, 2, 1, 0, 3]).reshape(6, 2).astype(BITS[2])
    lut = np.array([1, 5, 9, 13, 2, 10, 18, 26], np.float16).reshape(2, 1, 4, 1)
    found = shown("iOS18", (6, 2), lambda: mb.constexpr_lut_to_dense(indices=indices, lut=lut))
    assert found.tolist() == [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]]
    indices = np.array([[[0, 0], [1, 0]], [[1, 1], [0, 0]]]).astype(BITS[1])
    lut = np.array([1, 2, 3, -1, -2, -3], np.int8).reshape(1, 1, 1, 2, 3)
    found = shown("iOS18", (2, 6, 2), lambda: mb.constexpr_lut_to_dense(indices=indices, lut=lut, vector_axis=1))
    assert found[0].tolist() == [[1, 1], [2, 2], [3, 3], [-1, 1], [-2, 2], [-3, 3]]
    assert found[1].tolist() == [[-1, -1], [-2, -2], [-3, -3], [1, 1], [2, 2], [3, 3]]


@pytest.mark.parametrize("kind", DATA_TYPES)
@pytest.mark.parametrize("shape", [(5,), (3, 7)])
def test_mask(shape: tuple[int, ...], kind: str) -> None:
    dtype, low, high = DATA_TYPES[kind]
    rng = np.random.default_rng(4)
    mask = rng.integers(0, 2, shape)
    data = rng.integers(low, high, int(mask.sum()), endpoint=True)
    expected, rest = np.zeros(shape), iter(data)
    for place in places(shape):
        expected[place] = next(rest) if mask[place] else 0

    def weight():
        dense = mb.constexpr_sparse_to_dense(nonzero_data=data.astype(dtype), mask=mask.astype(BITS[1]))
        return dense if dtype == np.float32 else mb.constexpr_blockwise_shift_scale(data=dense, scale=np.ones([1] * len(shape), np.float32))

    np.testing.assert_array_equal(shown("iOS18", shape, weight), expected)


MASK = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1], [0, 1, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0]])
NUMBERS = np.array([0, 1, 1, 0, 1, 1, 0, 0, 1])


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("blocks", [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("saved", [False, True])
def test_table_and_mask(axis: int | None, blocks: tuple[int, int], saved: bool, tmp_path: Path) -> None:
    """The mask and the numbers are those of the documentation's example."""
    lut = random(*blocks, 2, 1 if axis is None else 2)
    dense = np.zeros(MASK.shape, int)
    dense[MASK == 1] = NUMBERS
    expected = from_table(dense, lut, axis) * from_table(MASK, np.array([0, 1]).reshape(1, 1, 2, 1).repeat(lut.shape[-1], -1), axis)
    given = {} if axis is None else {"vector_axis": axis}

    def weight():
        mask, data = mb.constexpr_lut_to_sparse(
            indices_mask=MASK.astype(BITS[1]), indices_nonzero_data=NUMBERS.astype(BITS[1]), lut=lut, **given
        )
        return mb.constexpr_sparse_to_dense(nonzero_data=data, mask=mask)

    found = shown("iOS18", expected.shape, weight, tmp_path if saved else None)
    np.testing.assert_array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize("with_offset", [True, False])
@pytest.mark.parametrize("blocks", [(1, 1), (4, 1), (1, 4), (2, 2)])
def test_scales_and_mask(blocks: tuple[int, int], with_offset: bool) -> None:
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]])
    data = np.array([10, 11, 3, 4, 5, 6, 7, 8, 9])
    scale, offset = random(*blocks, low=0.1, high=1), np.random.default_rng(0).integers(-5, 5, blocks).astype(np.int8)
    expected, rest = np.zeros((4, 4)), iter(data)
    for i, j in places((4, 4)):
        block = i // (4 // blocks[0]), j // (4 // blocks[1])
        if mask[i, j]:
            expected[i, j] = float(scale[block]) * (int(next(rest)) - (int(offset[block]) if with_offset else 0))
    given = {"offset": offset} if with_offset else {}

    def weight():
        kept, values = mb.constexpr_sparse_blockwise_shift_scale(
            data_mask=mask.astype(BITS[1]), nonzero_data=data.astype(np.int8), scale=scale, **given
        )
        return mb.constexpr_sparse_to_dense(nonzero_data=values, mask=kept)

    assert_close(shown("iOS18", (4, 4), weight), expected, 1e-6)


def test_quantized_table(tmp_path: Path) -> None:
    indices = np.random.default_rng(0).integers(0, 8, (4, 6)).astype(BITS[3])
    lut, scale = np.arange(-8, 8, dtype=np.int8).reshape(2, 1, 8, 1), np.array([0.5, 0.25], np.float32).reshape(2, 1, 1, 1)

    def weight():
        return mb.constexpr_lut_to_dense(indices=indices, lut=mb.constexpr_blockwise_shift_scale(data=lut, scale=scale))

    expected = from_table(indices, lut * scale.astype(np.float64), None)
    np.testing.assert_array_equal(shown("iOS18", (4, 6), weight), expected)
    np.testing.assert_array_equal(shown("iOS18", (4, 6), weight, tmp_path), expected)


WEIGHT = np.random.default_rng(11).normal(size=(24, 64)).astype(np.float32)


@cache
def linear_net(opset: str) -> Any:
    """One linear layer, converted."""
    layer = torch.nn.Linear(64, 24, bias=False)
    layer.weight.data = torch.from_numpy(WEIGHT)
    traced = torch.jit.trace(layer.eval(), torch.zeros(64, 64))
    return ct.convert(
        traced, inputs=[ct.TensorType(name="x", shape=(64, 64))], minimum_deployment_target=OPSETS[opset],
        compute_precision=ct.precision.FLOAT32, skip_model_load=True,
    )  # fmt: skip


def config(kind: str, **settings: Any) -> Any:
    return cto.OptimizationConfig(global_config=getattr(cto, f"Op{kind}Config")(weight_threshold=0, **settings))


def quantize(converted: Any, joint: bool = False, **settings: Any) -> Any:
    return cto.linear_quantize_weights(converted, config("LinearQuantizer", **settings), joint_compression=joint)


def palettize(converted: Any, joint: bool = False, **settings: Any) -> Any:
    return cto.palettize_weights(converted, config("Palettizer", **settings), joint_compression=joint)


def prune(converted: Any, sparsity: float = 0.5) -> Any:
    return cto.prune_weights(converted, config("MagnitudePruner", target_sparsity=sparsity))


# The compression, the operators that must come of it, the opset if one is needed, and the largest error that it can make.
COMPRESSIONS: dict[str, tuple[Callable[[Any], Any], set[str], str | None, float]] = {
    "int8 per channel": (lambda m: quantize(m, mode="linear_symmetric"), set(), None, 0.02),
    "int8 asymmetric": (lambda m: quantize(m, mode="linear"), set(), None, 0.02),
    "uint8": (lambda m: quantize(m, mode="linear", dtype="uint8"), set(), None, 0.02),
    "int8 per tensor": (lambda m: quantize(m, granularity="per_tensor"), set(), None, 0.03),
    "int8 per block": (lambda m: quantize(m, granularity="per_block", block_size=16), {"constexpr_blockwise_shift_scale"}, "iOS18", 0.02),
    "int4 per channel": (lambda m: quantize(m, dtype="int4"), {"constexpr_blockwise_shift_scale"}, "iOS18", 0.3),
    "uint4 per block": (
        lambda m: quantize(m, dtype="uint4", mode="linear", granularity="per_block", block_size=32),
        {"constexpr_blockwise_shift_scale"}, "iOS18", 0.3,
    ),
    "uniform 4 bits": (lambda m: palettize(m, mode="uniform", nbits=4), {"constexpr_lut_to_dense"}, None, 0.3),
    "uniform 6 bits": (lambda m: palettize(m, mode="uniform", nbits=6), {"constexpr_lut_to_dense"}, None, 0.08),
    "uniform 8 bits by groups": (
        lambda m: palettize(m, mode="uniform", nbits=8, granularity="per_grouped_channel", group_size=8),
        {"constexpr_lut_to_dense"}, "iOS18", 0.02,
    ),
    "uniform 3 bits": (lambda m: palettize(m, mode="uniform", nbits=3), {"constexpr_lut_to_dense"}, "iOS18", 0.6),
    "pruned": (prune, {"constexpr_sparse_to_dense"}, None, 0.8),
    "pruned and quantized": (
        lambda m: quantize(prune(m), joint=True, mode="linear_symmetric"),
        {"constexpr_sparse_to_dense", "constexpr_sparse_blockwise_shift_scale"}, "iOS18", 0.8,
    ),
    "pruned and palettized": (
        lambda m: palettize(prune(m), joint=True, mode="uniform", nbits=4),
        {"constexpr_sparse_to_dense", "constexpr_lut_to_sparse"}, "iOS18", 0.8,
    ),
    "palettized and quantized": (
        lambda m: quantize(palettize(m, mode="uniform", nbits=6), joint=True, mode="linear_symmetric", granularity="per_tensor"),
        {"constexpr_lut_to_dense", "constexpr_blockwise_shift_scale"}, "iOS18", 0.1,
    ),
}  # fmt: skip


def materialized(operation: Any) -> np.ndarray:
    """What coremltools makes of it; it does not look for the values of a table that is itself compressed."""
    lut = operation.inputs.get("lut")
    if lut is None or lut.val is not None:
        return operation.materialized_val_inference()
    return operation.decompress(operation.indices.val, materialized(lut.op), None)


CASES = [(name, opset) for name, (_, _, needed, _) in COMPRESSIONS.items() for opset in ("iOS16", "iOS18") if needed in (None, opset)]


@pytest.mark.parametrize(("name", "opset"), CASES)
def test_what_coremltools_compressed(name: str, opset: str, tmp_path: Path) -> None:
    compress, operators, _, error = COMPRESSIONS[name]
    path = tmp_path / "compressed.mlpackage"
    compress(linear_net(opset)).save(str(path))
    package = open_package(path)
    layers = package.program.functions["main"].operations
    found_operators = {layer.op_type for layer in layers if layer.op_type.startswith("constexpr_")}
    assert found_operators >= (operators or {"constexpr_affine_dequantize" if opset == "iOS16" else "constexpr_blockwise_shift_scale"})
    (linear,) = (layer for layer in layers if layer.op_type == "linear")
    weight = materialized(linear.weight.op)
    found = only(list(Evaluator(package).run({"x": np.eye(64, dtype=np.float32)}).values())).T
    assert_close(found, weight, 1e-6)
    assert 1e-5 < np.abs(found - WEIGHT).max() < error


def test_unique_values(tmp_path: Path) -> None:
    values = np.array([-1.5, 0.25, 0.5, 3.0], np.float32)
    layer = torch.nn.Linear(64, 24, bias=False)
    layer.weight.data = torch.from_numpy(values[np.random.default_rng(0).integers(0, 4, (24, 64))])
    traced = torch.jit.trace(layer.eval(), torch.zeros(64, 64))
    converted = ct.convert(
        traced, inputs=[ct.TensorType(name="x", shape=(64, 64))], minimum_deployment_target=ct.target.iOS16,
        compute_precision=ct.precision.FLOAT32, skip_model_load=True,
    )  # fmt: skip
    path = tmp_path / "unique.mlpackage"
    palettize(converted, mode="unique").save(str(path))
    package = open_package(path)
    assert "constexpr_lut_to_dense" in {layer.op_type for layer in package.program.functions["main"].operations}
    found = only(list(Evaluator(package).run({"x": np.eye(64, dtype=np.float32)}).values())).T
    np.testing.assert_array_equal(found, layer.weight.detach().numpy())
