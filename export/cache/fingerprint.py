"""What a stage's result depends on, as hashes: code, libraries, weights, settings."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ...system.errors import InstantStyleError
from ...system.hashing import digest, file_sha256

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ...model.graph import Model

PRODUCT = Path(__file__).resolve().parents[2]
MEMORY_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@cache
def product_sources(places: tuple[str, ...]) -> str:
    """Hash of the Python files of the product in some of its folders, e.g. ``targets``, and of single ones.

    New files in them count: a stage that runs once too often is better than one that is not run.

    Raises:
        InstantStyleError: there is no source in one of the places, so that a change of it would not be seen.
    """
    return digest({path: file_sha256(PRODUCT / path) for path in product_files(places)})


def product_files(places: Iterable[str]) -> tuple[str, ...]:
    """The Python files in folders of the product, and single ones, relative to it. InstantStyleError as ``product_sources``."""
    found: set[str] = set()
    for place in places:
        own = [PRODUCT / place] if place.endswith(".py") else sorted((PRODUCT / place).rglob("*.py"))
        if not own or not all(path.is_file() for path in own):
            raise InstantStyleError(f"{PRODUCT / place}: no Python source there, so that a change of it would not be seen; install again")
        found.update(path.relative_to(PRODUCT).as_posix() for path in own)
    return tuple(sorted(found))


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


def user_packages(module: ModuleType) -> dict[str, str]:
    """Versions of the installed packages that ``user_sources`` import, by their name in the index."""
    heads = {name.partition(".")[0] for file in user_sources(module) for name in _imports(file, file.stem)}
    return {name: importlib.metadata.version(name) for head in heads for name in _distributions().get(head, ())}


@cache
def _distributions() -> Mapping[str, Sequence[str]]:
    return importlib.metadata.packages_distributions()


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
    """File of a module, or folder of a package without one; None for what is built in or is no module. Links are not followed: what a
    virtual environment links to is in it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    place = spec.origin if spec.has_location else next(iter(folders), None)
    return Path(place).absolute() if place is not None else None


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
            "weights": weights_sha256(model),
            "values": _hash_attributes(model, _is_plain, repr),
            "interface": [(graph.name, repr(graph.inputs), repr(graph.outputs)) for graph in model.graphs],
            "structure": [MEMORY_ADDRESS.sub("", repr((graph.module, _hooks(graph.module)))) for graph in model.graphs],
            "scenario": [repr(model.sample_inputs), model.hot_graph, model.size_multiple, model.name],
            "sources": sources_hash(user_sources(source)),
            "code": _code_of(model),
            "packages": user_packages(source),
        }
    )


def _code_of(model: "Model") -> str:
    """Hash of what the modules' own code compiles to: classes of a notebook or of a string have no source file."""
    state, seen = hashlib.sha256(), set[int]()
    for graph in model.graphs:
        for path, module in graph.module.named_modules():
            for kind in type(module).__mro__:
                if _is_own_code(_location(kind.__module__.partition(".")[0])) or kind.__module__ == "__main__":
                    for name, value in sorted(vars(kind).items()):
                        _hash_code(state, f"{graph.name}.{path}.{name}", value, seen)
    return state.hexdigest()


def _hash_code(state: "hashlib._Hash", name: str, value: object, seen: set[int]) -> None:
    """Of a function, and of the functions of its own module that it calls."""
    function = inspect.unwrap(value) if callable(value) else getattr(value, "__func__", None)
    code = getattr(function, "__code__", None)
    if code is None or id(code) in seen:
        return
    seen.add(id(code))
    constants = [value for value in code.co_consts if not inspect.iscode(value)]
    state.update(f"{name} {code.co_code.hex()} {code.co_names} {constants!r}\n".encode())
    space = getattr(function, "__globals__", {})
    for called in code.co_names:
        other = space.get(called)
        if inspect.isfunction(other) and other.__module__ == space.get("__name__"):
            _hash_code(state, called, other, seen)


def _hooks(module: "nn.Module") -> list[object]:
    """What changes the results of a module's forward from outside of it, and is in no ``repr`` of it."""
    return [hook for child in module.modules() for hook in (*child._forward_pre_hooks.values(), *child._forward_hooks.values())]


def weights_sha256(model: "Model") -> str:
    """Hash of all tensors that a model's modules hold: parameters, buffers, persistent or not, and plain attributes."""
    import torch

    return _hash_attributes(model, lambda value: isinstance(value, torch.Tensor), _tensor_text)


def _hash_attributes(model: "Model", wanted: Callable[[Any], bool], text: Callable[[Any], str]) -> str:
    """Hash of what modules hold, by graph, module path and name."""
    state = hashlib.sha256()
    for graph in model.graphs:
        for path, module in graph.module.named_modules(remove_duplicate=False):
            held = {**module._parameters, **module._buffers, **vars(module)}
            for name in sorted(held):
                if wanted(held[name]) and name != "training":  # which measuring itself changes
                    state.update(f"{graph.name}.{path}.{name} {text(held[name])}\n".encode())
    return state.hexdigest()


def _tensor_text(tensor: "Tensor") -> str:
    import torch

    values = tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy()
    return f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(values.data).hexdigest()}"


def _is_plain(value: object) -> bool:
    """Numbers, texts, and sequences of them, however deep."""
    return all(map(_is_plain, value)) if isinstance(value, tuple | list) else isinstance(value, int | float | complex | str)


@cache
def _library_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    named = [paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()]
    return tuple(form for path in named for form in (Path(path).absolute(), Path(path).resolve()))


def _is_own_code(place: Path | None) -> bool:
    return place is not None and not any(place.is_relative_to(folder) for folder in _library_folders())
