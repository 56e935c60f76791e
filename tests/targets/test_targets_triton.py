"""Target ``triton``: its repositories, and what Triton itself makes of them where it is installed."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
import torch
from programs import ALPHA, CODE, CODE_SPEC, PHOTO, SIZE, STYLISED, small_model
from suite import Emitted, TargetSuite, assert_no_path_of_this_machine, graph_inputs, run_pytorch, snr_db
from torch import Tensor, nn

from instantstyle.capture.program import Program
from instantstyle.model.graph import TensorSpec
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import CaptureError, ExecutionError, InstantStyleError
from instantstyle.targets.base import Artifact, Target
from instantstyle.targets.environments import install
from instantstyle.targets.onnx.target import OnnxTarget
from instantstyle.targets.triton.batch import open_batch
from instantstyle.targets.triton.config import with_threads
from instantstyle.targets.triton.ensemble import wire
from instantstyle.targets.triton.server import IN_ONNX_RUNTIME, STAND_IN, Server, installation
from instantstyle.targets.triton.target import TritonTarget, read_configs

INSTALLED = installation()
needs_triton = pytest.mark.skipif(INSTALLED is None, reason="Triton is not installed: instantstyle doctor --install triton")
STYLIZER, ENCODER, ENSEMBLE = "small-stylizer-{}-32x48", "small-style_encoder-{}-32x48", "small-{}-32x48"


class OfRepositories(TargetSuite):
    """What holds with a server and without."""

    precisions = (Precision.FLOAT32, Precision.INT8)
    packages = ("onnx", "onnxscript", "onnx_ir", "onnxsim", "onnxruntime")
    reproducible = ("*/config.pbtxt", "*/1/model.onnx")

    def again(self, program: Program) -> Program:
        """The same object: the export is the ``onnx`` target's, and tested there."""
        return program

    def shipped_bytes(self, artifact: Artifact, folder: Path) -> int:
        """The ensemble as well."""
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class TestTritonFiles(OfRepositories):
    """Without a server: ONNX Runtime here opens the files, and that is said."""

    why_not_here = "not installed: Triton"

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(install.FOLDER_VARIABLE, str(tmp_path_factory.mktemp("environments")))
            yield TritonTarget()

    def test_it_is_never_said_to_be_served(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        with target.open(*emitted(precision), "stylizer", threads=1) as runner:
            assert runner.execution.evaluator == IN_ONNX_RUNTIME
        assert emitted(precision)[0].notes[-1].startswith("configurations not read by Triton's protobuf")
        assert target.availability().remedy == "instantstyle doctor --install triton"

    def test_the_folder_is_a_repository(self, emitted: Emitted, precision: Precision) -> None:
        artifact, _ = emitted(precision)
        ensemble, encoder, stylizer = (name.format(precision) for name in (ENSEMBLE, ENCODER, STYLIZER))
        assert [graph.file for graph in artifact.graphs] == [encoder, stylizer]
        assert {file.path for file in artifact.files} == {
            f"{ensemble}/config.pbtxt", f"{ensemble}/1/ensemble.txt", f"{encoder}/config.pbtxt", f"{encoder}/1/model.onnx",
            f"{stylizer}/config.pbtxt", f"{stylizer}/1/model.onnx",
        }  # fmt: skip

    def test_files_are_the_onnx_targets_but_for_the_batch(self, emitted: Emitted, program: Program, precision: Precision, tmp_path: Path) -> None:
        artifact, folder = emitted(precision)
        OnnxTarget().emit(program, precision, tmp_path)
        for graph in artifact.graphs:
            found, own = onnx.load(folder / graph.file / "1" / "model.onnx"), onnx.load(tmp_path / f"{graph.name}.onnx")
            batched = graph.name == "stylizer" and precision is Precision.FLOAT32
            first = {value.type.tensor_type.shape.dim[0].dim_param for value in (*found.graph.input, *found.graph.output)}
            assert first == {"batch" if batched else ""}
            assert found.graph.node == own.graph.node and found.graph.initializer == own.graph.initializer

    def test_a_batch_is_the_same_pictures(self, emitted: Emitted, program: Program) -> None:
        import onnxruntime

        _, folder = emitted(Precision.FLOAT32)
        session = onnxruntime.InferenceSession(folder / STYLIZER.format("float32") / "1" / "model.onnx", providers=["CPUExecutionProvider"])
        each = [graph_inputs(seed)["stylizer"] | {"alpha": np.full((1, 1), seed / 5, np.float32)} for seed in (1, 2, 5)]
        (whole,) = session.run(None, {name: np.concatenate([inputs[name] for inputs in each]) for name in each[0]})
        for picture, inputs in zip(np.asarray(whole), each, strict=True):
            reference = run_pytorch(program.graphs[1].float_program, list(inputs.values()))
            assert np.abs(picture - reference[0]).max() < 2e-5

    def test_why_there_is_no_batch_is_said(self, emitted: Emitted) -> None:
        artifact, folder = emitted(Precision.FLOAT32)
        assert "stylizer: batches of up to 4 pictures" in artifact.notes
        assert "style_encoder: one picture a request, its graph holds shapes of one picture" in artifact.notes
        text = (folder / ENCODER.format("float32") / "config.pbtxt").read_text()
        assert "# One picture a request: its graph holds shapes of one picture.\nmax_batch_size: 0\n" in text
        int8 = (emitted(Precision.INT8)[1] / STYLIZER.format("int8") / "config.pbtxt").read_text()
        assert "# One picture a request: ONNX Runtime rounds int8 otherwise in a batch, and is no faster with one.\nmax_batch_size: 0\n" in int8


class Mixes(nn.Module):
    """A net that looks at its whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""
        return x - x.mean(0, keepdim=True)


def test_what_mixes_pictures_gets_no_batch(tmp_path: Path) -> None:
    path = tmp_path / "mixes.onnx"
    torch.onnx.export(Mixes(), (torch.zeros(1, 3, 8, 8),), path, input_names=["image"], output_names=["output"], dynamo=True, verbose=False)
    model = onnx.load(path)
    found, why_not = open_batch(model, (TensorSpec("image"),), (8, 8))
    assert found is model and re.fullmatch(r"a picture in a batch differs from the same picture alone by up to \d+\.\d% of the largest value", why_not)

    def test_files_keep_no_path_of_this_machine(self, emitted: Emitted, precision: Precision) -> None:
        assert_no_path_of_this_machine(emitted(precision)[1])

    @pytest.mark.parametrize("options", [{"backend": "tensorrt"}, {"version": 0}, {"instances": 0}, {"threads": 0}, {"max_batch": 2}])
    def test_wrong_options_are_refused(self, options: dict[str, object]) -> None:
        with pytest.raises(InstantStyleError, match=next(iter(options))):
            TritonTarget().configured(options)


def test_tensors_of_one_name_are_one_tensor(program: Program) -> None:
    encoder, stylizer = program.graphs
    found = wire(program.graphs, SIZE)
    assert not isinstance(found, str)
    assert [spec.name for spec in found.inputs] == ["style", "photo", "alpha"] and found.outputs == (STYLISED,)
    named = replace(encoder, outputs=(replace(CODE_SPEC, name="look"),))
    assert wire((named, stylizer), SIZE) == "no graph takes what 'style_encoder' gives by its name"
    wide = replace(stylizer, inputs=(PHOTO, replace(CODE_SPEC, channels=CODE + 1), ALPHA))
    assert wire((encoder, wide), SIZE) == "'code' has other shapes in different graphs"
    twice = replace(stylizer, outputs=(replace(STYLISED, name="code"),))
    assert wire((encoder, twice), SIZE) == "'code' is the name of several tensors"


def test_other_threads_are_a_change_of_one_number() -> None:
    text = 'parameters [ { key: "intra_op_thread_count" value { string_value: "1" } } ]'
    assert with_threads(text, 12) == text.replace('"1"', '"12"')
    with pytest.raises(ValueError, match="0 times"):
        with_threads("", 2)


class Served(OfRepositories):
    """On the real server; the ensemble and several models at once besides."""

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return TritonTarget().configured(cls.options)

    options: dict[str, object] = {}
    evaluator = ""

    def test_missing_package_is_named_with_the_remedy(self) -> None:
        """As without a server."""

    def test_the_server_says_what_it_serves_with(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        with target.open(*emitted(precision), "stylizer", threads=1) as runner:
            found = runner.execution
        assert re.fullmatch(rf"Triton 2\.\d+\.\d+, backend {self.options.get('backend', 'onnxruntime')}, 2 instances", found.provider)
        assert (found.evaluator, found.by_vendor) == (self.evaluator, False)

    def test_it_computes_what_onnx_runtime_does(self, emitted: Emitted, target: Target, program: Program, precision: Precision, tmp_path: Path) -> None:
        artifact = OnnxTarget().emit(program, precision, tmp_path)
        for graph, inputs in graph_inputs().items():
            with OnnxTarget().open(artifact, tmp_path, graph, threads=1) as runner:
                (own,) = runner.run(inputs).values()
            assert np.abs(self.run(target, emitted(precision), graph, inputs) - own).max() < 1e-6


@needs_triton
@pytest.mark.slow
class TestTritonServed(Served):
    why_not_here = "the Triton of nvidia-pytriton has no ONNX Runtime backend"
    evaluator = STAND_IN


@needs_triton
@pytest.mark.slow
class TestTritonPythonModels(Served):
    options = {"backend": "python"}
    reproducible = (*Served.reproducible, "*/1/model.py")
