"""Int8 convolutions are counted by what a program needs: equal calls once, dead ones never, and lost ones by name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from instantstyle.capture.program import Program
from instantstyle.compression.quantization.capture import capture
from instantstyle.compression.quantization.ranges import calibrate
from instantstyle.model.graph import Sample, single_graph
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import CaptureError, ExecutionError
from instantstyle.targets.android.target import AndroidTarget
from instantstyle.targets.base import Target
from instantstyle.targets.convolutions import convolutions, missing, repeated_note
from instantstyle.targets.coreml.target import CoreMLTarget
from instantstyle.targets.onnx import target as onnx_target
from instantstyle.targets.onnx.rewrites.count import Int8Convolutions
from instantstyle.targets.onnx.target import OnnxTarget
from instantstyle.targets.tensorrt.target import TensorRTRTXTarget

SIZE = (32, 48)
TARGETS = (OnnxTarget(), AndroidTarget(), CoreMLTarget(), TensorRTRTXTarget().configured({"capabilities": [89]}))


class Net(nn.Module):
    """One convolution read by nobody, or called twice on one tensor, or on two."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.twice, self.last = nn.Conv2d(3, 16, 3, 1, 1), nn.Conv2d(16, 16, 3, 1, 1), nn.Conv2d(16, 3, 3, 1, 1)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(torch.relu(self.first(x)))
        other = torch.relu(self.twice(x))
        if self.kind == "equal":
            x = torch.relu(self.twice(x)) + other
        elif self.kind == "other":
            x = torch.relu(self.twice(other)) + other
        return torch.tanh(self.last(self.drop(x)))


def quantised(kind: str) -> Program:
    torch.manual_seed(0)
    model, settings = single_graph(Net(kind).eval()), QuantizeSettings(method="ptq", observer="min_max")
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, *SIZE)).astype(np.float32)
    table = calibrate(
        model,
        [Sample("a", {"image": image})],
        total=1,
        size=SIZE,
        tuned={},
        settings=settings,
        image_set_sha256="x",
        report=lambda *_: None,
    )
    return capture(model, SIZE, table=table, tuned={}, settings=settings)


NEEDED = {
    "dead": [("first", 1), ("last", 1)],
    "equal": [("first", 1), ("twice", 1), ("last", 1)],
    "other": [("first", 1), ("twice", 1), ("twice", 1), ("last", 1)],
}


@pytest.mark.parametrize("kind", NEEDED)
def test_what_a_program_needs(kind: str) -> None:
    (graph,) = quantised(kind).graphs
    found = convolutions(graph, Precision.INT8)
    assert [(each.module_path, len(each.names)) for each in found] == NEEDED[kind]
    assert all(each.int8 for each in found)


def test_equal_calls_that_are_left_in_a_program_count_once() -> None:
    """As ``torch.export`` leaves them."""
    torch.manual_seed(0)
    (graph,) = quantised("other").graphs
    raw = torch.export.export(Net("equal").eval(), (torch.zeros(1, 3, *SIZE),), strict=False)
    found = convolutions(replace(graph, float_program=raw), Precision.FLOAT32)
    assert [(each.module_path, each.names) for each in found] == [
        ("first", ("conv2d",)),
        ("twice", ("conv2d_1", "conv2d_2")),
        ("last", ("conv2d_3",)),
    ]
    assert repeated_note(graph, found) == ("model: equal calls of 'twice' are computed once",)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("kind", ["dead", "equal"])
def test_all_that_is_needed_runs_in_int8(target: Target, kind: str, tmp_path: Path) -> None:
    program = quantised(kind)
    artifact = target.emit(program, Precision.INT8, tmp_path)
    with target.open(artifact, tmp_path, "model", 1) as runner:
        assert (
            runner.execution.int8_convolutions
            == artifact.graphs[0].int8_convolutions
            == len(convolutions(program.graphs[0], Precision.INT8))
        )


@pytest.mark.parametrize("target", TARGETS[::2], ids=lambda target: target.name)
def test_what_stays_in_float_is_named_with_its_module(target: Target, tmp_path: Path) -> None:
    """An artifact of the float program that is asked for int8."""
    program = quantised("other")
    precision = Precision.FLOAT16 if target.name == "coreml" else Precision.FLOAT32
    artifact = target.emit(program, precision, tmp_path)
    asking = replace(artifact, graphs=tuple(replace(graph, int8_convolutions=4) for graph in artifact.graphs))
    with pytest.raises(ExecutionError, match="0 convolutions .*, 4 should, of 4; in float are ") as error:
        target.open(asking, tmp_path, "model", 1)
    assert 'quantize.keep_float = ["first", "twice", "last"]' in str(error.value)
    assert "building it again changes nothing" in str(error.value)


def test_what_an_export_loses_is_named() -> None:
    """A program that says int8 of a convolution which its graph has in float."""
    program = quantised("other")
    (graph,) = program.graphs
    wanted = convolutions(graph, Precision.INT8)
    model, *_ = onnx_target.build(program, graph, Precision.INT8, ())
    with pytest.raises(CaptureError, match=r"4 convolutions are int8 in the program, 3 in the ONNX model: .*'first' is not quantised"):
        onnx_target.check_all_int8(graph, wanted, Int8Convolutions(3, 0, ("node_conv2d",)), model)


class WithoutBias(nn.Module):
    """Convolutions that the ONNX exporter names anew."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.up = nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.ConvTranspose2d(16, 16, 2, 2, bias=False)
        self.inner = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.ReLU(), nn.Conv2d(16, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.inner(self.up(torch.relu(self.first(x)))))


def test_convolutions_without_a_bias_keep_their_module() -> None:
    graph = single_graph(WithoutBias().eval())
    program = capture(graph, SIZE, table=None, tuned={}, settings=QuantizeSettings(method="off"))
    model, _, _ = onnx_target.build(program, program.graphs[0], Precision.FLOAT32, ())
    described = onnx_target.described(program.graphs[0], "model.onnx", Precision.FLOAT32, 0)
    found = [described.module_of(node.name) for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert found == ["first", "up", "inner.0", "inner.2"]
    wanted = convolutions(program.graphs[0], Precision.FLOAT32)
    names = {node.name for node in model.graph.node}
    assert missing([replace(each, int8=True) for each in wanted], names) == ()
