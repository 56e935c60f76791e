"""Engine files: what they are called, what they need, and which of them belongs to the GPU at hand."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ...recipe.precision import Precision
from ...system.errors import ArtifactError, ExecutionError
from ...system.hashing import file_sha256
from ..artifact import MANIFEST
from ..base import Artifact
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
        onnx_sha256: of the ONNX file that it was built from, beside the list.
    """

    file: str
    product: str
    version: str
    capability: int
    system: str
    precision: Precision
    onnx_sha256: str = ""


_ENGINES = TypeAdapter(tuple[Engine, ...])


def this_system() -> str:
    """Of this machine, e.g. ``linux-x86_64``."""
    return f"{platform.system().lower()}-{platform.machine().lower()}"


def name_engine(product: Product, version: str, capability: int, precision: Precision, onnx_sha256: str = "") -> Engine:
    """An engine that is built here; its file's name carries all that it needs to run."""
    system = this_system()
    file = f"{product.target.replace('_', '-')}-{version}_sm{capability}_{system}_{precision}.engine"
    return Engine(file, product.target, version, capability, system, precision, onnx_sha256)


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


def check_engines(engines: Sequence[Engine], artifact: Artifact, onnx_file: Path) -> None:
    """Whether engines are those of an artifact, built from the ONNX file beside them. Without a GPU, an engine itself does not tell.

    Raises:
        ExecutionError: one is another target's, of another precision, or was built from another file; names it.
    """
    wanted = {"product": artifact.target, "precision": artifact.precision, "onnx_sha256": file_sha256(onnx_file)}
    for engine in engines:
        for field, value in wanted.items():
            found = getattr(engine, field)
            if found != value:
                where = f"{onnx_file.with_name(LIST)}: {field} of {engine.file} is '{found}'"
                raise ExecutionError(f"{where}, by {MANIFEST} and {onnx_file.name} it is '{value}'; build the artifact again")


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
