"""Target ``openvino``."""

import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from kinds import CONVOLUTIONS, kinds_input, kinds_program
from suite import Emitted, TargetSuite, assert_no_path_of_this_machine, graph_inputs, run_pytorch, snr_db
from torch import Tensor, nn

from instantstyle.capture.program import Program
from instantstyle.compression.quantization.capture import capture
from instantstyle.model.graph import single_graph
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
