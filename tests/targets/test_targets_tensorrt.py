"""TensorRT for RTX on a machine without a GPU: the shared suite on the graph that engines are built from, and the engines themselves."""

import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
import torch
from programs import small_model
from suite import Emitted, TargetSuite
from torch import nn

from instantstyle.capture.program import Program
from instantstyle.compression.quantization.capture import capture
from instantstyle.model.graph import single_graph
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import ArtifactError, CaptureError, ExecutionError, InstantStyleError, TargetUnavailableError
from instantstyle.targets.base import Artifact, Target
from instantstyle.targets.declared import Declared, Tensor
from instantstyle.targets.tensorrt import bindings
from instantstyle.targets.tensorrt.bindings import TENSORRT, TENSORRT_RTX, Gpu, Probe, Product, probe
from instantstyle.targets.tensorrt.builder import build_engine, explain, refused_nodes
from instantstyle.targets.tensorrt.engine_runner import of_engine
from instantstyle.targets.tensorrt.engines import Engine, check_engines, choose, name_engine, read_list, this_system
from instantstyle.targets.tensorrt.target import ONNX_FILE, TensorRTRTXTarget, TensorRTTarget

pytestmark = pytest.mark.skipif(probe(TENSORRT_RTX).gpu is not None, reason="with a GPU, engines run")
CAPABILITIES = (75, 89)
RTX = "tensorrt_rtx"


class TestTensorRTRTX(TargetSuite):
    precisions = (Precision.INT8, Precision.FLOAT16)
    packages = ("onnx", "onnxscript", "onnx_ir", "onnxsim", "onnxruntime", "tensorrt_rtx")
    reproducible = ("**/*.onnx", "**/*.json", "**/*.engine")
    why_not_here = "no NVIDIA GPU or no driver"
    least_snr_db = {Precision.INT8: 25.0, Precision.FLOAT16: 55.0}

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return TensorRTRTXTarget().configured({"capabilities": CAPABILITIES})

    def shipped_bytes(self, artifact: Artifact, folder: Path) -> int:
        return sum(max(path.stat().st_size for path in (folder / graph.file).glob("*.engine")) for graph in artifact.graphs)

    def test_says_who_stood_in(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        with target.open(artifact, folder, "stylizer", threads=1) as runner:
            assert runner.execution.evaluator == "same graph in ONNX Runtime; engine built, not executed: no NVIDIA GPU"
            assert runner.execution.provider == "CPUExecutionProvider, not optimised"

    def test_there_is_an_engine_for_each_capability(self, emitted: Emitted, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        version = probe(TENSORRT_RTX).version
        for graph in artifact.graphs:
            engines = read_list(folder / graph.file)
            assert [engine.capability for engine in engines] == list(CAPABILITIES)
            for engine in engines:
                assert engine.file == f"tensorrt-rtx-{version}_sm{engine.capability}_{this_system()}_{precision}.engine"
                assert (folder / graph.file / engine.file).stat().st_size > 10_000
        assert any(f"they need TensorRT for RTX {version} at run time" in note for note in artifact.notes)
        assert any("int8 convolutions in float" in note for note in artifact.notes) == (precision is Precision.INT8)

    def test_engines_of_two_gpus_differ(self, emitted: Emitted, precision: Precision) -> None:
        _, folder = emitted(precision)
        one, other = (path.read_bytes() for path in sorted((folder / "stylizer").glob("*.engine")))
        assert one != other

    def test_graph_is_typed_throughout(self, emitted: Emitted, precision: Precision) -> None:
        """Explicit float16, explicit Q/DQ: int8, zero points 0, no quantised bias."""
        _, folder = emitted(precision)
        model = onnx.load(folder / "stylizer" / ONNX_FILE)
        types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        zeros = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                assert types[node.input[2]] == onnx.TensorProto.INT8 and not zeros[node.input[2]].any()
            if node.op_type == "Conv" and len(node.input) > 2:
                assert types[node.input[2]] == onnx.TensorProto.FLOAT16
        quantised = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
        assert (quantised > 10) if precision is Precision.INT8 else quantised == 0
        assert [value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)] == [onnx.TensorProto.FLOAT] * 4


class Odd(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        factor = x.unique().sum() if self.kind == "unique" else torch.linalg.det(x[:, :, :8, :8])[:, :, None, None]
        return x * factor


@pytest.mark.parametrize(("kind", "operator"), [("unique", "Unique"), ("det", "Det")])
def test_preflight_names_node_operator_and_module(kind: str, operator: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Sequential(nn.ReLU(), Odd(kind)), nn.Tanh()).eval()
    captured = capture(single_graph(net), (32, 48), table=None, tuned={}, settings=QuantizeSettings(method="off"))
    (finding,) = TensorRTRTXTarget().preflight(captured, ())
    assert finding.place == "model.1.1"
    assert f"({operator}): it has no form of that operator" in finding.problem and finding.problem.startswith("node '")
    assert finding.remedy == "write that line of the model with other operators"


class Masked(nn.Module):
    """The largest of a row of scores, later ones masked; or attention between rows that sees no later ones."""

    def __init__(self, mask: float, attends: bool) -> None:
        super().__init__()
        self.mask, self.attends = mask, attends

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        later = torch.ones(x.shape[2], x.shape[2]).triu(1).bool()
        scores = (x @ x.transpose(2, 3) / 8).masked_fill(later, self.mask)
        return scores.softmax(3) @ x if self.attends else x * scores.amax(3, keepdim=True)


def test_preflight_names_a_mask_that_float16_cannot_hold() -> None:
    for mask, attends, wanted in ((-1e9, False, ["model.1"]), (float("-inf"), False, []), (-1e9, True, [])):
        net = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), Masked(mask, attends)).eval()
        captured = capture(single_graph(net), (32, 48), table=None, tuned={}, settings=QuantizeSettings(method="off"))
        found = TensorRTRTXTarget().preflight(captured, ())
        assert [finding.place for finding in found] == wanted
        assert all("1e+09" in finding.problem and "float('-inf')" in finding.remedy for finding in found)


def test_preflight_of_a_model_that_tensorrt_likes_and_a_gpu_that_it_does_not_know(program: Program) -> None:
    assert TensorRTRTXTarget().preflight(program, ()) == ()
    (finding,) = TensorRTRTXTarget().configured({"capabilities": [89, 90]}).preflight(program, ())
    assert finding.place == "[targets.options.tensorrt_rtx] capabilities"
    assert "does not build for compute capability 90" in finding.problem and "75, 80, 86, 89, 120" in finding.remedy


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A graph with an operator that TensorRT has not."""
    helper = onnx.helper
    nodes = [helper.make_node("Relu", ["x"], ["y"], name="first"), helper.make_node("Det", ["y"], ["z"], name="odd")]
    tensors = [helper.make_tensor_value_info("x", 1, [1, 3, 16, 16]), helper.make_tensor_value_info("z", 1, [1, 3])]
    graph = helper.make_graph(nodes, "odd", tensors[:1], tensors[1:])
    path = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_unsupported_operator(odd: Path, tmp_path: Path) -> None:
    (refusal,) = refused_nodes(TENSORRT_RTX, odd)
    assert (refusal["node"], refusal["operator"]) == ("odd", "Det")
    with pytest.raises(CaptureError, match=r"graph 'g': TensorRT for RTX refuses it: node 'odd' \(Det\): it has no form of that operator"):
        build_engine(TENSORRT_RTX, odd, capability=89, engine=tmp_path / "e.engine", workspace_mib=None, graph="g")
    assert not (tmp_path / "e.engine").exists()


def test_unsigned_activations_are_refused(tmp_path: Path, program: Program) -> None:
    from instantstyle.targets.onnx.target import OnnxTarget

    OnnxTarget().emit(program, Precision.INT8, tmp_path)
    with pytest.raises(CaptureError, match=r"\((Quantize|Dequantize)Linear\): .*([Zz]ero point|UINT8)"):
        build_engine(
            TENSORRT_RTX, tmp_path / "stylizer.onnx", capability=89, engine=tmp_path / "e.engine", workspace_mib=None, graph="stylizer"
        )


def test_too_little_workspace(program: Program, tmp_path: Path) -> None:
    target = TensorRTRTXTarget().configured({"capabilities": [89], "workspace_mib": 1})
    large = small_program_at_512()
    with pytest.raises(CaptureError, match=r"no engine for compute capability 89: the workspace is too small .*; raise workspace_mib"):
        target.emit(large, Precision.FLOAT16, tmp_path)


def small_program_at_512() -> Program:
    return capture(small_model(), (512, 512), table=None, tuned={}, settings=QuantizeSettings(method="off"))


@pytest.mark.parametrize("content", [b"", b"hello" * 100])
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(CaptureError, match="at least one output|MODEL_DESERIALIZE_FAILED|Failed to parse"):
        build_engine(TENSORRT_RTX, tmp_path / "x.onnx", capability=89, engine=tmp_path / "e.engine", workspace_mib=None, graph="x")


def test_engine_truncated_to_half(program: Program, tmp_path: Path) -> None:
    target = TensorRTRTXTarget().configured({"capabilities": [89]})
    artifact = target.emit(program, Precision.FLOAT16, tmp_path)
    (engine,) = (tmp_path / "stylizer").glob("*.engine")
    engine.write_bytes(engine.read_bytes()[: engine.stat().st_size // 2])
    with pytest.raises(ArtifactError, match=r"_sm89_.*engine was altered after the build: \d+ bytes, not \d+"):
        target.open(artifact, tmp_path, "stylizer", threads=1)


def test_engines_are_not_portable() -> None:
    own = name_engine(TENSORRT_RTX, "1.7", 86, Precision.INT8)
    ampere, hopper = Gpu("NVIDIA RTX A4000", 86), Gpu("NVIDIA H100", 90)
    assert choose([own], TENSORRT_RTX, "1.7", ampere) is own
    with pytest.raises(ExecutionError, match=r"^these engines are for compute capability 86, NVIDIA H100 has 90; build one for it$"):
        choose([own], TENSORRT_RTX, "1.7", hopper)
    with pytest.raises(ExecutionError, match=r"^these engines were built by TensorRT for RTX 1.7, installed is 1.8; install that version"):
        choose([own], TENSORRT_RTX, "1.8", ampere)
    elsewhere = replace(own, system="windows-amd64")
    with pytest.raises(ExecutionError, match=r"^these engines were built for windows-amd64, this is .*; build them here$"):
        choose([elsewhere], TENSORRT_RTX, "1.7", ampere)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"product": "tensorrt"}, "product of e.engine is 'tensorrt', .* it is 'tensorrt_rtx'"),
        ({"precision": Precision.FLOAT16}, "precision of e.engine is 'float16', .* it is 'int8'"),
        ({"onnx_sha256": "0" * 64}, f"onnx_sha256 of e.engine is '{'0' * 64}', .* it is '{sha256(b'a graph').hexdigest()}'"),
        ({"onnx_sha256": ""}, "onnx_sha256 of e.engine is ''"),
    ],
)
def test_engines_of_something_else_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    (tmp_path / ONNX_FILE).write_bytes(b"a graph")
    honest = Engine("e.engine", RTX, "1.7", 86, this_system(), Precision.INT8, sha256(b"a graph").hexdigest())
    artifact = Artifact(RTX, Precision.INT8, (32, 48), (), (), 0)
    check_engines([honest], artifact, tmp_path / ONNX_FILE)
    with pytest.raises(ExecutionError, match=rf"engines.json: {message}.*build the artifact again"):
        check_engines([honest, replace(honest, **change)], artifact, tmp_path / ONNX_FILE)


class EngineOfTwo:
    """What TensorRT says of an engine, in the order of its own: the output first, and a half input of open height."""

    num_io_tensors = 2

    def get_tensor_name(self, index: int) -> str:
        return ("stylised", "photo")[index]

    def get_tensor_mode(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name="INPUT" if name == "photo" else "OUTPUT")

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name="HALF" if name == "photo" else "FLOAT")

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (1, 3, -1, 48) if name == "photo" else (1, 3, 32, 48)


def test_an_engines_own_interface_is_read() -> None:
    assert of_engine(EngineOfTwo()) == Declared(
        (Tensor("photo", "float16", (1, 3, "?", 48)),), (Tensor("stylised", "float32", (1, 3, 32, 48)),), {}
    )


def test_opening_on_a_gpu_that_has_no_engine_is_one_sentence(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = TensorRTRTXTarget().configured({"capabilities": [89]})
    artifact = target.emit(program, Precision.FLOAT16, tmp_path)
    found = replace(probe(TENSORRT_RTX), gpu=Gpu("NVIDIA H100", 90))
    monkeypatch.setattr("instantstyle.targets.tensorrt.target.probe", lambda product: found)
    with pytest.raises(ExecutionError, match=r"^these engines are for compute capability 89, NVIDIA H100 has 90; build one for it$"):
        target.open(artifact, tmp_path, "stylizer", threads=1)


@pytest.mark.parametrize("content", ["", "[]x", '[{"file": 1}]'])
def test_damaged_list_of_engines(content: str, tmp_path: Path) -> None:
    (tmp_path / "engines.json").write_text(content)
    with pytest.raises(ArtifactError, match="engines.json is missing or no list of engines"):
        read_list(tmp_path)


def test_tensorrt_proper_needs_a_gpu_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instantstyle.targets.tensorrt.target.missing_packages", lambda packages: ())
    monkeypatch.setattr("instantstyle.targets.tensorrt.target.probe", lambda product: Probe("11.0", None, ()))
    found = TensorRTTarget().availability()
    assert (found.can_emit, found.can_run) == (False, False)
    assert "builds engines on the NVIDIA GPU that they are for" in found.reason and "tensorrt_rtx" in found.remedy


def test_pytorch_without_cuda_cannot_run_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    found = replace(probe(TENSORRT_RTX), gpu=Gpu("NVIDIA L4", 89))
    monkeypatch.setattr("instantstyle.targets.tensorrt.target.probe", lambda product: found)
    available = TensorRTRTXTarget().availability()
    assert (available.can_emit, available.can_run, available.reason) == (True, False, "this PyTorch has no CUDA")
    assert "CUDA" in available.remedy


def crashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Product:
    """A product whose bindings do ``body`` when they are imported."""
    module = f"bindings_{sha256(body.encode()).hexdigest()}"  # what was probed once is remembered
    (tmp_path / f"{module}.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return replace(TENSORRT, module=module)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "TensorRT crashed with SIGSEGV"),
        ("raise ImportError('libnvinfer.so.11: cannot open shared object file')", "libnvinfer.so.11: cannot open shared object file"),
    ],
)
def test_bindings_that_crash_cost_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str) -> None:
    product = crashing(tmp_path, monkeypatch, body)
    found = probe(product)
    assert found.gpu is None and found.version == "" and message in found.problem
    with pytest.raises(TargetUnavailableError, match=message):
        bindings.ask(product, {"task": "probe"})
    target = type("Crashing", (TensorRTTarget,), {"product": product})()
    monkeypatch.setattr("instantstyle.targets.tensorrt.target.missing_packages", lambda packages: ())
    available = target.availability()
    assert not available.can_emit and not available.can_run and message in available.reason


@pytest.mark.slow
def test_the_bindings_are_never_imported_here() -> None:
    """In a fresh process, which builds an artifact."""
    program = (
        "import sys; from pathlib import Path; from tempfile import TemporaryDirectory; from programs import small_program\n"
        "from instantstyle.targets.tensorrt.target import TensorRTRTXTarget; from instantstyle.targets.base import Precision\n"
        "target = TensorRTRTXTarget().configured({'capabilities': [89]}); captured = small_program()\n"
        "with TemporaryDirectory() as folder: target.emit(captured, Precision.INT8, Path(folder))\n"
        "target.preflight(captured, ()); assert target.availability().can_emit\n"
        "assert not [name for name in sys.modules if name.startswith('tensorrt_rtx')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parent, capture_output=True)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (["Error Code 1: no tactics within workspace limit"], "the workspace is too small for any of its kernels; raise workspace_mib"),
        (["IBuilder: Error Code 1: Cuda Runtime (cudaError 35: CUDA driver version is insufficient)"], "there is no NVIDIA driver here"),
        (["Error Code 4: API Usage Error (Network must have at least one output)"], "Error Code 4: API Usage Error"),
        ([], "it gave no reason"),
    ],
)
def test_the_builders_errors_in_words(log: list[str], said: str) -> None:
    assert explain(log).startswith(said)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capability": 3}, "unknown key 'capability'; known are capabilities, workspace_mib, precision"),
        ({"capabilities": []}, "capabilities = "),
        ({"workspace_mib": 0}, "workspace_mib = 0"),
        ({"precision": "int4"}, "precision = 'int4'"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(InstantStyleError, match=message):
        TensorRTRTXTarget().configured(options)


def test_engine_record_is_complete() -> None:
    assert name_engine(TENSORRT_RTX, "1.7.1", 120, Precision.INT8) == Engine(
        f"tensorrt-rtx-1.7.1_sm120_{this_system()}_int8.engine", RTX, "1.7.1", 120, this_system(), Precision.INT8
    )
