"""Whether the packages that a target needs are there, and the command that installs them."""

import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Sequence

from ..system.errors import TargetUnavailableError
from ..system.silence import silence

DISTRIBUTION = "instantstyle"


def missing_packages(packages: Sequence[str]) -> tuple[str, ...]:
    """Those of the packages that are not installed; imports none of them."""
    return tuple(package for package in packages if importlib.util.find_spec(package) is None)


def install_command(packages: Sequence[str]) -> str:
    """``pip install "onnxruntime>=1.32.0"``, with the lower bounds of this distribution; empty for no packages."""
    return "pip install " + " ".join(f'"{_requirement(package)}"' for package in packages) if packages else ""


def require(target: str, packages: Sequence[str]) -> None:
    """Imports the packages that a target is about to use.

    Raises:
        TargetUnavailableError: one is not installed, or is but cannot be imported; with the command that installs it.
    """
    missing = missing_packages(packages)
    if missing:
        raise TargetUnavailableError(f"target '{target}' needs {', '.join(missing)}, not installed here: {install_command(missing)}")
    for package in packages:
        try:
            with silence():
                importlib.import_module(package)
        except ImportError as error:
            remedy = install_command([package]).replace("install", "install --force-reinstall", 1)
            raise TargetUnavailableError(f"target '{target}': {package} is installed but cannot be imported ({error}): {remedy}") from error


def _requirement(package: str) -> str:
    try:
        declared = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        declared = []
    for requirement in declared:
        text = requirement.split(";")[0].strip()
        if re.split(r"[<>=!~ \[]", text, maxsplit=1)[0].replace("-", "_") == package:
            return text.replace(" ", "")
    return package.replace("_", "-")
