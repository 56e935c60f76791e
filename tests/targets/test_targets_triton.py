"""Target ``triton``: its repositories, and what Triton itself makes of them where it is installed."""

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
import torch
from programs import ALPHA, CODE, CODE_SPEC, PHOTO, SIZE, STYLISED, quantized_program, samples, small_model
from suite import Emitted, TargetSuite, assert_no_path_of_this_machine, graph_inputs, run_pytorch
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.capture.program import Program
from instantstyle.model.graph import Arrays, TensorSpec
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import CaptureError, ExecutionError, InstantStyleError
from instantstyle.targets.base import Artifact, Target
from instantstyle.targets.environments import install
from instantstyle.targets.onnx.target import OnnxTarget
from instantstyle.targets.triton.batch import open_batch
from instantstyle.targets.triton.config import model_name, with_threads
from instantstyle.targets.triton.ensemble import wire
from instantstyle.targets.triton.options import TritonOptions
from instantstyle.targets.triton.server import IN_ONNX_RUNTIME, SCRIPT, SHARED_MEMORY, STAND_IN, Server, installation
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

    def test_files_are_the_onnx_targets_but_for_the_batch(
        self, emitted: Emitted, program: Program, precision: Precision, tmp_path: Path
    ) -> None:
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
        assert (
            "# One picture a request: ONNX Runtime rounds int8 otherwise in a batch, and is no faster with one.\nmax_batch_size: 0\n"
            in int8
        )


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
    assert found is model and re.fullmatch(
        r"a picture in a batch differs from the same picture alone by up to \d+\.\d% of the largest value", why_not
    )

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

    def test_missing_package_is_named_with_the_remedy(
        self, target: Target, program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        pytest.skip("as without a server")

    def test_the_server_says_what_it_serves_with(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        with target.open(*emitted(precision), "stylizer", threads=1) as runner:
            found = runner.execution
        assert re.fullmatch(rf"Triton 2\.\d+\.\d+, backend {self.options.get('backend', 'onnxruntime')}, 2 instances", found.provider)
        assert (found.evaluator, found.by_vendor) == (self.evaluator, False)

    def test_it_computes_what_onnx_runtime_does(
        self, emitted: Emitted, target: Target, program: Program, precision: Precision, tmp_path: Path
    ) -> None:
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

    def test_it_ships_what_serves_it(self, emitted: Emitted, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        for graph in artifact.graphs:
            assert (folder / graph.file / "1" / "model.py").read_bytes() == SCRIPT.read_bytes()
            assert '\nbackend: "python"\n' in (folder / graph.file / "config.pbtxt").read_text()
        assert "served by the Python backend: its Python needs onnxruntime and numpy" in artifact.notes


@needs_triton
@pytest.mark.slow
class TestServer:
    """Several repositories, versions and clients; what breaks."""

    @pytest.fixture(scope="class")
    @classmethod
    def repositories(cls, program: Program, tmp_path_factory: pytest.TempPathFactory) -> dict[Precision, Path]:
        """Both precisions; of float32 a second version from a network with other weights, and version 2 of the ensemble."""
        folders = {precision: tmp_path_factory.mktemp(str(precision)) for precision in TritonTarget.precisions}
        for precision, folder in folders.items():
            TritonTarget().emit(program, precision, folder)
        model = small_model()
        with torch.no_grad():
            model.graph("stylizer").module.get_parameter("to_rgb.weight").mul_(0.5)
        newer = tmp_path_factory.mktemp("newer")
        TritonTarget(TritonOptions(version=2)).emit(quantized_program(model, SIZE, samples(4, seed=0)), Precision.FLOAT32, newer)
        shutil.copytree(newer, folders[Precision.FLOAT32], dirs_exist_ok=True)
        return folders

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, repositories: dict[Precision, Path]) -> Iterator[Server]:
        server = Server(list(repositories.values()))
        yield server
        server.stop()

    def test_the_ensemble_is_the_scenario(self, server: Server, program: Program) -> None:
        """Of the newest version, which is half as far from grey before its tanh."""
        sample = samples(2, seed=9)[1].inputs
        client = server.client()
        for precision in TritonTarget.precisions:
            runs = {graph.name: partial(client.infer, model_name(program, precision, graph.name)) for graph in program.graphs}
            wanted = small_model().scenario(runs, sample)
            found = client.infer(model_name(program, precision), sample)
            assert found.keys() == {"stylised"} and found["stylised"].shape == (1, 3, *SIZE)
            np.testing.assert_array_equal(found["stylised"], wanted)

    def test_versions_are_served_side_by_side(self, server: Server, program: Program) -> None:
        inputs, client = graph_inputs()["stylizer"], server.client()
        name = model_name(program, Precision.FLOAT32, "stylizer")
        first, second, newest = (client.infer(name, inputs, version=version)["stylised"] for version in (1, 2, None))
        reference = run_pytorch(program.graphs[1].float_program, list(inputs.values()))
        assert np.abs(first - reference).max() < 2e-5
        np.testing.assert_array_equal(second, newest)
        # Its last convolution has a bias, which was not halved.
        bias = small_model().graph("stylizer").module.get_parameter("to_rgb.bias").detach()
        shuffled = functional.pixel_shuffle(bias.reshape(1, -1, 1, 1).expand(1, 12, SIZE[0] // 2, SIZE[1] // 2), 2).numpy()
        np.testing.assert_allclose(np.arctanh(second), (np.arctanh(first) + shuffled) / 2, atol=1e-3)

    def test_many_clients_get_their_own_pictures(self, server: Server, program: Program) -> None:
        """In batches, as the server counts them; what one client asks is not what another one gets."""
        name = model_name(program, Precision.FLOAT32, "stylizer")
        asked = [graph_inputs(seed)["stylizer"] | {"alpha": np.full((1, 1), seed / 24, np.float32)} for seed in range(24)]

        def ask(inputs: Arrays) -> np.ndarray:
            return server.client().infer(name, inputs, version=1)["stylised"]

        alone = [ask(inputs) for inputs in asked]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(ask, asked))
        for one, other in zip(alone, together, strict=True):
            assert np.abs(one - other).max() < 1e-5
        (counted,) = server.client().get(f"/v2/models/{name}/versions/1/stats")["model_stats"]
        assert counted["inference_count"] >= 48 and counted["execution_count"] < counted["inference_count"]
        assert {each["batch_size"] for each in counted["batch_stats"]} <= {1, 2, 3, 4} and len(counted["batch_stats"]) > 1

    def test_a_wrong_request_is_a_sentence_and_the_server_lives_on(self, server: Server, program: Program) -> None:
        name, client = model_name(program, Precision.INT8, "stylizer"), server.client()
        with pytest.raises(ExecutionError, match=rf"Triton refuses POST /v2/models/{name}/infer: .*photo"):
            client.infer(name, graph_inputs()["stylizer"] | {"photo": np.zeros((1, 3, 8, 8), np.float32)})
        assert client.infer(name, graph_inputs()["stylizer"])["stylised"].shape == (1, 3, *SIZE)

    def test_triton_reads_every_number_of_a_configuration(
        self, repositories: dict[Precision, Path], program: Program, tmp_path: Path
    ) -> None:
        assert INSTALLED is not None
        files = sorted(repositories[Precision.FLOAT32].glob("*/config.pbtxt"))
        version, (ensemble, encoder, stylizer) = read_configs(INSTALLED, files)
        assert version.startswith("2.")
        names = [model_name(program, Precision.FLOAT32, name) for name in ("", "style_encoder", "stylizer")]
        assert [each["name"] for each in (ensemble, encoder, stylizer)] == names
        assert [step["model_name"] for step in ensemble["ensemble_scheduling"]["step"]] == names[1:]
        assert (encoder["backend"], encoder.get("max_batch_size", 0), "dynamic_batching" in encoder) == ("onnxruntime", 0, False)
        assert encoder["input"] == [{"name": "style", "data_type": "TYPE_FP32", "dims": ["1", "3", "32", "32"]}]
        assert (stylizer["max_batch_size"], stylizer["dynamic_batching"]) == (4, {"max_queue_delay_microseconds": "1000"})
        assert [each["dims"] for each in stylizer["input"]] == [["3", "32", "48"], [str(CODE)], ["1"]]
        assert stylizer["instance_group"] == [{"count": 2, "kind": "KIND_CPU"}]
        assert stylizer["parameters"]["intra_op_thread_count"] == {"string_value": "1"} and "all" in stylizer["version_policy"]
        (tmp_path / "config.pbtxt").write_text('name: "x"\nmax_batches: 4\n')
        with pytest.raises(CaptureError, match=r'config\.pbtxt: 2:1 : .*has no field named "max_batches"'):
            read_configs(INSTALLED, [tmp_path / "config.pbtxt"])

    def test_a_model_that_does_not_load_is_said_why(self, repositories: dict[Precision, Path], tmp_path: Path) -> None:
        shutil.copytree(repositories[Precision.INT8], tmp_path, dirs_exist_ok=True)
        for path in tmp_path.glob("*/1/model.onnx"):
            path.write_bytes(b"no model")
        with pytest.raises(ExecutionError, match=r"Triton ended with code \S+: .*failed to load .*INVALID_PROTOBUF"):
            Server([tmp_path])

    def test_nothing_is_left_of_a_server_that_dies_and_nothing_of_one_whose_owner_dies(self, program: Program, tmp_path: Path) -> None:
        artifact = TritonTarget().emit(program, Precision.INT8, tmp_path)
        runner: Any = TritonTarget().open(artifact, tmp_path, "style_encoder", threads=1)
        runner.run(graph_inputs()["style_encoder"])
        # Two instances, each with ONNX Runtime.
        assert 20e6 < runner.memory_elsewhere() < 2e9
        server, processes = runner._server, runner._server.processes()
        assert len(processes) >= 3 and list(SHARED_MEMORY.glob(f"{server._shared}*"))
        processes[0].kill()
        with pytest.raises(ExecutionError, match=r"Triton (ended with code 137|does not answer)"):
            runner.run(graph_inputs()["style_encoder"])
        assert not list(SHARED_MEMORY.glob(f"{server._shared}*")) and not server._folder.exists()
        runner.close()
        orphan = Server()
        processes = orphan.processes()
        assert orphan._process.stdin is not None
        orphan._process.stdin.close()
        _, alive = psutil.wait_procs(processes, timeout=20)
        assert not alive
        orphan.stop()
