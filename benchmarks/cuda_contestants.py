"""Who is timed on an NVIDIA GPU: an engine in three ways, PyTorch in five, ONNX Runtime's CUDA provider."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from cuda_latency import Contestant, EventClock, Make, WallClock
from torch import nn

from instantstyle.model.graph import Arrays, Graph
from instantstyle.system.errors import ExecutionError
from instantstyle.validation.measure.latency import Pass

EAGER_FLOAT32 = "PyTorch float32"
ORT_CUDA = "ONNX Runtime CUDA float32"
CUDA_PROVIDER = "CUDAExecutionProvider"
# Passes of one engine on equal inputs differ by the order of sums at most; outputs are images in [-1, 1] or codes.
SAME = 0.02
Compiler = Callable[[nn.Module], Callable[..., object]]


class DeviceRunner(Protocol):
    """What is needed of ``targets.tensorrt.engine_runner.EngineRunner``."""

    stream: Any
    buffers: dict[str, torch.Tensor]

    def enqueue(self) -> None:
        """One pass on the buffers, on ``stream``."""
        ...

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """One pass from host to host."""
        ...


def engine_makes(label: str, runner: DeviceRunner, inputs: Arrays) -> dict[str, Make]:
    """An engine on device buffers, as a CUDA graph, and host to host. ``label`` names the artifact."""
    return {
        f"{label}, device buffers": partial(_on_buffers, runner, inputs),
        f"{label}, CUDA graph": partial(_as_cuda_graph, runner, inputs),
        f"{label}, host to host": partial(_host_to_host, runner, inputs),
    }


def _on_buffers(runner: DeviceRunner, inputs: Arrays) -> Contestant:
    return _checked(runner, runner.enqueue, inputs)


def _as_cuda_graph(runner: DeviceRunner, inputs: Arrays) -> Contestant:
    runner.run(inputs)  # whatever an engine does at its first pass has no place in the graph
    graph = torch.cuda.CUDAGraph()
    # The outer context because a capture that fails does not put the former stream back.
    current = torch.cuda.stream(torch.cuda.current_stream())
    with current, torch.cuda.graph(graph, stream=runner.stream, capture_error_mode="thread_local"):
        runner.enqueue()
    return _checked(runner, graph.replay, inputs)


def _host_to_host(runner: DeviceRunner, inputs: Arrays) -> Contestant:
    return Contestant(partial(runner.run, inputs), WallClock())


def _checked(runner: DeviceRunner, run: Pass, inputs: Arrays) -> Contestant:
    """A contestant on the runner's stream, which was seen to compute what ``run`` of the runner computes: an empty graph is fast, too."""
    settings = partial(torch.cuda.stream, runner.stream)
    wanted = runner.run(inputs)
    with settings():
        for name in wanted:
            runner.buffers[name].fill_(torch.nan)
        run()
        found = {name: runner.buffers[name].cpu().numpy() for name in wanted}
    for name, values in wanted.items():
        if not np.allclose(found[name], values, rtol=0, atol=SAME):
            raise ExecutionError(f"output '{name}' is not that of a plain run, so its time would mean nothing")
    return Contestant(run, EventClock(), settings)


def pytorch_makes(graph: Graph, inputs: Arrays, compiler: Compiler | None = None, device: str = "cuda") -> dict[str, Make]:
    """A graph in PyTorch, inputs on the device: eager in float32 without and with TF32 and in float16, and compiled.

    Args:
        compiler: by default ``torch.compile``, which replays CUDA graphs.
    """
    compiled = compiler or partial(torch.compile, mode="reduce-overhead")
    make = partial(_pytorch, graph, inputs, device=device)
    return {
        EAGER_FLOAT32: partial(make, dtype=torch.float32, tf32=False, compiler=None),
        f"{EAGER_FLOAT32} with TF32": partial(make, dtype=torch.float32, tf32=True, compiler=None),
        "PyTorch float16": partial(make, dtype=torch.float16, tf32=True, compiler=None),
        "torch.compile float32": partial(make, dtype=torch.float32, tf32=False, compiler=compiled),
        "torch.compile float16": partial(make, dtype=torch.float16, tf32=True, compiler=compiled),
    }


def eager_make(graph: Graph, inputs: Arrays, device: str = "cuda") -> Make:
    """A graph in PyTorch, eager, float32 without TF32."""
    return partial(_pytorch, graph, inputs, device=device, dtype=torch.float32, tf32=False, compiler=None)


def _pytorch(graph: Graph, inputs: Arrays, *, device: str, dtype: torch.dtype, tf32: bool, compiler: Compiler | None) -> Contestant:
    module = copy.deepcopy(graph.module).eval().requires_grad_(requires_grad=False).to(device, dtype)
    tensors = tuple(torch.from_numpy(np.array(inputs[spec.name], np.float32)).to(device, dtype) for spec in graph.inputs)
    call = module if compiler is None else compiler(module)
    return Contestant(lambda: call(*tensors), EventClock(), partial(_arithmetic, tf32))


@contextmanager
def _arithmetic(tf32: bool) -> Iterator[None]:
    """No gradients, cuDNN's fastest kernels, and TF32 or not, for convolutions and for matrices: PyTorch's default is yes and no."""
    matrices: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    before = matrices.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matrices.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = tf32, tf32, True
    try:
        with torch.inference_mode():
            yield
    finally:
        matrices.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


def ort_cuda_make(file: Path, inputs: Mapping[str, np.ndarray]) -> Make:
    """An ONNX file in ONNX Runtime's CUDA provider, inputs and outputs on the device, without TF32.

    The provider has a stream of its own, which events on ours do not see: so the time is that of the processor's clock.
    """
    return partial(_ort_cuda, file, inputs)


def _ort_cuda(file: Path, inputs: Mapping[str, np.ndarray]) -> Contestant:
    import onnxruntime

    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        raise ExecutionError(f"ONNX Runtime {onnxruntime.__version__} here has no CUDA provider; pip install onnxruntime-gpu has one")
    options = onnxruntime.SessionOptions()
    # Without this, nodes that the provider does not take go to the processor, and all of them if its libraries are not found.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = onnxruntime.InferenceSession(file, options, providers=[(CUDA_PROVIDER, {"use_tf32": "0"})])
    providers = session.get_providers()
    if providers[:1] != [CUDA_PROVIDER]:
        raise ExecutionError(f"ONNX Runtime runs it on {', '.join(providers)}, not on {CUDA_PROVIDER}")
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, "cuda", 0))
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda")
    return Contestant(lambda: session.run_with_iobinding(binding), WallClock())
