"""Target ``android``."""

import re
from pathlib import Path

import pytest
from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession
from suite import Emitted, TargetSuite, assert_no_path_of_this_machine, graph_inputs, run_pytorch, snr_db

from instantstyle.capture.program import Program
from instantstyle.recipe.precision import Precision
from instantstyle.targets.android.target import AndroidTarget
from instantstyle.targets.base import Target
from instantstyle.targets.onnx.kernels import read_kernels
from instantstyle.targets.onnx.target import OnnxTarget


def nodes(path: Path) -> list[tuple[str, str]]:
    """Domain and operator of every node in an ``.ort`` file."""
    graph = InferenceSession.GetRootAs(path.read_bytes(), 0).Model().Graph()  # pyright: ignore[reportOptionalMemberAccess]
    return [(graph.Nodes(index).Domain().decode(), graph.Nodes(index).OpType().decode()) for index in range(graph.NodesLength())]


class TestAndroid(TargetSuite):
    precisions = (Precision.INT8, Precision.FLOAT32)
    packages = ("onnx", "onnxscript", "onnx_ir", "onnxsim", "onnxruntime")
    reproducible = ("*.ort", "required_operators.config", "accelerators.txt")

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return AndroidTarget()

    def again(self, program: Program) -> Program:
        """The same object: the export is the ``onnx`` target's, and tested there; this target's own part is what follows."""
        return program

    def test_file_has_no_node_of_x86_alone(self, emitted: Emitted, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        for graph in artifact.graphs:
            assert {domain for domain, _ in nodes(folder / graph.file)} <= {"", "com.microsoft"}

    def test_runtime_executes_the_file_as_it_is(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        for graph in artifact.graphs:
            with target.open(artifact, folder, graph.name, threads=1) as runner:
                assert dict(runner.execution.kernels) == dict(read_kernels(folder / graph.file))

    def test_int8_graph_is_fused(self, emitted: Emitted, target: Target) -> None:
        artifact, folder = emitted(Precision.INT8)
        kernels = read_kernels(folder / artifact.graph("stylizer").file)
        assert {name: kernels[name] for name in ("QLinearConv", "QLinearAdd", "NhwcMaxPool", "Relu", "Conv")} == {
            "QLinearConv": 6, "QLinearAdd": 2, "NhwcMaxPool": 2, "Relu": 0, "Conv": 0,
        }  # fmt: skip
        # To integers: the photo, the output of AdaIN, the upsampled features. Nowhere else.
        assert kernels["QuantizeLinear"] == 3

    def test_config_lists_the_operators_of_all_graphs(self, emitted: Emitted, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        lines = (folder / "required_operators.config").read_text().splitlines()
        assert lines[0] == "# Operators of style_encoder.ort, stylizer.ort, for a reduced build: --include_ops_by_config"
        listed = {(line.split(";")[0], name) for line in lines[1:] for name in line.split(";")[2].split(",")}
        used = {(domain or "ai.onnx", name) for graph in artifact.graphs for domain, name in nodes(folder / graph.file)}
        assert listed == used

    def test_report_says_what_providers_take(self, emitted: Emitted, precision: Precision) -> None:
        _, folder = emitted(precision)
        lines = (folder / "accelerators.txt").read_text().splitlines()
        rows = [line for line in lines if line.startswith("  ")]
        assert [row.split(":")[0].strip() for row in rows] == ["style_encoder.onnx", "stylizer.onnx"] * 2
        assert not any("Conv" in row or "MaxPool" in row for row in rows)  # every provider takes convolutions and pooling
        # XNNPACK has no Relu of its own, QNN everything that this network has.
        assert "Relu" in rows[1] and re.fullmatch(r"  stylizer.onnx: (\d+) of \1 nodes", rows[3])

    def test_int8_agrees_with_the_portable_file(self, emitted: Emitted, target: Target, program: Program, tmp_path: Path) -> None:
        portable = OnnxTarget().emit(program, Precision.INT8, tmp_path)
        inputs = graph_inputs()["stylizer"]
        output = self.run(target, emitted(Precision.INT8), "stylizer", inputs)
        other = self.run(OnnxTarget(), (portable, tmp_path), "stylizer", inputs)
        reference = run_pytorch(program.graphs[1].float_program, list(inputs.values()))
        # What padding, integer biases and ORT's fusions change is far below what int8 itself does.
        assert snr_db(output, other) > snr_db(output, reference) + 10

    def test_files_keep_no_path_of_this_machine(self, emitted: Emitted, precision: Precision) -> None:
        assert_no_path_of_this_machine(emitted(precision)[1])
