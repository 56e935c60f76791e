"""Target ``openvino``."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from kinds import CONVOLUTIONS, kinds_input, kinds_program
from programs import quantized_program, smooth
from suite import Emitted, TargetSuite, assert_no_path_of_this_machine, graph_inputs, run_pytorch, snr_db
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.capture.program import Program
from instantstyle.compression.quantization.capture import capture
from instantstyle.model.graph import Sample, single_graph
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import ExecutionError, InstantStyleError
from instantstyle.system.host import int8_saturates
from instantstyle.targets.base import Target
from instantstyle.targets.openvino.target import OpenVINOTarget

pytest.importorskip("openvino", reason="target openvino is an extra: pip install instantstyle[openvino]")


def run_exactly(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The file's own arithmetic: OpenVINO with its int8 kernels off, which lose the largest sums on processors without VNNI."""
    import openvino

    settings: dict[str, Any] = {"LP_TRANSFORMS_MODE": False, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    return np.array(compiled(inputs)[0])


class Tied(nn.Module):
    """Layers of one weight, between convolutions."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], *shape: int) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.before, self.after, self.function = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 3, 3, 1, 1), function
        self.weight = nn.Parameter(0.3 * torch.randn(8, 8, *shape))

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""
        return self.after(self.function(self.before(image), self.weight))


def there_and_back(x: Tensor, weight: Tensor) -> Tensor:
    pixels = x.permute(0, 2, 3, 1)
    return (pixels @ weight @ weight.t()).permute(0, 3, 1, 2)


def slots(x: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("bkhw,kc->bchw", torch.einsum("bchw,kc->bkhw", x, weight).softmax(1), weight)


def up_again(x: Tensor, weight: Tensor) -> Tensor:
    small = functional.relu(functional.conv2d(x, weight, stride=2, padding=1))
    return functional.conv_transpose2d(small, weight, stride=2, padding=1, output_padding=1)


TIED = {
    "convolutions": Tied(lambda x, weight: functional.conv_transpose2d(functional.conv2d(x, weight, padding=1), weight, padding=1), 3, 3),
    "convolutions with a stride": Tied(up_again, 3, 3),
    "convolutions of a pixel": Tied(lambda x, weight: functional.conv_transpose2d(functional.conv2d(x, weight), weight), 1, 1),
    "products": Tied(there_and_back),
    "sums of Einstein's": Tied(slots),
}


class Embedded(nn.Module):
    """A vector that a linear layer makes of constants, and a mask."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.before, self.after = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 3, 3, 1, 1)
        self.embedding, self.linear = nn.Embedding(4, 8), nn.Linear(8, 8)
        self.register_buffer("label", torch.tensor([2]))

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""
        y = self.before(image) * self.linear(self.embedding(self.label))[:, :, None, None]
        y[y < -0.5] = -0.5
        return self.after(y)


class TestOpenVINO(TargetSuite):
    precisions = (Precision.INT8, Precision.FLOAT16, Precision.FLOAT32)
    packages = ("onnx", "onnxscript", "onnx_ir", "onnxsim", "openvino")
    reproducible = ("*/*.xml", "*/*.bin")
    least_snr_db = {Precision.INT8: 25.0, Precision.FLOAT16: 55.0}
    inexact_snr_db = 12.0 if int8_saturates() else None

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return OpenVINOTarget()

    def again(self, program: Program) -> Program:
        """The same object: the export is the ``onnx`` target's, and tested there."""
        return program

    def test_int8_file_says_the_programs_numbers(self, emitted: Emitted, program: Program) -> None:
        artifact, folder = emitted(Precision.INT8)
        for graph in program.graphs:
            assert graph.int8_program is not None
            inputs = graph_inputs()[graph.name]
            given = list(inputs.values())
            output = run_exactly(folder / artifact.graph(graph.name).file / f"{graph.name}.xml", inputs)
            reference, int8 = run_pytorch(graph.float_program, given), run_pytorch(graph.int8_program, given)
            assert snr_db(output, int8) > 27
            assert snr_db(output, reference) > snr_db(int8, reference) - 0.5

    def test_int8_weights_are_stored_as_int8_and_activations_in_one_operation(self, emitted: Emitted) -> None:
        artifact, folder = emitted(Precision.INT8)
        layers = list(ElementTree.parse(folder / "stylizer" / "stylizer.xml").iter("layer"))
        kinds = Counter(layer.get("type") for layer in layers)
        # A scale each for 6 convolutions and one linear layer, and nothing else between integers and floats.
        assert kinds["Convert"] == 7 and kinds["ShapeOf"] == kinds["Broadcast"] == kinds["Reshape"] == 0
        constants = [data for layer in layers if layer.get("type") == "Const" for data in layer.iter("data")]
        stored = {(data.get("element_type"), data.get("shape")): int(data.get("size", 0)) for data in constants}
        assert stored["i8", "16, 24, 3, 3"] == 16 * 24 * 9
        assert max(size for (kind, _), size in stored.items() if kind == "f32") == 4 * 48
        assert artifact.shipped_bytes < 70_000

    def test_half_precision_halves_the_weights(self, emitted: Emitted) -> None:
        sizes = [(emitted(each)[1] / "stylizer" / "stylizer.bin").stat().st_size for each in (Precision.FLOAT16, Precision.FLOAT32)]
        assert 0.48 < sizes[0] / sizes[1] < 0.52

    def test_provider_says_the_precision_of_what_is_not_int8(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        with target.open(*emitted(precision), "stylizer", threads=1) as runner:
            int8 = precision is Precision.INT8
            assert runner.execution.provider == ("OpenVINO CPU, f32 where it is not int8" if int8 else "OpenVINO CPU, f32")
        assert any("INFERENCE_PRECISION_HINT f32" in note for note in emitted(precision)[0].notes)

    def test_other_precision_than_asked_for_is_refused(self, emitted: Emitted) -> None:
        import openvino

        able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        asking = OpenVINOTarget().configured({"inference_precision": "bf16"})
        if "BF16" in able:
            with asking.open(*emitted(Precision.FLOAT32), "stylizer", threads=1) as runner:
                assert runner.execution.provider == "OpenVINO CPU, bf16"
            return
        with pytest.raises(ExecutionError, match=r"'stylizer': OpenVINO computes in f32 on this processor, not in bf16; set inference"):
            asking.open(*emitted(Precision.FLOAT32), "stylizer", threads=1)

    def test_unknown_options_are_refused(self) -> None:
        with pytest.raises(InstantStyleError, match=r"unknown key 'precision'; known are inference_precision"):
            OpenVINOTarget().configured({"precision": "f32"})
        with pytest.raises(InstantStyleError, match=r"inference_precision"):
            OpenVINOTarget().configured({"inference_precision": "int4"})

    def test_all_kinds_of_convolutions_run_in_int8(self, target: Target, tmp_path: Path) -> None:
        program, image = kinds_program(), kinds_input()
        (graph,) = program.graphs
        artifact = target.emit(program, Precision.INT8, tmp_path)
        reference = run_pytorch(graph.float_program, [image])
        with target.open(artifact, tmp_path, "model", threads=1) as runner:
            output = runner.run({"image": image})["output"]
            assert runner.execution.int8_convolutions == runner.execution.convolutions == CONVOLUTIONS
            assert dict(runner.execution.kernels)["Deconvolution"] == 1
        assert snr_db(output, reference) > (12.0 if int8_saturates() else 28.0)
        assert snr_db(run_exactly(tmp_path / "model" / "model.xml", {"image": image}), reference) > 32

    @pytest.mark.parametrize("kept", [Precision.FLOAT32, Precision.FLOAT16])
    @pytest.mark.parametrize("what", TIED)
    def test_tied_weights_are_each_layers_own_way_round(self, target: Target, what: str, kept: Precision, tmp_path: Path) -> None:
        program = capture(single_graph(TIED[what].eval()), (16, 16), table=None, tuned={}, settings=QuantizeSettings())
        image = smooth(np.random.default_rng(4), 16, 16)
        reference = run_pytorch(program.graphs[0].float_program, [image])
        output = self.run(target, (target.emit(program, kept, tmp_path), tmp_path), "model", {"image": image})
        assert np.abs(output - reference).max() < (1e-5 if kept is Precision.FLOAT32 else 2e-3) * np.abs(reference).max()
        stored = sum(each.nbytes for each in TIED[what].state_dict().values() if isinstance(each, Tensor))
        assert stored * (2 if kept is Precision.FLOAT32 else 1) > (tmp_path / "model" / "model.bin").stat().st_size

    @pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
    def test_antialiased_resizing_is_antialiased(self, target: Target, mode: str, tmp_path: Path) -> None:
        class Smaller(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                small = functional.interpolate(x, (7, 10), mode=mode, antialias=True)
                return functional.interpolate(small, x.shape[2:], mode=mode, antialias=True)

        net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), Smaller(), nn.Conv2d(8, 3, 1)).eval()
        program = capture(single_graph(net), (16, 24), table=None, tuned={}, settings=QuantizeSettings())
        image = smooth(np.random.default_rng(4), 16, 24)
        reference = run_pytorch(program.graphs[0].float_program, [image])
        output = self.run(target, (target.emit(program, Precision.FLOAT32, tmp_path), tmp_path), "model", {"image": image})
        assert np.abs(output - reference).max() < 1e-5

    def test_layers_of_constants_and_masks_open(self, target: Target, tmp_path: Path) -> None:
        model = single_graph(Embedded().eval())
        program = quantized_program(model, (16, 16), [Sample("sample", {"image": smooth(np.random.default_rng(3), 16, 16)})])
        image = smooth(np.random.default_rng(4), 16, 16)
        reference = run_pytorch(program.graphs[0].float_program, [image])
        for precision, least in ((Precision.FLOAT32, 100.0), (Precision.INT8, 12.0 if int8_saturates() else 25.0)):
            (tmp_path / precision).mkdir()
            artifact = target.emit(program, precision, tmp_path / precision)
            assert snr_db(self.run(target, (artifact, tmp_path / precision), "model", {"image": image}), reference) > least

    def test_a_convolution_that_becomes_a_product_is_counted(self, target: Target, tmp_path: Path) -> None:
        class Marked(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                x.permute(0, 2, 3, 1)[..., 0] = 0.3
                return x

        torch.manual_seed(4)
        net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), Marked(), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 3, 3, 1, 1)).eval()
        program = quantized_program(single_graph(net), (16, 16), [Sample("sample", {"image": smooth(np.random.default_rng(3), 16, 16)})])
        artifact = target.emit(program, Precision.INT8, tmp_path)
        with target.open(artifact, tmp_path, "model", threads=1) as runner:
            assert (runner.execution.convolutions, runner.execution.int8_convolutions) == (3, 3)
            assert dict(runner.execution.kernels)["FullyConnected"] == 1

    def test_transposed_convolutions_with_groups_are_said_to_run_in_float(self, target: Target, tmp_path: Path) -> None:
        torch.manual_seed(4)
        up = nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=4)
        net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), up, nn.ReLU(), nn.Conv2d(8, 3, 3, 1, 1)).eval()
        program = quantized_program(single_graph(net), (16, 16), [Sample("sample", {"image": smooth(np.random.default_rng(3), 16, 16)})])
        artifact = target.emit(program, Precision.INT8, tmp_path)
        assert any("model: '2' in float, OpenVINO has no int8 kernel for transposed" in note for note in artifact.notes)
        with target.open(artifact, tmp_path, "model", threads=1) as runner:
            assert (runner.execution.convolutions, runner.execution.int8_convolutions) == (3, 2)

    def test_preflight_says_what_the_reader_says(self, target: Target) -> None:
        class Spectrum(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                found = torch.fft.rfft2(x)
                return torch.fft.irfft2(torch.complex(functional.relu(found.real), found.imag), s=x.shape[2:])

        net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), Spectrum(), nn.Conv2d(8, 3, 3, 1, 1)).eval()
        program = capture(single_graph(net), (16, 16), table=None, tuned={}, settings=QuantizeSettings())
        for finding in target.preflight(program, (Precision.FLOAT32,)):
            assert "fully converted" not in str(finding)

    def test_preflight_names_the_module_of_an_unknown_operator(self, target: Target) -> None:
        class Determinant(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x + torch.linalg.det(x[:, :, :8, :8])[..., None, None]

        net = nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1), Determinant(), nn.Conv2d(3, 3, 1))
        program = capture(single_graph(net.eval()), (16, 16), table=None, tuned={}, settings=QuantizeSettings())
        (finding,) = target.preflight(program, (Precision.FLOAT32,))
        assert str(finding).startswith("model.1: no form in OpenVINO: it has no Det; write that line")

    def test_preflight_has_nothing_against_what_can_be_emitted(self, target: Target, program: Program) -> None:
        assert target.preflight(program, target.precisions) == ()

    def test_files_keep_no_path_of_this_machine(self, emitted: Emitted, precision: Precision) -> None:
        assert_no_path_of_this_machine(emitted(precision)[1])

    def test_names_do_not_depend_on_what_was_read_before(self, emitted: Emitted) -> None:
        text = (emitted(Precision.INT8)[1] / "stylizer" / "stylizer.xml").read_text()
        assert re.findall(r'name="[A-Z][A-Za-z]+_\d+"', text) == []
