"""Writes an ``.ort`` file again so that it says everything once: equal names, shapes and constants share their bytes.

ONNX Runtime writes the type of every tensor out, a table for each length of each shape, and lists tensors in the order of a hash table
that every process seeds anew. Sharing takes a tenth off a small file, and tensors by name make equal graphs equal files. The schema is
``ort.fbs`` of ONNX Runtime 1.32 (onnxruntime/core/flatbuffers/schema).
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import flatbuffers

# The version whose fields the tables below are.
KNOWN = "1.32."
IDENTIFIER = b"ORTM"
# Numbers by their width in bytes; of a list in brackets, of its elements. "edges" are structs of three numbers.
NUMBERS = {"8": 1, "32": 4, "64": 8}
LISTS = {"[8]": (1, 1), "[32]": (4, 4), "[64]": (8, 8), "edges": (12, 4)}
TABLES: Mapping[str, tuple[str, ...]] = {
    "InferenceSession": ("text", "Model", "unused", "KernelTypeStrResolver"),
    "Model": ("64", "[OperatorSetId]", "text", "text", "text", "64", "text", "Graph", "text", "[StringStringEntry]"),
    "OperatorSetId": ("text", "64"),
    "StringStringEntry": ("text", "text"),
    "Graph": ("[Tensor]", "[ValueInfo]", "[Node]", "32", "[NodeEdge]", "[text]", "[text]", "[SparseTensor]", "RuntimeOptimizations"),
    "SparseTensor": ("Tensor", "Tensor", "[64]"),
    "RuntimeOptimizations": ("unused",),
    "Tensor": ("text", "text", "[64]", "32", "[8]", "[text]", "64"),
    "ValueInfo": ("text", "text", "TypeInfo"),
    "TypeInfo": ("text", "8", "TensorTypeAndShape"),
    "TensorTypeAndShape": ("32", "Shape"),
    "Shape": ("[Dimension]",),
    "Dimension": ("DimensionValue", "text"),
    "DimensionValue": ("8", "64", "text"),
    "Node": ("text", "text", "text", "32", "32", "text", "32", "text", "[text]", "[text]", "[Attribute]", "[32]", "[text]"),
    "NodeEdge": ("32", "edges", "edges"),
    "Attribute": ("text", "text", "32", "32", "64", "text", "Tensor", "Graph", "[32]", "[64]", "[text]", "[Tensor]", "[Graph]"),
    "KernelTypeStrResolver": ("[OpIdKernelTypeStrArgsEntry]",),
    "OpIdKernelTypeStrArgsEntry": ("text", "[KernelTypeStrArgsEntry]"),
    "KernelTypeStrArgsEntry": ("text", "[ArgTypeAndIndex]"),
    "ArgTypeAndIndex": ("8", "32"),
}
# Lists that ONNX Runtime reads into tables by name, so that their order says nothing.
UNORDERED = {"[Tensor]", "[ValueInfo]", "[OpIdKernelTypeStrArgsEntry]", "[KernelTypeStrArgsEntry]"}


class UnknownFieldError(Exception):
    """The file has a field that the schema here does not."""


class Value(NamedTuple):
    """A field as it is read: its kind, and its bytes, fields by slot, or elements. Equal ones are written once."""

    kind: str
    said: Any


# What the second field of a tensor's type holds.
TENSOR = Value("8", b"\x01")


def compact(content: bytes) -> bytes:
    """The same model in fewer bytes, the same for equal models.

    Raises:
        UnknownFieldError: a newer ONNX Runtime wrote something that would be lost.
    """
    import flatbuffers

    session = read(content)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(_Writer(builder).write(session), IDENTIFIER)
    return bytes(builder.Output())


def read(content: bytes) -> Value:
    """All that an ``.ort`` file says, without its layout."""
    return _table(content, struct.unpack_from("<I", content)[0], "InferenceSession")


def _table(content: bytes, at: int, kind: str) -> Value:
    layout = at - struct.unpack_from("<i", content, at)[0]
    slots = (struct.unpack_from("<H", content, layout)[0] - 4) // 2
    offsets = struct.unpack_from(f"<{slots}H", content, layout + 4)
    fields = TABLES[kind]
    found = []
    for slot, offset in enumerate(offsets):
        if offset:
            field = fields[slot] if slot < len(fields) else "unused"
            if field == "unused":
                raise UnknownFieldError(f"field {slot} of {kind} is not in the schema of ONNX Runtime {KNOWN[:-1]}")
            found.append((slot, _field(content, at + offset, field)))
    if kind == "TypeInfo" and (1, TENSOR) not in found:
        raise UnknownFieldError("a type that is no tensor's")
    return Value(kind, tuple(found))


def _field(content: bytes, at: int, kind: str) -> Value:
    if kind in NUMBERS:
        return Value(kind, content[at : at + NUMBERS[kind]])
    at += struct.unpack_from("<I", content, at)[0]
    if kind in TABLES:
        return _table(content, at, kind)
    (length,) = struct.unpack_from("<I", content, at)
    if kind == "text":
        return Value(kind, content[at + 4 : at + 4 + length])
    if kind in LISTS:
        return Value(kind, content[at + 4 : at + 4 + length * LISTS[kind][0]])
    elements = (_field(content, at + 4 + 4 * index, kind[1:-1]) for index in range(length))
    return Value(kind, tuple(sorted(elements) if kind in UNORDERED else elements))


class _Writer:
    """Writes each different value once."""

    def __init__(self, builder: "flatbuffers.Builder") -> None:
        self._builder = builder
        self._written: dict[Value, int] = {}

    def write(self, value: Value) -> int:
        """Where it begins, from the end of the file."""
        if value not in self._written:
            self._written[value] = self._write(value)
        return self._written[value]

    def _write(self, value: Value) -> int:
        kind, said = value
        if isinstance(said, bytes):
            return self._builder.CreateString(said) if kind == "text" else self._numbers(said, *LISTS[kind])
        if kind in TABLES:
            return self._write_table(kind, said)
        places = [self.write(element) for element in said]
        self._builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            self._builder.PrependUOffsetTRelative(place)
        return self._builder.EndVector()

    def _numbers(self, said: bytes, width: int, alignment: int) -> int:
        self._builder.StartVector(width, len(said) // width, alignment)
        self._builder.head = self._builder.Head() - len(said)
        self._builder.Bytes[self._builder.Head() : self._builder.Head() + len(said)] = said
        return self._builder.EndVector()

    def _write_table(self, kind: str, fields: Sequence[tuple[int, Value]]) -> int:
        places = {slot: self.write(value) for slot, value in fields if value.kind not in NUMBERS}
        prepend: dict[str, Callable[[int, int, None], None]] = {
            "8": self._builder.PrependUint8Slot,
            "32": self._builder.PrependUint32Slot,
            "64": self._builder.PrependUint64Slot,
        }
        self._builder.StartObject(len(TABLES[kind]))
        # The widest first, so that no gaps are left between them.
        for slot, (field, said) in sorted(fields, key=lambda each: -NUMBERS.get(each[1].kind, 4)):
            if slot in places:
                self._builder.PrependUOffsetTRelativeSlot(slot, places[slot], 0)
            else:
                prepend[field](slot, int.from_bytes(said, "little"), None)
        return self._builder.EndObject()
