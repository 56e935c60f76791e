"""What a stage's result depends on, as hashes: code, libraries, weights, settings."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from ..model.graph import Model

PRODUCT = Path(__file__).resolve().parent.parent
LIBRARIES = ("torch", "torchao", "numpy", "onnx", "onnxscript", "onnxruntime", "onnxsim", "pillow", "scikit-image", "safetensors")
# What a target alone uses: another version of these is no reason to train again.
TARGET_LIBRARIES = ("coremltools", "onnx-ir", "tensorrt", "tensorrt-rtx")
MEMORY_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def digest(parts: Mapping[str, object]) -> str:
    """SHA-256 of JSON-able ``parts``, the same whatever their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def library_versions(names: tuple[str, ...] = LIBRARIES + TARGET_LIBRARIES) -> dict[str, str]:
    """Versions of what can change a result: Python and the numeric libraries; ``absent`` for one that is not installed."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


@cache
def product_sources(folder: str, exclude: frozenset[str] = frozenset()) -> str:
    """Hash of the Python files of one of the product's folders, e.g. ``targets``; ``exclude`` has file names.

    New files count unless they are excluded: a stage that runs once too often is better than one that is not run.
    """
    return sources_hash(path for path in (PRODUCT / folder).rglob("*.py") if path.name not in exclude)


def sources_hash(files: Iterable[Path]) -> str:
    """Hash of names and contents."""
    return digest({"files": [(path.name, file_sha256(path)) for path in sorted(files)]})


def user_sources(module: ModuleType) -> tuple[Path, ...]:
    """The Python files that ``module`` is made of: its own and those of the modules that it imports, and so on.

    Only people's own code: the standard library and installed packages count by their version, except the package of
    ``module`` itself.
    """
    found: set[Path] = set()
    waiting, seen = [module.__name__], {module.__name__}
    while waiting:
        name = waiting.pop()
        file = _own_file(name, module.__name__.partition(".")[0])
        if file is not None:
            found.add(file)
            new = set(_imports(file, name)) - seen
            seen |= new
            waiting.extend(new)
    return tuple(sorted(found))


def user_sources_of(module_name: str) -> str:
    """Hash of the files that ``user_sources`` finds for an imported module."""
    return sources_hash(user_sources(sys.modules[module_name]))


def _own_file(name: str, top: str) -> Path | None:
    """The source of a module, imported or not yet, if it is people's own code or in the package ``top``."""
    head = name.partition(".")[0]
    if head != top and not _is_own_code(_location(head)):
        return None
    location = _location(name)
    return location if location is not None and location.suffix == ".py" else None


@cache
def _location(name: str) -> Path | None:
    """File of a module, or folder of a package without one; None for what is built in or is no module."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    place = spec.origin if spec.has_location else next(iter(folders), None)
    return Path(place).resolve() if place is not None else None


def _imports(file: Path, name: str) -> Iterator[str]:
    """Full names of what a module's source imports, wherever in it; names that turn out to be no modules do no harm."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, (above, node.module)))
            yield from filter(None, [base])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def model_fingerprint(model: "Model", source: ModuleType) -> str:
    """Hash of a model: weights, interface, structure and the code behind it."""
    return digest(
        {
            "weights": {graph.name: _weights_hash(graph.module) for graph in model.graphs},
            "interface": [(graph.name, repr(graph.inputs), repr(graph.outputs)) for graph in model.graphs],
            "structure": [MEMORY_ADDRESS.sub("", repr((graph.module, _hooks(graph.module)))) for graph in model.graphs],
            "scenario": [repr(model.sample_inputs), model.hot_graph, model.size_multiple, model.name],
            "sources": sources_hash(user_sources(source)),
        }
    )


def _hooks(module: "nn.Module") -> list[object]:
    """What changes the results of a module's forward from outside of it, and is in no ``repr`` of it."""
    return [hook for child in module.modules() for hook in (*child._forward_pre_hooks.values(), *child._forward_hooks.values())]


def _weights_hash(module: "nn.Module") -> str:
    import torch

    state = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        state.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        state.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
    return state.hexdigest()


@cache
def _library_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    named = [paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()]
    return tuple(Path(path).resolve() for path in named)


def _is_own_code(place: Path | None) -> bool:
    return place is not None and not any(place.is_relative_to(folder) for folder in _library_folders())
