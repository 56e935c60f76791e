"""``instantstyle doctor --install TARGET``: an environment for one target, in the folder of the user's cache.

Most have this package in it, and the target works there; some have another program, which the target talks to from here.
"""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlparse

from ...system.errors import InstantStyleError
from ..packages import DISTRIBUTION

# A folder of one's own in the place of the user's cache.
FOLDER_VARIABLE = "INSTANTSTYLE_ENVIRONMENTS"
CONSTRAINTS = "constraints.txt"
SHOWN_LINES = 3
# Programs by target, whose packages do not go with those of this one: pip is told these, and nothing else.
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    # Wants NumPy 1 and protobuf 6. ONNX Runtime is what serves there, and has the version that measures here.
    "triton": ("nvidia-pytriton==0.7.0", "onnxruntime"),
}


def folder(target: str) -> Path:
    """Where a target's environment is, or would be."""
    named = os.environ.get(FOLDER_VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(named) if named else cache / DISTRIBUTION / "environments") / target


def python(target: str) -> Path | None:
    """The interpreter of a target's environment; None if there is none, or it was not finished."""
    found = _interpreter(folder(target))
    return found if found.is_file() and (folder(target) / "ready").is_file() else None


def install(target: str, report: Callable[[str], None] = print) -> Path:
    """Makes the environment, replacing one that exists; returns its folder.

    Raises:
        InstantStyleError: the target has no extra of its own, or pip failed; with the last lines that it said.
    """
    extra = target.replace("_", "-")
    if target not in PROGRAMS and extra not in (importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or ()):
        raise InstantStyleError(f"target '{target}' needs no packages of its own: instantstyle has no extra '{extra}'")
    home = folder(target)
    report(f"environment of target '{target}': {home}")
    if home.exists():
        shutil.rmtree(home)
    home.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(home)], report)
    for arguments in [program(target)] if target in PROGRAMS else requirements(extra):
        report(f"installing {' '.join(arguments)}")
        _run([str(_interpreter(home)), "-m", "pip", "install", "--disable-pip-version-check", *arguments], report)
    home.mkdir(exist_ok=True)
    (home / "ready").touch()
    report(f"ready: {home}")
    return home


def program(target: str) -> list[str]:
    """What pip is told for a program: packages that are installed here as well, in the version that they have here."""
    return [_as_here(requirement) for requirement in PROGRAMS[target]]


def _as_here(requirement: str) -> str:
    try:
        return requirement if "=" in requirement else f"{requirement}=={importlib.metadata.version(requirement)}"
    except importlib.metadata.PackageNotFoundError:
        return requirement


def requirements(extra: str) -> Iterator[list[str]]:
    """What pip is told, call by call: PyTorch first, as ``constraints.txt`` says, then this distribution as it is installed here."""
    source = _source()
    constraints = ["-c", str(source / CONSTRAINTS)] if source is not None and (source / CONSTRAINTS).is_file() else []
    yield [*constraints, f"torch=={importlib.metadata.version('torch').partition('+')[0]}"]
    if source is not None:
        yield [*constraints, "-e", f"{source}[{extra}]"]
    else:
        yield [f"{DISTRIBUTION}[{extra}]=={importlib.metadata.version(DISTRIBUTION)}"]


def _source() -> Path | None:
    """The clone that this distribution is an editable install of."""
    told = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    known = json.loads(told) if told else {}
    return Path(unquote(urlparse(known["url"]).path)) if known.get("dir_info", {}).get("editable") else None


def _interpreter(home: Path) -> Path:
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _run(command: list[str], report: Callable[[str], None]) -> None:
    """Runs a command and passes on what it collects and installs."""
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            said.append(line.strip())
            if line.startswith(("Collecting ", "Installing ", "Successfully ")):
                report(f"  {line.strip()[:100]}")
    if process.returncode:
        last = " / ".join(filter(None, said[-SHOWN_LINES:])) or "it says nothing"
        raise InstantStyleError(f"{Path(command[0]).name} {' '.join(command[1:4])} failed with code {process.returncode}: {last}")
