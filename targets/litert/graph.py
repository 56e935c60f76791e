"""The graph that is being written: values, constants and the moves between memory layouts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .flatbuffer import FileBuilder, Grid, Value

# Where PyTorch has (N, C, H, W), LiteRT's operators want (N, H, W, C).
CHANNELS_LAST = (0, 2, 3, 1)
INT8, FLOAT, HALF, INT32 = (np.dtype(kind) for kind in (np.int8, np.float32, np.float16, np.int32))
# Weights below this size are not worth an operator that widens them.
SMALLEST = 512
# The lowest version of each operator that has int8, where that is not the first.
INT8_VERSIONS = {
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "TRANSPOSE_CONV": 3, "ADD": 2, "MUL": 2, "CONCATENATION": 2,
    "MAX_POOL_2D": 2, "AVERAGE_POOL_2D": 2, "RESIZE_BILINEAR": 2, "RESIZE_NEAREST_NEIGHBOR": 2, "DEPTH_TO_SPACE": 2, "PAD": 2, "PADV2": 2,
    "MIRROR_PAD": 2, "STRIDED_SLICE": 2, "TRANSPOSE": 2, "DEQUANTIZE": 2, "QUANTIZE": 2,
}  # fmt: skip
# Of those whose options are newer than their first version: half-pixel centres, a bias, kept dimensions.
VERSIONS = {"RESIZE_BILINEAR": 3, "RESIZE_NEAREST_NEIGHBOR": 3, "TRANSPOSE_CONV": 3}


class Graph:
    """Wraps the file with what all operators need.

    Args:
        halve: whether large float weights are stored in 16 bits.
    """

    def __init__(self, halve: bool) -> None:
        self.file = FileBuilder()
        self.schema: Any = self.file.schema
        self._halve = halve
        self._moved: dict[tuple[int, tuple[int, ...]], Value] = {}
        self._real: dict[int, Value] = {}

    def input(self, name: str, shape: Sequence[int]) -> Value:
        """An input of the graph, PyTorch's shape given; images come with their channels last."""
        order = natural(len(shape))
        physical = permuted(shape, order)
        return Value(self.file.tensor(name, physical, FLOAT), physical, FLOAT, order)

    def constant(self, name: str, array: np.ndarray, grid: Grid | None = None, order: tuple[int, ...] | None = None) -> Value:
        """A constant as it lies in memory."""
        array = np.asarray(array)
        index = self.file.tensor(name, array.shape, array.dtype, grid, array)
        return Value(index, array.shape, array.dtype, order or tuple(range(array.ndim)), grid)

    def weight(self, name: str, array: np.ndarray, grid: Grid | None = None) -> Value:
        """A float weight, or integers with a grid, widened to float32 by an operator if it is stored in fewer bits."""
        if grid is not None:
            return self.real(self.constant(name, array, grid))
        array = array.astype(np.float32)
        if not self._halve or array.size < SMALLEST or np.abs(array).max() > np.finfo(np.float16).max:
            return self.constant(name, array)
        stored = self.constant(f"{name}.half", array.astype(np.float16))
        return self.add("DEQUANTIZE", name, [stored], stored.shape, FLOAT, stored.order, version=3)

    def add(
        self,
        operator: str,
        name: str,
        inputs: Sequence[Value],
        shape: Sequence[int],
        dtype: np.dtype,
        order: tuple[int, ...],
        options: Any = None,
        grid: Grid | None = None,
        version: int = 0,
    ) -> Value:
        """Adds an operator with one output, whose shape in memory is given."""
        shape = tuple(int(length) for length in shape)
        index = self.file.tensor(name, shape, dtype, grid)
        least = INT8_VERSIONS.get(operator, 1) if any(each.dtype == INT8 for each in inputs) else 1
        self.file.operator(operator, [each.index for each in inputs], [index], version or max(least, VERSIONS.get(operator, 1)), options)
        return Value(index, shape, dtype, order, grid)

    def real(self, value: Value) -> Value:
        """A value as float32."""
        if value.dtype == FLOAT:
            return value
        if value.index not in self._real:
            version = 5 if value.grid is not None and np.size(value.grid.scale) > 1 else 2
            made = self.add("DEQUANTIZE", f"v{value.index}.float", [value], value.shape, FLOAT, value.order, version=version)
            self._real[value.index] = made
        return self._real[value.index]

    def quantized(self, value: Value, grid: Grid, name: str) -> Value:
        """A value as int8 on a grid."""
        if value.grid is not None and same_grid(value.grid, grid):
            return value
        return self.add("QUANTIZE", name, [value], value.shape, INT8, value.order, grid=grid)

    def ordered(self, value: Value, order: tuple[int, ...]) -> Value:
        """A value with its axes in another order in memory."""
        if value.order == order:
            return value
        key = value.index, order
        if key not in self._moved:
            moves = [value.order.index(axis) for axis in order]
            shape = tuple(value.shape[axis] for axis in moves)
            name = f"v{value.index}.{''.join(map(str, order))}"
            long = [axis for axis in moves if value.shape[axis] != 1]
            if long == sorted(long):
                made = self.reshaped(value, shape, name)
                made = Value(made.index, shape, made.dtype, order, made.grid)
            else:
                axes = self.constant(f"{name}.axes", np.array(moves, np.int32))
                options = self.schema.TransposeOptionsT()
                made = self.add("TRANSPOSE", name, [value, axes], shape, value.dtype, order, options, value.grid)
            self._moved[key] = made
        return self._moved[key]

    def plain(self, value: Value) -> Value:
        """In PyTorch's order."""
        return self.ordered(value, tuple(range(len(value.shape))))

    def channels_last(self, value: Value) -> Value:
        """As convolutions, pools and resizing want it."""
        return self.ordered(value, CHANNELS_LAST)

    def reshaped(self, value: Value, shape: Sequence[int], name: str) -> Value:
        """The same numbers in memory with another shape, in PyTorch's order."""
        shape = tuple(int(length) for length in shape)
        if value.shape == shape:
            return value
        lengths = self.constant(f"{name}.shape", np.array(shape, np.int32))
        options = self.schema.ReshapeOptionsT(newShape=list(shape))
        return self.add("RESHAPE", name, [value, lengths], shape, value.dtype, tuple(range(len(shape))), options, value.grid)

    def named(self, value: Value, name: str) -> Value:
        """The same numbers in a tensor of their own."""
        lengths = self.constant(f"{name}.shape", np.array(value.shape, np.int32))
        options = self.schema.ReshapeOptionsT(newShape=list(value.shape))
        return self.add("RESHAPE", name, [value, lengths], value.shape, value.dtype, value.order, options, value.grid)


def natural(rank: int) -> tuple[int, ...]:
    """Channels last where there are pictures."""
    return CHANNELS_LAST if rank == 4 else tuple(range(rank))


def permuted(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """A shape with its axes in another order."""
    return tuple(int(shape[axis]) for axis in order)


def logical(value: Value) -> tuple[int, ...]:
    """PyTorch's shape of a value."""
    return tuple(value.shape[value.order.index(axis)] for axis in range(len(value.shape)))


def same_grid(one: Grid, other: Grid) -> bool:
    """Whether integers stand for the same numbers."""
    return one.zero_point == other.zero_point and np.array_equal(np.float32(one.scale), np.float32(other.scale))
