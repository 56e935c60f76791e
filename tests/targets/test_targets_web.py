"""Target ``web``."""

import os
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from kinds import kinds_input, kinds_program
from onnx import numpy_helper
from programs import SIZE
from suite import Emitted, TargetSuite, assert_no_path_of_this_machine, graph_inputs, run_pytorch, snr_db

from instantstyle.capture.program import Program
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import ExecutionError
from instantstyle.targets.base import Target
from instantstyle.targets.onnx.exporter import to_onnx
from instantstyle.targets.onnx.target import OnnxTarget
from instantstyle.targets.web import runtime
from instantstyle.targets.web.target import IN_ONNX_RUNTIME, ROUNDED, WebTarget
from instantstyle.targets.web.worker import Worker, worker

needs_runtime = pytest.mark.skipif(bool(runtime.missing()), reason=f"not installed: {runtime.missing()}: {runtime.remedy()}")


class TestWeb(TargetSuite):
    precisions = (Precision.INT8, Precision.FLOAT16, Precision.INT8_WEIGHTS)
    packages = ("onnx", "onnxscript", "onnx_ir", "onnxsim", "onnxruntime")
    reproducible = ("*.onnx",)
    least_snr_db = {Precision.INT8: 25.0, Precision.FLOAT16: 50.0, Precision.INT8_WEIGHTS: 30.0}
    why_not_here = f"not installed: {', '.join(runtime.missing())}" if runtime.missing() else ""

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return WebTarget()

    def again(self, program: Program) -> Program:
        """The same object: the export is the ``onnx`` target's, and tested there."""
        return program

    def load(self, emitted: Emitted, precision: Precision) -> onnx.ModelProto:
        return onnx.load(emitted(precision)[1] / "stylizer.onnx")

    @needs_runtime
    def test_wasm_computes_int8_as_onnx_runtime_does(self, emitted: Emitted, target: Target) -> None:
        artifact, folder = emitted(Precision.INT8)
        for graph, inputs in graph_inputs().items():
            with target.open(artifact, folder, graph, threads=1) as runner:
                (found,) = runner.run(inputs).values()
                assert not runner.execution.evaluator and "onnxruntime-web 1.30.0, wasm in Node" in runner.execution.provider
            with OnnxTarget().open(artifact, folder, graph, threads=1) as runner:
                (native,) = runner.run(inputs).values()
            assert np.abs(found - native).max() < 2e-5

    def test_int8_file_is_the_onnx_targets(self, emitted: Emitted, program: Program, tmp_path: Path) -> None:
        """Folded scales, centred norms and weights in half precision included: Node's wasm is ONNX Runtime, too."""
        OnnxTarget().emit(program, Precision.INT8, tmp_path)
        for graph in emitted(Precision.INT8)[0].graphs:
            web, own = (onnx.load(folder / graph.file).graph for folder in (emitted(Precision.INT8)[1], tmp_path))
            assert [(node.op_type, tuple(node.output)) for node in web.node] == [(node.op_type, tuple(node.output)) for node in own.node]

    def test_float16_is_never_said_to_be_executed(self, emitted: Emitted, target: Target) -> None:
        with target.open(*emitted(Precision.FLOAT16), "stylizer", threads=1) as runner:
            assert runner.execution.evaluator == ROUNDED
        assert any("not executed on WebGPU" in note for note in emitted(Precision.FLOAT16)[0].notes)

    def test_without_the_runtime_another_one_stands_in_and_says_so(
        self, emitted: Emitted, target: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv(runtime.FOLDER_VARIABLE, str(tmp_path))
        found = target.availability()
        assert (found.can_emit, found.can_run, found.evaluator) == (True, False, IN_ONNX_RUNTIME)
        assert found.reason.endswith("onnxruntime-web 1.30.0") and found.remedy.endswith("python -m instantstyle.targets.web.runtime")
        for precision in (Precision.INT8, Precision.INT8_WEIGHTS):
            with target.open(*emitted(precision), "stylizer", threads=1) as runner:
                assert runner.execution.evaluator == IN_ONNX_RUNTIME

    def test_int8_weights_are_stored_in_8_bits_and_move_by_half_a_level(self, emitted: Emitted, program: Program) -> None:
        model = self.load(emitted, Precision.INT8_WEIGHTS)
        assert not any(node.op_type == "QuantizeLinear" for node in model.graph.node)
        stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        originals = {
            each.name: numpy_helper.to_array(each) for each in to_onnx(program.graphs[1], Precision.FLOAT32, SIZE).graph.initializer
        }
        assert max(array.size for array in stored.values() if array.dtype == np.float32) < 512
        names = [name.removesuffix(".int8") for name in stored if name.endswith(".int8")]
        # All that are worth it: 16 x 16 x 9, 24 x 16 x 9, 16 x 12 x 9.
        assert sorted(stored[f"{name}.int8"].size for name in names) == [1728, 2304, 3456]
        for name in names:
            scales = stored[f"{name}.scale"].reshape(-1, 1, 1, 1)
            assert (np.abs(stored[f"{name}.int8"] * scales - originals[name]) <= scales * 0.5001).all()
            assert (np.abs(stored[f"{name}.int8"]).max(axis=(1, 2, 3)) == 127).all()

    def test_int8_weights_of_all_kinds_of_convolutions(self, target: Target, tmp_path: Path) -> None:
        program, image = kinds_program(), kinds_input()
        artifact = target.emit(program, Precision.INT8_WEIGHTS, tmp_path)
        reference = run_pytorch(program.graphs[0].float_program, [image])
        with target.open(artifact, tmp_path, "model", threads=1) as runner:
            assert snr_db(runner.run({"image": image})["output"], reference) > 35
        axes = {node.input[0]: attribute.i for node in onnx.load(tmp_path / "model.onnx").graph.node for attribute in node.attribute
                if node.op_type == "DequantizeLinear"}  # fmt: skip
        assert sorted(axes.values()) == [0] * (len(axes) - 1) + [1], "the transposed one has its outputs on the second axis"

    def test_float16_computes_in_float16(self, emitted: Emitted) -> None:
        model = self.load(emitted, Precision.FLOAT16)
        stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        weights = [stored[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]
        assert set(weights) == {onnx.TensorProto.FLOAT16}

    def test_opset_and_types_are_those_of_the_web(self, emitted: Emitted, precision: Precision) -> None:
        model = self.load(emitted, precision)
        onnx.checker.check_model(model, full_check=True)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]

    def test_preflight_has_nothing_against_what_can_be_emitted(self, target: Target, program: Program) -> None:
        assert target.preflight(program, target.precisions) == ()

    def test_files_keep_no_path_of_this_machine(self, emitted: Emitted, precision: Precision) -> None:
        assert_no_path_of_this_machine(emitted(precision)[1])

    @needs_runtime
    def test_memory_of_the_other_process_counts(self, emitted: Emitted, target: Target) -> None:
        with target.open(*emitted(Precision.INT8), "stylizer", threads=1) as runner:
            runner.run(graph_inputs()["stylizer"])
            # The wasm of 14 MB and its compiled code, or more: other tests use the same process, and this is the peak of its life.
            assert 14e6 < runner.memory_elsewhere() < 8e9


@pytest.mark.skipif(not runtime._npm(), reason="there is no npm here")
def test_npm_runs() -> None:
    done = subprocess.run([*runtime._npm(), "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and re.fullmatch(r"\d+\.\d+\.\d+", done.stdout.strip()), done.stderr


@needs_runtime
class TestWorker:
    def test_an_unreadable_file_is_a_sentence_and_the_process_lives_on(self, tmp_path: Path) -> None:
        path = tmp_path / "broken.onnx"
        path.write_bytes(b"no model")
        asked = worker(1)
        with pytest.raises(ExecutionError, match=r"onnxruntime-web 1\.30\.0: .+"):
            asked.ask({"op": "open", "file": str(path)})
        with pytest.raises(ExecutionError, match="ENOENT"):
            asked.ask({"op": "open", "file": str(tmp_path / "gone.onnx")})
        assert asked.alive and worker(1) is asked

    def test_a_process_that_dies_is_said_to_have_died_and_another_takes_its_place(self) -> None:
        asked = Worker(1)
        os.kill(asked._process.pid, signal.SIGKILL)
        with pytest.raises(ExecutionError, match=r"the Node process .* ended with code -9"):
            asked.ask({"op": "memory"})
        assert not asked.alive
        assert worker(1).ask({"op": "memory"})[0]["peak"] > 0

    def test_a_process_that_does_not_answer_is_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = Worker(1)
        os.kill(asked._process.pid, signal.SIGSTOP)
        monkeypatch.setattr("instantstyle.targets.web.worker.TIMEOUT_SECONDS", 0.2)
        with pytest.raises(ExecutionError, match="ended with code -9"):
            asked.ask({"op": "memory"})
