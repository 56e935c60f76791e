"""Engine files: what they are called, what they need, and which of them belongs to the GPU at hand."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ...model.errors import ArtifactError, ExecutionError
from ..base import Precision
from .bindings import Gpu, Product

LIST = "engines.json"


@dataclass(frozen=True)
class Engine:
    """One engine of a graph. It runs on nothing but what it was built for.

    Attributes:
        file: name, beside the list.
        product: target that built it.
        version: of the TensorRT that built it; the same is needed to run it.
        capability: compute capability, 86 for 8.6.
        system: e.g. ``linux-x86_64``.
        precision: of its convolutions.
    """

    file: str
    product: str
    version: str
    capability: int
    system: str
    precision: Precision


_ENGINES = TypeAdapter(tuple[Engine, ...])


def this_system() -> str:
    """``linux-x86_64``."""
    return f"{platform.system().lower()}-{platform.machine().lower()}"


def name_engine(product: Product, version: str, capability: int, precision: Precision) -> Engine:
    """An engine that is built here; its file's name carries all that it needs."""
    system = this_system()
    file = f"{product.target.replace('_', '-')}-{version}_sm{capability}_{system}_{precision}.engine"
    return Engine(file, product.target, version, capability, system, precision)


def write_list(engines: Sequence[Engine], folder: Path) -> None:
    """``engines.json`` in a graph's folder."""
    (folder / LIST).write_bytes(_ENGINES.dump_json(tuple(engines), indent=1) + b"\n")


def read_list(folder: Path) -> tuple[Engine, ...]:
    """Raises ArtifactError if it is missing or damaged."""
    path = folder / LIST
    try:
        return _ENGINES.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactError(f"{path} is missing or no list of engines; build the artifact again") from error


def choose(engines: Sequence[Engine], product: Product, version: str, gpu: Gpu) -> Engine:
    """The engine for this machine.

    Raises:
        ExecutionError: there is none, in one sentence: for another system, another TensorRT or another GPU.
    """
    system = this_system()
    if system not in {engine.system for engine in engines}:
        raise ExecutionError(f"these engines were built for {_all(engine.system for engine in engines)}, this is {system}; build them here")
    if version not in {engine.version for engine in engines}:
        versions = _all(engine.version for engine in engines)
        raise ExecutionError(
            f"these engines were built by {product.title} {versions}, installed is {version}; install that version, or build them again"
        )
    for engine in engines:
        if (engine.capability, engine.system, engine.version) == (gpu.capability, system, version):
            return engine
    raise ExecutionError(
        f"these engines are for compute capability {_all(str(engine.capability) for engine in engines)}, "
        f"{gpu.name} has {gpu.capability}; build one for it"
    )


def _all(values) -> str:
    return ", ".join(dict.fromkeys(values))
