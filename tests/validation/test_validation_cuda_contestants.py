"""Contestants for a GPU, with fakes in the place of CUDA."""

import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cuda_contestants
import numpy as np
import pytest
import torch
from cuda_contestants import CUDA_PROVIDER, EAGER_FLOAT32, eager_make, engine_makes, ort_cuda_make, pytorch_makes
from torch import nn

from instantstyle.model.graph import Arrays, Graph, TensorSpec
from instantstyle.system.errors import ExecutionError

INPUTS = {"x": np.full((1, 3, 8, 8), 0.25, np.float32)}
BUFFERS, GRAPH, HOST = "e, device buffers", "e, CUDA graph", "e, host to host"


class FakeRunner:
    """Doubles; ``broken`` does so on the host path alone."""

    def __init__(self, broken: bool = False) -> None:
        self.stream: Any = None
        self.buffers = {name: torch.zeros(1, 3, 8, 8) for name in ("x", "y")}
        self.broken = broken
        self.passes = 0

    def enqueue(self) -> None:
        self.passes += 1
        if not self.broken:
            self.buffers["y"].copy_(2 * self.buffers["x"])

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        self.buffers["x"].copy_(torch.from_numpy(inputs["x"]))
        return {"y": 2 * inputs["x"]}


class FakeGraph:
    """A capture of one runner's pass, or of nothing."""

    def __init__(self, runner: FakeRunner, empty: bool = False) -> None:
        self.runner, self.empty, self.replays = runner, empty, 0

    def replay(self) -> None:
        self.replays += 1
        if not self.empty:
            self.runner.enqueue()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream, capture_error_mode: nullcontext())
    return monkeypatch


def test_engine_is_timed_in_three_ways(cuda: pytest.MonkeyPatch) -> None:
    runner = FakeRunner()
    graph = FakeGraph(runner)
    cuda.setattr(torch.cuda, "CUDAGraph", lambda: graph)
    made = {name: make() for name, make in engine_makes("e", runner, INPUTS).items()}
    assert {name: contestant.clock.method for name, contestant in made.items()} == {
        BUFFERS: "CUDA events",
        GRAPH: "CUDA events",
        HOST: "wall clock",
    }
    before = runner.passes, graph.replays
    made[BUFFERS].run()
    made[GRAPH].run()
    assert (runner.passes - before[0], graph.replays - before[1]) == (2, 1)
    runner.buffers["x"].zero_()
    made[HOST].run()
    assert (runner.buffers["x"].numpy() == INPUTS["x"]).all()


def test_a_pass_that_computes_nothing_is_not_timed(cuda: pytest.MonkeyPatch) -> None:
    runner = FakeRunner()
    cuda.setattr(torch.cuda, "CUDAGraph", lambda: FakeGraph(runner, empty=True))
    makes = engine_makes("e", runner, INPUTS)
    makes[BUFFERS]()
    with pytest.raises(ExecutionError, match="output 'y' is not that of a plain run"):
        makes[GRAPH]()
    with pytest.raises(ExecutionError, match="output 'y' is not that of a plain run"):
        engine_makes("e", FakeRunner(broken=True), INPUTS)[BUFFERS]()


class Probe(nn.Module):
    """Notes what it was called with, and under which settings."""

    def __init__(self, log: list[tuple[object, ...]]) -> None:
        super().__init__()
        self.log = log
        self.weight = nn.Parameter(torch.ones(3, 3, 1, 1))

    def __deepcopy__(self, memo: object) -> "Probe":
        return Probe(self.log)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cudnn: Any = torch.backends.cudnn
        matrices = torch.backends.cuda.matmul.allow_tf32
        self.log.append((x.dtype, self.weight.dtype, cudnn.allow_tf32, matrices, cudnn.benchmark, torch.is_inference_mode_enabled()))
        return nn.functional.conv2d(x, self.weight)


def flags() -> tuple[object, ...]:
    cudnn: Any = torch.backends.cudnn
    return cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, cudnn.benchmark


@pytest.mark.parametrize(
    ("name", "dtype", "tf32", "compiled"),
    [
        ("PyTorch float32", torch.float32, False, 0),
        ("PyTorch float32 with TF32", torch.float32, True, 0),
        ("PyTorch float16", torch.float16, True, 0),
        ("torch.compile float32", torch.float32, False, 1),
        ("torch.compile float16", torch.float16, True, 1),
    ],
)
def test_pytorch_runs_as_its_name_says(name: str, dtype: torch.dtype, tf32: bool, compiled: int) -> None:
    log: list[tuple[object, ...]] = []
    graph = Graph("g", Probe(log), (TensorSpec("x"),), (TensorSpec("y"),))
    compilations: list[nn.Module] = []

    def compiler(module: nn.Module) -> nn.Module:
        compilations.append(module)
        return module

    before = flags()
    makes = pytorch_makes(graph, INPUTS, compiler, device="cpu")
    assert len(makes) == 5 and next(iter(makes)) == EAGER_FLOAT32
    contestant = makes[name]()
    with contestant.settings():
        contestant.run()
    assert log == [(dtype, dtype, tf32, tf32, True, True)]
    assert flags() == before and len(compilations) == compiled
    assert next(graph.module.parameters()).dtype is torch.float32


def test_the_whole_network_is_timed_without_tf32() -> None:
    log: list[tuple[object, ...]] = []
    contestant = eager_make(Graph("g", Probe(log), (TensorSpec("x"),), ()), INPUTS, device="cpu")()
    with contestant.settings():
        contestant.run()
    assert log == [(torch.float32, torch.float32, False, False, True, True)]


class Session:
    """ONNX Runtime's, on the providers that a test says."""

    def __init__(self, providers: list[str], log: list[object], path: Path, options: object, providers_asked: object = None) -> None:
        self.providers, self.log = providers, log

    def get_providers(self) -> list[str]:
        return self.providers

    def io_binding(self) -> "Session":
        return self

    def bind_ortvalue_input(self, name: str, value: object) -> None:
        self.log.append((name, value))

    def bind_output(self, name: str, device: str) -> None:
        self.log.append((name, device))

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="y")]

    def run_with_iobinding(self, binding: "Session") -> None:
        self.log.append("run")


def fake_onnxruntime(available: list[str], used: list[str], log: list[object]) -> SimpleNamespace:
    entries = SimpleNamespace(add_session_config_entry=lambda key, value: log.append((key, value)))
    return SimpleNamespace(
        __version__="1.0",
        get_available_providers=lambda: available,
        SessionOptions=lambda: entries,
        InferenceSession=lambda file, options, providers: Session(used, log, file, options, providers),
        OrtValue=SimpleNamespace(ortvalue_from_numpy=lambda array, device, index: f"{device}:{index}"),
    )


def test_onnx_runtime_is_timed_on_its_cuda_provider_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[object] = []
    both = [CUDA_PROVIDER, "CPUExecutionProvider"]
    monkeypatch.setitem(sys.modules, "onnxruntime", fake_onnxruntime(both, both, log))
    contestant = ort_cuda_make(Path("g.onnx"), INPUTS)()
    contestant.run()
    assert log == [("session.disable_cpu_ep_fallback", "1"), ("x", "cuda:0"), ("y", "cuda"), "run"]
    assert contestant.clock.method == "wall clock"
    monkeypatch.setitem(sys.modules, "onnxruntime", fake_onnxruntime(both, both[1:], log))
    with pytest.raises(ExecutionError, match="runs it on CPUExecutionProvider, not on CUDAExecutionProvider"):
        ort_cuda_make(Path("g.onnx"), INPUTS)()


def test_onnx_runtime_without_cuda_is_a_sentence() -> None:
    import onnxruntime

    if CUDA_PROVIDER in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has it")
    with pytest.raises(ExecutionError, match="has no CUDA provider; pip install onnxruntime-gpu"):
        ort_cuda_make(Path("g.onnx"), INPUTS)()


def test_compilation_replays_cuda_graphs_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []
    monkeypatch.setattr(cuda_contestants.torch, "compile", lambda module, mode: modes.append(mode) or module)
    graph = Graph("g", nn.ReLU(), (TensorSpec("x"),), ())
    for make in pytorch_makes(graph, INPUTS, device="cpu").values():
        partial(make)()
    assert modes == ["reduce-overhead"] * 2
