"""What a machine has for `make gpu-check`, and what it lacks, a sentence each."""

import importlib.metadata
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from cuda_latency import reason

from instantstyle.system.errors import InstantStyleError
from instantstyle.targets.packages import install_command, missing_packages
from instantstyle.targets.tensorrt.bindings import TENSORRT, TENSORRT_RTX, Gpu, Probe, Product, probe
from instantstyle.targets.tensorrt.builder import build_engine

PRODUCTS = (TENSORRT_RTX, TENSORRT)
LIBRARIES = ("torch", "triton", "tensorrt", "tensorrt-rtx", "onnxruntime", "onnxruntime-gpu", "onnx", "numpy")
NO_GPU = "no NVIDIA GPU, or no driver for it, on this machine"
NO_CUDA = f"this PyTorch ({torch.__version__}) has no CUDA; install a build that has"


@dataclass(frozen=True)
class Survey:
    """A machine.

    Attributes:
        gpu: the first one; None if there is none.
        usable: products that are installed and build for this GPU.
        missing: what is not here or does not suit, a sentence each.
        obstacle: why nothing at all can be measured; empty if something can.
    """

    gpu: Gpu | None
    usable: tuple[Product, ...]
    missing: tuple[str, ...]
    obstacle: str = ""


def survey(products: Sequence[Product] = PRODUCTS) -> Survey:
    """Looks at the driver, PyTorch and both TensorRTs. Never raises."""
    absent = {product.target for product in products if missing_packages([product.module])}
    probes = {product.target: probe(product) for product in products if product.target not in absent}
    gpu = next((found.gpu for found in probes.values() if found.gpu), None) or gpu_of_torch()
    missing, usable = [], []
    for product in products:
        problem = _absence(product) if product.target in absent else _problem(product, probes[product.target], gpu)
        if problem:
            missing.append(problem)
        else:
            usable.append(product)
    return Survey(gpu, tuple(usable) if gpu else (), tuple(missing), _obstacle(gpu, probes.values()))


def gpu_of_torch() -> Gpu | None:
    """The first GPU as PyTorch sees it."""
    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability(0)
    return Gpu(torch.cuda.get_device_name(0), 10 * major + minor)


def driver_version() -> str:
    """Of the NVIDIA driver; ``unknown`` if nvidia-smi does not tell."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    told = subprocess.run([program, "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True, check=False)
    lines = told.stdout.split()
    return lines[0] if told.returncode == 0 and lines else "unknown"


def versions() -> dict[str, str]:
    """Python, and of LIBRARIES those that are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _absence(product: Product) -> str:
    return f"{product.title} is not installed: {install_command([product.module])}"


def _problem(product: Product, found: Probe, gpu: Gpu | None) -> str:
    """Why an installed product is of no use for a GPU; empty if it is."""
    if found.problem:
        return f"{product.title} cannot be loaded: {found.problem}"
    if gpu is None or not product.ahead_of_time or gpu.capability in found.capabilities:
        return ""
    known = ", ".join(map(str, found.capabilities))
    words = own_words(product) if found.gpu else "was not asked, it sees no GPU"
    return (
        f"{product.title} {found.version} does not build for compute capability {gpu.capability} ({gpu.name}), only for {known}; "
        f"asked for the GPU at hand, it {words}"
    )


def own_words(product: Product) -> str:
    """What a product says when it is to build the smallest engine for the GPU at hand."""
    import onnx

    shape = onnx.TensorProto.FLOAT, [1, 1, 8, 8]
    tensors = [onnx.helper.make_tensor_value_info(name, *shape) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "trial", tensors[:1], tensors[1:])
    with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder:
        file = Path(folder) / "trial.onnx"
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), file)
        try:
            build_engine(product, file, capability=None, engine=file.with_suffix(".engine"), workspace_mib=None, graph="trial")
        except InstantStyleError as error:
            return f"says '{reason(error)}'"
    return "builds an engine that nothing here opens"


def _obstacle(gpu: Gpu | None, probes: Iterable[Probe]) -> str:
    if torch.cuda.is_available():
        return ""
    if gpu is not None:
        return f"{gpu.name} is here, but {NO_CUDA}"
    if torch.version.cuda is None and not any(not found.problem for found in probes):
        # Nobody here can look for a GPU.
        return NO_CUDA
    return NO_GPU
