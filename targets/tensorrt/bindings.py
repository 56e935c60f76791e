"""TensorRT from a safe distance: every call runs in a child process, so that a crash of the bindings is a sentence and not the end."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...system.errors import TargetUnavailableError

WORKER = Path(__file__).with_name("worker.py")
TIMEOUT_SECONDS = 1800


@dataclass(frozen=True)
class Product:
    """One of the two TensorRTs.

    Attributes:
        target: name of the target.
        module: that is imported.
        title: for people.
        ahead_of_time: whether engines are built for compute capabilities by name, without a GPU.
        without_int8: compute capabilities for which int8 convolutions come out as float ones.
    """

    target: str
    module: str
    title: str
    ahead_of_time: bool
    without_int8: tuple[int, ...] = ()


TENSORRT = Product("tensorrt", "tensorrt", "TensorRT", ahead_of_time=False)
TENSORRT_RTX = Product("tensorrt_rtx", "tensorrt_rtx", "TensorRT for RTX", ahead_of_time=True, without_int8=(75,))


@dataclass(frozen=True)
class Gpu:
    """The first NVIDIA GPU. ``capability`` is 86 for compute capability 8.6."""

    name: str
    capability: int


@dataclass(frozen=True)
class Probe:
    """What the bindings and the driver say.

    Attributes:
        version: of the bindings; empty if they cannot be loaded.
        gpu: None without a driver or a GPU.
        capabilities: that engines can be built for without a GPU.
        problem: why the bindings cannot be loaded, empty if they can.
    """

    version: str
    gpu: Gpu | None
    capabilities: tuple[int, ...]
    problem: str = ""


@cache
def probe(product: Product) -> Probe:
    """Loads the bindings once in a child process and looks for a GPU. Never raises."""
    try:
        answer = ask(product, {"task": "probe"})
    except TargetUnavailableError as error:
        return Probe("", None, (), str(error))
    gpu = answer["gpu"]
    return Probe(answer["version"], Gpu(gpu["name"], gpu["capability"]) if gpu else None, tuple(answer["capabilities"]))


def ask(product: Product, request: Mapping[str, Any]) -> dict[str, Any]:
    """The worker's answer.

    Raises:
        TargetUnavailableError: the process crashed, or took too long; says how, with the end of what it printed.
    """
    question = json.dumps({"module": product.module, **request})
    try:
        child = subprocess.run(
            [sys.executable, "-P", str(WORKER)], input=question, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TargetUnavailableError(f"{product.title} took more than {TIMEOUT_SECONDS} s to {request['task']}") from error
    if child.returncode != 0:
        printed = [line for line in child.stderr.strip().splitlines() if line.strip()]
        raise TargetUnavailableError(f"{product.title} {_ending(child.returncode)}: {printed[-1] if printed else 'it printed nothing'}")
    return json.loads(child.stdout)


def _ending(code: int) -> str:
    if code < 0:
        return f"crashed with {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
