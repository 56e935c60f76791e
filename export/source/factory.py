"""Finds and calls the factory that a recipe names."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ...system.errors import InstantStyleError, RecipeError

TORCH_FOLDER = str(Path(torch.__file__).parent)
STANDARD_LIBRARY = sysconfig.get_paths()["stdlib"]
NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def import_factory(factory: str, base: Path) -> tuple[Callable[..., Any], ModuleType]:
    """The function that ``module:function`` or ``path/to/file.py:function`` names, and its module.

    The folder of the file, or of the recipe and the current one for a module, join the end of ``sys.path`` and stay
    there: a model may import its helpers as late as in ``forward``.

    Args:
        base: folder of the recipe, from which a file's path starts.

    Raises:
        RecipeError: no such module, file or function, or importing it failed (with the user's line).
    """
    where, colon, function = factory.rpartition(":")
    if not colon or not where or not function.isidentifier():
        raise RecipeError(f"model.factory: found {factory!r}; allowed: 'module:function' or 'path/to/file.py:function'")
    module = _import_file(base / where, factory) if where.endswith(".py") else _import_module(where, base, factory)
    found = getattr(module, function, None)
    if not callable(found):
        names = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__ and _may_make(value)]
        raise RecipeError(f"model.factory: {where} has no function '{function}'; it has: {', '.join(names) or 'none'}")
    return found, module


def _may_make(value: object) -> bool:
    return inspect.isfunction(value) or (inspect.isclass(value) and issubclass(value, torch.nn.Module))


def call_factory(function: Callable[..., Any], factory: str, checkpoint: Path | None) -> tuple[object, bool]:
    """What the factory returns, and whether it took the checkpoint itself, by declaring a parameter ``checkpoint``.

    Raises:
        RecipeError: it raised, with the user's line. Our own errors pass.
    """
    parameters = inspect.signature(function).parameters
    takes_checkpoint = "checkpoint" in parameters
    wanted = [name for name, each in parameters.items() if name != "checkpoint" and each.default is each.empty and each.kind in NAMED]
    if wanted:
        raise RecipeError(
            f"model.factory: {factory} wants {', '.join(wanted)}, and is called without arguments: give defaults, or name a function that "
            f"returns {function.__name__}(...) with what it was trained with"
        )
    try:
        return (function(checkpoint=checkpoint) if takes_checkpoint else function()), takes_checkpoint
    except InstantStyleError:
        raise
    except (Exception, SystemExit) as error:
        raise RecipeError(f"model.factory: {factory} failed: {users_line(error)}") from error


def users_line(error: BaseException) -> str:
    """The error and the innermost line of the user's code, e.g. ``KeyError: 'width' at net.py:12, in make: return …``."""
    message = f"{type(error).__name__}: {str(error).strip()}".split("\n\n")[0]
    if isinstance(error, SystemExit):
        message += " (it ended the process or reads the command's arguments; move that under if __name__ == '__main__')"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_users(frame.filename)]
    frames = [frame for frame in frames if not is_installed(frame.filename)] or frames
    if isinstance(error, SyntaxError) or not frames:
        return message
    frame = frames[-1]
    return f"{message}\n  at {frame.filename}:{frame.lineno}, in {frame.name}: {frame.line}"


def is_users(filename: str) -> bool:
    """Whether a file is people's own code, by its name in a traceback."""
    ours = str(Path(__file__).parent)
    return not (filename.startswith((TORCH_FOLDER, ours, "<")) or "importlib" in filename)


def is_installed(filename: str) -> bool:
    """Whether a file belongs to Python itself or to a package that was installed."""
    return filename.startswith(STANDARD_LIBRARY) or not {"site-packages", "dist-packages"}.isdisjoint(Path(filename).parts)


def _import_module(name: str, base: Path, factory: str) -> ModuleType:
    _extend_path(base, Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise RecipeError(
                f"model.factory: no module '{error.name}' for {factory!r}. Install it, start in the folder that has it, "
                "or name a file: 'path/to/file.py:function'"
            ) from error
        raise RecipeError(f"model.factory: importing {name} failed: {users_line(error)}") from error
    except (Exception, SystemExit) as error:
        raise RecipeError(f"model.factory: importing {name} failed: {users_line(error)}") from error


def _import_file(path: Path, factory: str) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise RecipeError(f"model.factory: no such file {path} for {factory!r}")
    if (path.parent / "__init__.py").is_file():
        return _import_from_package(path)
    _extend_path(path.parent)
    name = f"instantstyle_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"model.factory: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise RecipeError(f"model.factory: importing {path} failed: {users_line(error)}") from error
    return module


def _import_from_package(path: Path) -> ModuleType:
    """A file of a package, under its dotted name: it may import its neighbours by relative names."""
    root, parts = path.parent, [] if path.stem == "__init__" else [path.stem]
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    name = ".".join(parts)
    # Those of the file's own folder as well, as for any other file.
    _extend_path(root, path.parent)
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise RecipeError(f"model.factory: importing {path} as {name} failed: {users_line(error)}") from error
    if Path(str(module.__file__)).resolve() != path:
        raise RecipeError(f"model.factory: {path} is {name} of a package, but {module.__file__} has that name as well: rename its folder")
    return module


def _extend_path(*folders: Path) -> None:
    for folder in map(str, folders):
        if folder not in sys.path:
            sys.path.append(folder)
