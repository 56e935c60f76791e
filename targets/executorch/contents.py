"""What is in a ``.pte`` file: its interface, and the graphs that XNNPACK is handed.

Both are flatbuffers, which the ``flatc`` of ExecuTorch's package turns into JSON.
"""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..declared import Declared
from ..pt2.archive import named

# The method beside ``forward`` that returns names and facts as a text: the format has no metadata, nor names of inputs and outputs.
FACTS = "instantstyle"
XNNPACK = "XnnpackBackend"
XNNPACK_SCHEMA = ("backends/xnnpack/serialization/schema.fbs",)
PROFILE_SCHEMA = ("devtools/etdump/etdump_schema_flatcc.fbs", "devtools/etdump/scalar_type.fbs")
# XNNPACK's nodes; of all others it does not matter what they read.
CONVOLUTIONS = frozenset({"XNNConv2d", "XNNDepthwiseConv2d", "XNNConvTranspose2d"})
LINEAR = "XNNFullyConnected"
INTEGERS, WEIGHTS = "xnn_datatype_qint8", frozenset({"xnn_datatype_qcint8", "xnn_datatype_qint8"})
# What flatc writes of numbers that JSON has not: ends of a range.
NO_NUMBER = re.compile(rb"(?<=[:,\[\s])-?(?:inf|nan)(?=[\s,\]}])")
PORTABLE_CONVOLUTION = "aten::convolution"


@dataclass(frozen=True)
class Contents:
    """Layers of a file.

    Attributes:
        convolutions: XNNPACK's and those that ExecuTorch's portable kernels compute.
        int8_convolutions: those that XNNPACK is handed with int8 inputs, int8 weights and int8 results.
        int8_linears: the same of fully connected layers.
        portable: calls of ExecuTorch's own kernels by operator, most frequent first.
    """

    convolutions: int
    int8_convolutions: int
    int8_linears: int
    portable: tuple[tuple[str, int], ...]


def contents(data: bytes) -> Contents:
    """Of a file's ``forward``. Raises whatever ExecuTorch's reader raises of a damaged file."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    program = deserialize_pte_binary(data).program
    (plan,) = (each for each in program.execution_plan if each.name == "forward")
    calls: Counter[str] = Counter()
    for instruction in (each.instr_args for chain in plan.chains for each in chain.instructions):
        place = getattr(instruction, "op_index", None)
        if place is not None:
            calls[plan.operators[place].name] += 1
    blobs = [program.backend_delegate_data[each.processed.index].data for each in plan.delegates if each.id == XNNPACK]
    layers = [layer for blob in blobs for layer in _layers(_graph(blob))]
    int8 = Counter(kind in CONVOLUTIONS for kind, integers in layers if integers)
    total = sum(kind in CONVOLUTIONS for kind, _ in layers) + calls[PORTABLE_CONVOLUTION]
    return Contents(total, int8[True], int8[False], tuple(calls.most_common()))


def declared(text: str, method: Any) -> Declared:
    """The interface of a method: types and shapes are its own, names and facts in a text beside it."""
    data = method.metadata
    inputs = [_tensor(data.input_tensor_meta(place)) for place in range(data.num_inputs())]
    return named(text, inputs, [_tensor(data.output_tensor_meta(place)) for place in range(data.num_outputs())])


def kernels(profile: bytes) -> tuple[tuple[str, int], ...]:
    """What a profiled run executed: XNNPACK's kernels and ExecuTorch's own by name, most frequent first."""
    found: Counter[str] = Counter()
    runs = _json(PROFILE_SCHEMA, profile, "--size-prefixed")["run_data"]
    for event in (each.get("profile_event") or {} for run in runs for each in run.get("events") or ()):
        # XNNPACK's are numbered: "Convolution (NHWC, QC8) IGEMM #2".
        name = event.get("delegate_debug_id_str") or event.get("name") or ""
        if "#" in name or name.startswith("native_call_"):
            found[name.partition(" #")[0].removeprefix("native_call_")] += 1
    return tuple(found.most_common())


def _graph(blob: bytes) -> Mapping[str, Any]:
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader

    header = XNNHeader.from_bytes(blob[: XNNHeader.EXPECTED_LENGTH])
    return _json(XNNPACK_SCHEMA, blob[header.flatbuffer_offset : header.flatbuffer_offset + header.flatbuffer_size])


def _layers(graph: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Kind of each layer, and whether inputs, weights and results are integers."""
    types: dict[int, str] = {}
    for value in (each["xvalue_union"] for each in graph["xvalues"]):
        tensor = value.get("tensor_value", value)
        types[tensor["id_out"]] = tensor["datatype"]
    for node in graph["xnodes"]:
        kind, layer = node["xnode_union_type"], node["xnode_union"]
        if kind in CONVOLUTIONS or kind == LINEAR:
            ends = types[layer["input1_id"]], types[layer["output_id"]]
            yield kind, ends == (INTEGERS, INTEGERS) and types[layer["filter_id"]] in WEIGHTS


def _tensor(info: Any) -> tuple[str, tuple[int, ...]]:
    from executorch.exir.scalar_type import ScalarType

    kind = ScalarType(info.dtype())
    return "float32" if kind is ScalarType.FLOAT else kind.name.lower(), tuple(info.sizes())


def _json(schema: tuple[str, ...], data: bytes, option: str = "--raw-binary") -> dict[str, Any]:
    """A flatbuffer by its schema, the first of the files, which the others are included in."""
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    with tempfile.TemporaryDirectory(prefix="instantstyle-") as root:
        for name in schema:
            (Path(root) / Path(name).name).write_bytes((files("executorch") / name).read_bytes())
        (Path(root) / "data.bin").write_bytes(data)
        _flatc_decompile(root, str(Path(root) / Path(schema[0]).name), str(Path(root) / "data.bin"), [option])
        return json.loads(NO_NUMBER.sub(b"null", (Path(root) / "data.json").read_bytes()))
