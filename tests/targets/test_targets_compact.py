"""``.ort`` files that say everything once: read by ONNX Runtime's own accessors, and run by it."""

import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import onnxruntime
import pytest
import torch
from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession
from torch import nn

from instantstyle.targets.android.compact import KNOWN, UnknownFieldError, compact, read

SIZE = (1, 3, 16, 16)
CONVERT = """import sys
from pathlib import Path
from instantstyle.targets.android.ort_format import to_ort_format
to_ort_format(Path(sys.argv[1]), Path(sys.argv[2]), halve=False)"""


def exported(folder: Path) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(*(layer for width in (3, 8, 8, 8) for layer in (nn.Conv2d(width, 8, 3, 1, 1), nn.ReLU())))
    folder.mkdir()
    torch.onnx.export(net.eval(), (torch.zeros(SIZE),), folder / "net.onnx", dynamo=True, external_data=False, verbose=False)
    return folder


@pytest.fixture(scope="module")
def as_written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What ONNX Runtime writes by itself."""
    folder = tmp_path_factory.mktemp("ort")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "net.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(exported(folder / "onnx") / "net.onnx", options, providers=["CPUExecutionProvider"])
    return (folder / "net.ort").read_bytes()


def said(content: bytes) -> tuple[list[object], list[object], list[object], dict[int, object], dict[str, str]]:
    """Nodes, values, constants, edges and metadata, by the accessors that ONNX Runtime brings."""
    model = InferenceSession.GetRootAs(content, 0).Model()
    graph = model.Graph()  # pyright: ignore[reportOptionalMemberAccess]
    nodes, values, constants, edges = [], [], [], {}
    for node in map(graph.Nodes, range(graph.NodesLength())):
        names = [
            list(map(each, range(length))) for each, length in ((node.Inputs, node.InputsLength()), (node.Outputs, node.OutputsLength()))
        ]
        attributes = [
            (each.Name(), each.I(), each.F(), each.S(), *each.IntsAsNumpy()) if each.IntsLength() else (each.Name(), each.I())
            for each in map(node.Attributes, range(node.AttributesLength()))
        ]
        nodes.append((node.Name(), node.OpType(), node.Domain(), node.SinceVersion(), node.Index(), names, attributes))
    for value in map(graph.NodeArgs, range(graph.NodeArgsLength())):
        table = value.Type().Value()
        values.append((value.Name(), value.Type().ValueType(), table is not None))
    for tensor in map(graph.Initializers, range(graph.InitializersLength())):
        constants.append((tensor.Name(), tensor.DataType(), tuple(tensor.DimsAsNumpy()), tensor.RawDataAsNumpy().tobytes()))
    for edge in map(graph.NodeEdges, range(graph.NodeEdgesLength())):
        edges[edge.NodeIndex()] = [
            (end.NodeIndex(), end.SrcArgIndex(), end.DstArgIndex()) for end in map(edge.OutputEdges, range(edge.OutputEdgesLength()))
        ]
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return nodes, sorted(values), sorted(constants), edges, session.get_modelmeta().custom_metadata_map


def test_the_installed_onnx_runtime_is_the_one_whose_schema_is_known() -> None:
    assert onnxruntime.__version__.startswith(KNOWN)


def test_nothing_is_lost_and_equal_numbers_come_out(as_written: bytes) -> None:
    made = compact(as_written)
    assert said(made) == said(as_written) and len(said(made)[0]) >= 4
    assert len(made) < 0.9 * len(as_written)
    assert read(made) == read(as_written) and compact(made) == made
    image = np.random.default_rng(0).standard_normal(SIZE).astype(np.float32)
    results = []
    for content in (as_written, made):
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        results.append(session.run(None, {session.get_inputs()[0].name: image})[0])
    assert np.array_equal(*results) and np.abs(results[0]).max() > 0


def test_a_field_of_a_newer_onnx_runtime_is_not_lost(as_written: bytes) -> None:
    builder = flatbuffers.Builder(64)
    text = builder.CreateString("1.99.0")
    builder.StartObject(6)
    builder.PrependUOffsetTRelativeSlot(0, text, 0)
    builder.PrependUint8Slot(5, 1, 0)
    builder.Finish(builder.EndObject(), b"ORTM")
    with pytest.raises(UnknownFieldError, match="field 5 of InferenceSession"):
        compact(bytes(builder.Output()))


def test_files_of_other_processes_are_equal(tmp_path: Path) -> None:
    source, found = exported(tmp_path / "onnx"), []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        subprocess.run([sys.executable, "-c", CONVERT, str(source), str(tmp_path / name)], check=True, capture_output=True)
        found.append((tmp_path / name / "net.ort").read_bytes())
    assert found[0] == found[1]
