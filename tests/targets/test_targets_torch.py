"""Targets ``pt2`` and ``torchscript``."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from kinds import CONVOLUTIONS, kinds_input, kinds_program
from suite import Emitted, TargetSuite, graph_inputs, run_pytorch

from instantstyle.capture.program import Program
from instantstyle.recipe.precision import Precision
from instantstyle.targets.base import Target
from instantstyle.targets.pt2.target import PT2Target
from instantstyle.targets.torchscript.target import TorchScriptTarget

SOURCE = Path(__file__).parent / "run_script.cpp"


def contents(path: Path) -> dict[str, bytes]:
    """Of a file, which is a ZIP archive, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class TestPT2(TargetSuite):
    precisions = (Precision.FLOAT32, Precision.INT8)
    packages = ()
    reproducible = ("*.pt2",)

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return PT2Target()

    def test_numbers_are_exactly_the_programs(self, emitted: Emitted, target: Target, program: Program, precision: Precision) -> None:
        for graph in program.graphs:
            inputs = graph_inputs()[graph.name]
            captured = graph.int8_program if precision is Precision.INT8 else graph.float_program
            assert captured is not None
            output = self.run(target, emitted(precision), graph.name, inputs)
            np.testing.assert_array_equal(output, run_pytorch(captured, list(inputs.values())))

    def test_int8_has_no_stale_float_weights(self, emitted: Emitted) -> None:
        sizes = [len(data) for name, data in contents(emitted(Precision.INT8)[1] / "stylizer.pt2").items() if "/weights/weight_" in name]
        stored = torch.export.load(emitted(Precision.INT8)[1] / "stylizer.pt2").state_dict.values()
        largest = {value.dtype: value.numel() for value in sorted(stored, key=torch.Tensor.numel)}
        assert largest[torch.int8] == 16 * 24 * 9 and largest[torch.float32] == 48
        assert sum(sizes) < 11_500

    def test_int8_is_not_called_executed(self, emitted: Emitted, target: Target) -> None:
        for precision, evaluator in ((Precision.FLOAT32, ""), (Precision.INT8, "not executed by int8 kernels")):
            with target.open(*emitted(precision), "stylizer", threads=1) as runner:
                found = runner.execution.evaluator
            assert found.endswith(evaluator) and bool(found) == bool(evaluator)

    def test_all_kinds_of_layers(self, target: Target, tmp_path: Path) -> None:
        program, image = kinds_program(), kinds_input()
        assert program.graphs[0].int8_program is not None
        artifact = target.emit(program, Precision.INT8, tmp_path)
        with target.open(artifact, tmp_path, "model", threads=1) as runner:
            assert runner.execution.int8_convolutions == runner.execution.convolutions == CONVOLUTIONS
            output = runner.run({"image": image})["output"]
        np.testing.assert_array_equal(output, run_pytorch(program.graphs[0].int8_program, [image]))

    def test_archives_have_no_examples_and_no_path_of_this_machine(self, emitted: Emitted, precision: Precision) -> None:
        for name, data in contents(emitted(precision)[1] / "stylizer.pt2").items():
            assert b"site-packages" not in data and str(Path.cwd()).encode() not in data, name
            assert "sample_inputs" not in name or len(data) < 2000


class TestTorchScript(TargetSuite):
    precisions = (Precision.FLOAT32,)
    packages = ()
    reproducible = ("*.pt",)

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return TorchScriptTarget()

    def test_deprecation_is_said(self, emitted: Emitted, target: Target) -> None:
        assert "deprecated" in target.description
        assert any("deprecated" in note for note in emitted(Precision.FLOAT32)[0].notes)

    def test_files_keep_no_path_of_this_machine(self, emitted: Emitted) -> None:
        for name, data in contents(emitted(Precision.FLOAT32)[1] / "stylizer.pt").items():
            assert b"site-packages" not in data and str(Path.cwd()).encode() not in data, name

    def test_all_kinds_of_layers(self, target: Target, tmp_path: Path) -> None:
        program, image = kinds_program(), kinds_input()
        artifact = target.emit(program, Precision.FLOAT32, tmp_path)
        output = self.run(target, (artifact, tmp_path), "model", {"image": image})
        assert np.abs(output - run_pytorch(program.graphs[0].float_program, [image])).max() < 2e-6

    @pytest.mark.slow
    def test_cpp_loads_and_runs_it(self, emitted: Emitted, program: Program, tmp_path: Path) -> None:
        compiler = shutil.which("g++") or shutil.which("clang++")
        if compiler is None:
            pytest.skip("no C++ compiler")
        home = Path(torch.__file__).parent
        includes = [f"-I{home / 'include'}", f"-I{home / 'include/torch/csrc/api/include'}"]
        libraries = [f"-L{home / 'lib'}", f"-Wl,-rpath,{home / 'lib'}", "-ltorch", "-ltorch_cpu", "-lc10"]
        made = tmp_path / "run_script"
        subprocess.run([compiler, "-std=c++20", "-O0", *includes, SOURCE, "-o", made, "-Wl,--no-as-needed", *libraries], check=True)
        inputs = graph_inputs()["stylizer"]
        files = [tmp_path / name for name in inputs]
        for file, array in zip(files, inputs.values(), strict=True):
            array.tofile(file)
        subprocess.run([made, emitted(Precision.FLOAT32)[1] / "stylizer.pt", *files, tmp_path / "output"], check=True)
        output = np.fromfile(tmp_path / "output", np.float32).reshape(1, 3, 32, 48)
        assert np.abs(output - run_pytorch(program.graphs[1].float_program, list(inputs.values()))).max() < 2e-6
