"""Writes a ``.tflite`` file: tensors, operators and constants of one graph, in the flatbuffer schema that ai-edge-litert brings along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SCHEMA_VERSION = 3
IDENTIFIER = b"TFL3"
SIGNATURE = "serving_default"
# What runtimes load with vector instructions: the schema's force_align.
ALIGNMENT = 16


@dataclass(frozen=True)
class Grid:
    """Number = scale * (integer - zero point); several scales belong to the positions of ``axis``."""

    scale: np.ndarray
    zero_point: int = 0
    axis: int = 0


@dataclass(frozen=True)
class Value:
    """A tensor of the file.

    Attributes:
        shape: as it lies in memory.
        order: which axis of PyTorch's tensor each axis in memory is: (0, 2, 3, 1) for channels last.
        grid: of integers that stand for numbers.
    """

    index: int
    shape: tuple[int, ...]
    dtype: np.dtype
    order: tuple[int, ...]
    grid: Grid | None = None


class FileBuilder:
    """Collects a graph; ``finish`` gives the file."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}
        # The schema wants an empty one first.
        self._buffers: dict[bytes, int] = {b"": 0}

    @property
    def kinds(self) -> frozenset[str]:
        """Of the operators so far."""
        names = {number: name for name, number in vars(self.schema.BuiltinOperator).items() if isinstance(number, int)}
        return frozenset(names[code] for code, _ in self._codes)

    def tensor(self, name: str, shape: Sequence[int], dtype: np.dtype, grid: Grid | None = None, data: np.ndarray | None = None) -> int:
        """Adds a tensor, a constant if it has data; returns its index."""
        quantization = None
        if grid is not None:
            scales = np.atleast_1d(grid.scale).astype(np.float32)
            zero_points = np.full(scales.size, grid.zero_point, np.int64)
            quantization = self.schema.QuantizationParametersT(scale=scales, zeroPoint=zero_points, quantizedDimension=grid.axis)
        buffer = self._buffer(np.ascontiguousarray(data).tobytes()) if data is not None else self._buffer(b"")
        kind = getattr(self.schema.TensorType, np.dtype(dtype).name.upper())
        shapes = np.array(shape, np.int32)
        self._tensors.append(self.schema.TensorT(shape=shapes, type=kind, buffer=buffer, name=name, quantization=quantization))
        return len(self._tensors) - 1

    def _buffer(self, content: bytes) -> int:
        return self._buffers.setdefault(content, len(self._buffers))

    def operator(self, name: str, inputs: Sequence[int], outputs: Sequence[int], version: int, options: Any = None) -> None:
        """Adds an operator, e.g. ``CONV_2D``, with its options as the schema calls them, e.g. ``Conv2DOptionsT``."""
        code = getattr(self.schema.BuiltinOperator, name), version
        made = self.schema.OperatorT(
            opcodeIndex=self._codes.setdefault(code, len(self._codes)), inputs=list(inputs), outputs=list(outputs), builtinOptions=options
        )
        if options is not None:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._operators.append(made)

    def finish(self, name: str, inputs: Mapping[str, int], outputs: Mapping[str, int], facts: Mapping[str, str]) -> bytes:
        """The file. Inputs and outputs by name, in order; ``facts`` go into its metadata."""
        import flatbuffers

        class Builder(flatbuffers.Builder):
            """With aligned constants."""

            def CreateNumpyVector(self, x: np.ndarray) -> int:
                self.StartVector(1, x.nbytes, ALIGNMENT) if x.dtype == np.uint8 else self.StartVector(x.itemsize, x.size, x.itemsize)
                self.head = self.head - x.nbytes
                self.Bytes[self.head : self.head + x.nbytes] = x.tobytes()
                self.vectorNumElems = x.size
                return self.EndVector()

        schema = self.schema
        graph = schema.SubGraphT(tensors=self._tensors, operators=self._operators, name=name)
        graph.inputs, graph.outputs = list(inputs.values()), list(outputs.values())
        metadata = [schema.MetadataT(name=key, buffer=self._buffer(value.encode())) for key, value in facts.items()]
        buffers = [schema.BufferT(data=np.frombuffer(content, np.uint8) if content else None) for content in self._buffers]
        model = schema.ModelT(version=SCHEMA_VERSION, subgraphs=[graph], buffers=buffers, metadata=metadata, description=name)
        model.operatorCodes = [
            # The old field is one byte.
            schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)
            for code, version in self._codes
        ]
        model.signatureDefs = [schema.SignatureDefT(_named(schema, inputs), _named(schema, outputs), SIGNATURE, 0)]
        builder = Builder(1024)
        builder.Finish(model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())


def _named(schema: Any, tensors: Mapping[str, int]) -> list[Any]:
    return [schema.TensorMapT(name=name, tensorIndex=index) for name, index in tensors.items()]
