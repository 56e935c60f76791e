"""From captured programs to ONNX: names, and what is said when a program has no such form."""

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graphs import evaluate
from programs import quantized_program, smooth
from suite import fresh
from torch import Tensor, nn

from instantstyle.capture.program import GraphProgram, Program
from instantstyle.capture.storage import load_program, save_program
from instantstyle.model.graph import Graph, Model, Sample, TensorKind, TensorSpec, single_graph
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import CaptureError
from instantstyle.targets.android.target import AndroidTarget
from instantstyle.targets.base import Finding, Target
from instantstyle.targets.onnx.exporter import forget_exports, module_paths, to_onnx
from instantstyle.targets.onnx.target import OnnxTarget, build, portable_rewrites
from instantstyle.targets.openvino.target import OpenVINOTarget
from instantstyle.targets.tensorrt.flavour import flavoured

SIZE = (8, 8)
IMAGE = TensorSpec("image")


def float_graph(module: nn.Module, outputs: tuple[TensorSpec, ...] = (TensorSpec("output"),)) -> GraphProgram:
    program = torch.export.export(module.eval(), (torch.zeros(1, 3, *SIZE),))
    return GraphProgram("net", (IMAGE,), outputs, program, None, 0, 0, ())


class Bessel(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.special.bessel_j0(image)


class Holder(nn.Module):
    def __init__(self, odd_part: nn.Module) -> None:
        super().__init__()
        self.odd_part = odd_part

    def forward(self, image: Tensor) -> Tensor:
        return self.odd_part(image) + 1


class Twice(nn.Module):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        doubled = 2 * image
        return doubled, doubled, image


class Names(nn.Module):
    """Its inner values are called ``relu``, ``mul`` and ``tanh`` by the exporter."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        relu = torch.relu(image)
        return torch.tanh(relu * 2), relu.mean(dim=(2, 3))


def test_operator_without_onnx_form_is_named_with_its_module() -> None:
    with pytest.raises(CaptureError, match=r"graph 'net' has no ONNX form: node 'bessel_j0' in module 'odd_part': .*bessel_j0"):
        to_onnx(float_graph(Holder(Bessel())), Precision.FLOAT32, SIZE)


def test_operator_that_the_exporter_renames_is_named_with_its_module() -> None:
    net = nn.Sequential(nn.ReLU(), Holder(nn.RReLU()), nn.ReLU())
    with pytest.raises(CaptureError, match=r"node 'rrelu_with_noise_functional' in module '1.odd_part': "):
        to_onnx(float_graph(net), Precision.FLOAT32, SIZE)


def test_names_of_specs_win_over_inner_names() -> None:
    outputs = (TensorSpec("relu"), TensorSpec("mul", TensorKind.VECTOR, 3))
    model = to_onnx(float_graph(Names(), outputs), Precision.FLOAT32, SIZE)
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["relu", "mul"]
    x = np.random.default_rng(0).standard_normal((1, 3, *SIZE)).astype(np.float32)
    styled, pooled = evaluate(model, {"image": x})
    np.testing.assert_allclose(styled, np.tanh(2 * np.maximum(x, 0)), atol=1e-6)
    np.testing.assert_allclose(pooled, np.maximum(x, 0).mean(axis=(2, 3)), atol=1e-6)


@pytest.mark.parametrize(
    ("module", "outputs", "message"),
    [
        (Names(), (TensorSpec("output"),), "captured with 2 outputs, its specs have 1"),
        (nn.ReLU(), (TensorSpec("output", scale=2),), r"'output' has shape \(1, 3, 8, 8\), its spec says \(1, 3, 16, 16\)"),
        (nn.ReLU(), (TensorSpec("image"),), r"two of its inputs and outputs have one name: \['image', 'image'\]"),
    ],
)
def test_program_that_does_not_fit_its_specs(module: nn.Module, outputs: tuple[TensorSpec, ...], message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        to_onnx(float_graph(module, outputs), Precision.FLOAT32, SIZE)


def test_tensor_that_is_returned_twice_and_input_that_is_returned() -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, *SIZE)).astype(np.float32)
    model = to_onnx(float_graph(Twice(), (TensorSpec("a"), TensorSpec("b"), TensorSpec("same"))), Precision.FLOAT32, SIZE)
    assert [value.name for value in model.graph.output] == ["a", "b", "same"]
    for output, reference in zip(evaluate(model, {"image": x}), (2 * x, 2 * x, x), strict=True):
        np.testing.assert_array_equal(output, reference)


def test_program_without_int8() -> None:
    with pytest.raises(CaptureError, match=r"graph 'net' has no int8 program: set quantize\.method"):
        to_onnx(float_graph(nn.ReLU()), Precision.INT8, SIZE)


def test_export_is_kept_for_the_next_target_but_not_shared() -> None:
    graph = float_graph(Names(), (TensorSpec("styled"), TensorSpec("pooled", TensorKind.VECTOR, 3)))
    first = to_onnx(graph, Precision.FLOAT32, SIZE)
    del first.graph.node[:]
    second = to_onnx(graph, Precision.FLOAT32, SIZE)
    assert second.graph.node
    again = fresh(Program("net", SIZE, (graph,))).graphs[0]
    assert to_onnx(again, Precision.FLOAT32, SIZE).SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


class Upsampler(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.down, self.up, self.end = nn.Conv2d(3, 16, 3, 2, 1), nn.ConvTranspose2d(16, 16, 2, 2), nn.Conv2d(16, 3, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(self.end(torch.relu(self.up(torch.relu(self.down(image))))))


def test_transposed_convolutions_are_not_asked_of_onnxruntime() -> None:
    samples = [Sample("a", {"image": smooth(np.random.default_rng(0), 32, 32)})]
    program = quantized_program(single_graph(Upsampler().eval()), (32, 32), samples)
    assert (program.graphs[0].convolutions, program.graphs[0].int8_convolutions) == (3, 3)
    _, asked, notes = build(program, program.graphs[0], Precision.INT8, portable_rewrites())
    assert asked == 2
    assert notes[1] == "model: 1 transposed convolutions run in float, ONNX Runtime has no int8 kernel for them"


class Rounded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        return (self.body(image).bfloat16() * 0.5).float()


def test_bfloat16_is_refused_by_module() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), Rounded())
    with pytest.raises(
        CaptureError, match=r"module '1' computes in bfloat16 \(node 'to\w*'\), .* leave torch\.autocast and \.bfloat16\(\) out"
    ):
        to_onnx(float_graph(net), Precision.FLOAT32, SIZE)


def reopened(program: Program, folder: Path) -> Program:
    """As each target of a release gets it: read from the disk."""
    graphs = tuple(Graph(each.name, nn.Identity(), each.inputs, each.outputs) for each in program.graphs)
    model = Model(program.model, graphs, lambda runs, sample: np.zeros(0), (), graphs[-1].name)
    return load_program(folder, model)


def test_targets_that_read_one_program_share_its_export(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    export = torch.onnx.export
    program = replace(program, graphs=program.graphs[:1])

    def counted(*arguments: Any, **options: Any) -> object:
        calls.append("")
        return export(*arguments, **options)

    monkeypatch.setattr(torch.onnx, "export", counted)
    save_program(program, tmp_path)
    forget_exports()
    for target in (OnnxTarget(), AndroidTarget(), OpenVINOTarget()):
        folder = tmp_path / target.name
        folder.mkdir()
        target.emit(reopened(program, tmp_path), Precision.INT8, folder)
        assert len(calls) == len(program.graphs), target.name
    again = reopened(program, tmp_path)
    assert all(flavoured(again, graph, Precision.INT8)[1] for graph in again.graphs)
    assert len(calls) == len(program.graphs)
    assert all(build(again, graph, Precision.FLOAT32, ())[0] for graph in again.graphs)
    assert len(calls) == 2 * len(program.graphs)


@pytest.mark.parametrize("change", ["weight", "module"])
def test_no_export_is_shared_with_another_program(change: str) -> None:
    def graph(changed: bool = False) -> GraphProgram:
        torch.manual_seed(1)
        inner = nn.Conv2d(3, 3, 1)
        if changed and change == "weight":
            inner.weight.data[0, 0] += 1
        module = nn.Sequential(OrderedDict([("other" if changed and change == "module" else "one", inner)]))
        return float_graph(module)

    forget_exports()
    first, second = (to_onnx(each, Precision.FLOAT32, SIZE) for each in (graph(), graph(changed=True)))
    assert to_onnx(graph(), Precision.FLOAT32, SIZE) == first
    if change == "module":
        assert set(module_paths(graph(changed=True), Precision.FLOAT32, SIZE).values()) != set(
            module_paths(graph(), Precision.FLOAT32, SIZE).values()
        )
    else:
        assert first != second


@pytest.mark.parametrize("target", [OnnxTarget(), AndroidTarget()], ids=lambda target: target.name)
def test_what_has_no_onnx_form_is_found_before_anything_is_trained(target: Target) -> None:
    def asked(net: nn.Module) -> tuple[Finding, ...]:
        return target.preflight(Program("net", SIZE, (float_graph(net),)), (Precision.INT8,))

    (found,) = asked(Holder(Bessel()))
    assert found.place == "graph 'net'" and "node 'bessel_j0' in module 'odd_part'" in found.problem
    assert found.remedy == "write that line of the model with other operators"
    assert asked(nn.Conv2d(3, 3, 3, 1, 1)) == ()
