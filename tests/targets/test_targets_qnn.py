"""Target ``qnn``."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from kinds import CONVOLUTIONS, Determinant, kinds_input, kinds_program
from onnx import numpy_helper
from suite import Emitted, TargetSuite, assert_no_path_of_this_machine, graph_inputs, run_pytorch, snr_db

from instantstyle.capture.program import Program
from instantstyle.compression.quantization.capture import capture
from instantstyle.model.graph import single_graph
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import CaptureError, ExecutionError, InstantStyleError
from instantstyle.targets.artifact import describe_files
from instantstyle.targets.base import Artifact, Target
from instantstyle.targets.onnx.target import OnnxTarget
from instantstyle.targets.qnn.target import EVALUATOR, QNNTarget

pytest.importorskip("onnxruntime_qnn", reason="target qnn is an extra: pip install instantstyle[qnn]")


class TestQNN(TargetSuite):
    precisions = (Precision.INT8, Precision.FLOAT16)
    packages = ("onnx", "onnxscript", "onnx_ir", "onnxsim", "onnxruntime", "onnxruntime_qnn")
    reproducible = ("*/graph.onnx",)
    why_not_here = "no Hexagon processor"
    least_snr_db = {Precision.INT8: 25.0, Precision.FLOAT16: 50.0}

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return QNNTarget().configured({"architectures": [75]})

    def again(self, program: Program) -> Program:
        """The same object: the export is the ``onnx`` target's, and tested there."""
        return program

    def shipped_bytes(self, artifact: Artifact, folder: Path) -> int:
        """What was compiled for one architecture."""
        return sum((folder / graph.file / "v75.onnx").stat().st_size for graph in artifact.graphs)

    def test_the_vendors_library_alone_executes_it_and_not_as_a_pass(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        with target.open(*emitted(precision), "stylizer", threads=1) as runner:
            found = runner.execution
        assert (found.evaluator, found.by_vendor) == (EVALUATOR, True)
        assert re.fullmatch(r"QNN 2\.\d+\.\d+ HTP v75, emulated on x86", found.provider)
        # QNN's names of operations, not ONNX's: 6 convolutions, and the layer that makes AdaIN's statistics of the code.
        kinds = dict(found.kernels)
        assert kinds["Conv2d"] == 6 and kinds["MatMul" if precision is Precision.INT8 else "FullyConnected"] == 1 and "Conv" not in kinds

    def test_int8_is_one_or_two_levels_from_onnx_runtime(self, emitted: Emitted, target: Target, program: Program, tmp_path: Path) -> None:
        inputs = graph_inputs()["stylizer"]
        artifact = OnnxTarget().emit(program, Precision.INT8, tmp_path)
        with OnnxTarget().open(artifact, tmp_path, "stylizer", threads=1) as runner:
            reference = runner.run(inputs)["stylised"]
        found = self.run(target, emitted(Precision.INT8), "stylizer", inputs)
        difference = np.abs(found - reference)
        assert 0 < difference.max() < 0.03 and snr_db(found, reference) > 28

    def test_compiled_file_declares_what_the_source_does(self, emitted: Emitted, precision: Precision) -> None:
        source, compiled = (onnx.load(emitted(precision)[1] / "stylizer" / name) for name in ("graph.onnx", "v75.onnx"))
        assert [node.op_type for node in compiled.graph.node] == ["EPContext"]
        facts = [{each.key: each.value for each in model.metadata_props} for model in (source, compiled)]
        assert facts[0] == facts[1] and facts[0]["instantstyle.precision"] == str(precision)

    def test_linear_layers_keep_int8_weights_on_one_scale(self, emitted: Emitted) -> None:
        model = onnx.load(emitted(Precision.INT8)[1] / "stylizer" / "graph.onnx").graph
        stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.initializer}
        makers = {name: node for node in model.node for name in node.output}
        (product,) = (node for node in model.node if node.op_type == "MatMul")
        integers, scale = (stored[name] for name in makers[product.input[1]].input[:2])
        assert integers.dtype == np.int8 and integers.shape == (6, 48) and scale.shape == () and np.abs(integers).max() == 127

    def test_without_architectures_the_onnx_file_ships_and_runs(self, program: Program, tmp_path: Path) -> None:
        target = QNNTarget().configured({"architectures": []})
        artifact = target.emit(program, Precision.INT8, tmp_path)
        assert [file.path for file in artifact.files] == ["style_encoder/graph.onnx", "stylizer/graph.onnx"]
        assert artifact.shipped_bytes == sum(file.size_bytes for file in artifact.files)
        assert target.irreproducible(artifact.files) == {}
        inputs = graph_inputs()["style_encoder"]
        reference = run_pytorch(program.graphs[0].float_program, list(inputs.values()))
        assert snr_db(self.run(target, (artifact, tmp_path), "style_encoder", inputs), reference) > 25

    def test_compiled_files_are_said_to_differ_from_build_to_build(self, emitted: Emitted, target: Target) -> None:
        assert set(target.irreproducible(emitted(Precision.INT8)[0].files)) == {"style_encoder/v75.onnx", "stylizer/v75.onnx"}

    def test_all_kinds_of_convolutions_run_in_int8(self, target: Target, tmp_path: Path) -> None:
        program, image = kinds_program(), kinds_input()
        artifact = target.emit(program, Precision.INT8, tmp_path)
        reference = run_pytorch(program.graphs[0].float_program, [image])
        with target.open(artifact, tmp_path, "model", threads=1) as runner:
            output = runner.run({"image": image})["output"]
            assert runner.execution.int8_convolutions == runner.execution.convolutions == CONVOLUTIONS
        assert snr_db(output, reference) > 28

    def test_what_would_fall_back_to_the_cpu_is_refused(self, emitted: Emitted, target: Target, tmp_path: Path) -> None:
        """The ONNX file with a node that QNN does not take, under a manifest that fits it."""
        artifact, folder = emitted(Precision.INT8)
        (tmp_path / "stylizer").mkdir()
        model = onnx.load(folder / "stylizer" / "graph.onnx")
        model.graph.node[-1].output[0] = "before"
        model.graph.node.append(onnx.helper.make_node("Shrink", ["before"], ["stylised"], lambd=0.0))
        onnx.save(model, tmp_path / "stylizer" / "graph.onnx")
        files = describe_files(tmp_path)
        altered = replace(artifact, graphs=(artifact.graphs[1],), files=files)
        with pytest.raises(ExecutionError, match=r"graph 'stylizer' .*assigned to the default CPU EP, but fallback to CPU EP"):
            target.open(altered, tmp_path, "stylizer", threads=1)

    def test_unknown_options_are_refused(self) -> None:
        with pytest.raises(InstantStyleError, match=r"unknown key 'chips'; known are architectures"):
            QNNTarget().configured({"chips": [57]})
        with pytest.raises(InstantStyleError, match=r"architectures"):
            QNNTarget().configured({"architectures": [74]})

    def test_unknown_operators_are_refused_by_module(self, target: Target, tmp_path: Path) -> None:
        program = capture(single_graph(Determinant().eval()), (16, 16), table=None, tuned={}, settings=QuantizeSettings())
        assert any(
            re.match(r"graph 'model': QNN does not take Det \(node", str(each)) for each in target.preflight(program, (Precision.FLOAT16,))
        )
        assert target.preflight(program, (Precision.INT8,)) == (), "nothing is known of int8 yet"
        with pytest.raises(CaptureError, match=r"graph 'model' for HTP v75: QNN leaves to the CPU .*Det"):
            target.emit(program, Precision.FLOAT16, tmp_path)

    def test_preflight_has_nothing_against_what_can_be_emitted(self, target: Target, program: Program) -> None:
        assert target.preflight(program, target.precisions) == ()

    def test_files_keep_no_path_of_this_machine(self, emitted: Emitted, precision: Precision) -> None:
        assert_no_path_of_this_machine(emitted(precision)[1])
