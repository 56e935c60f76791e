"""What stages depend on: everything that they load is in the table, and the machine counts where it has to."""

import ast
import importlib.metadata
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from instantstyle.export.cache.dependencies import IDLE, STAGES, dependencies
from instantstyle.export.cache.fingerprint import PRODUCT, product_files
from instantstyle.export.cache.pipeline import surroundings
from instantstyle.system import device as device_module
from instantstyle.system.device import device
from instantstyle.system.errors import InstantStyleError

# Of these the version cannot change a result: they check, show, count, or read the system.
NOT_COMPUTING = {"instantstyle", "jsonschema", "matplotlib", "psutil", "pydantic", "pydantic_core", "rich", "tomlkit", "typer"}
# In a process in which nothing of the product is loaded yet; who imports whom is noted as it happens, also where a module is there already.
IMPORT_STAGES = """
import builtins, importlib, importlib.util, json, pkgutil, sys
assert not any(name.startswith("instantstyle") for name in sys.modules)
OTHERS = {f"instantstyle.targets.{each}" for each in ("tensorrt.worker", "triton.backend", "triton.check_config")}  # run by other programs
usual, by_name, imported = builtins.__import__, importlib.import_module, {}
def note(importer, names):
    if importer.startswith("instantstyle"):
        imported.setdefault(importer, set()).update(names)
def noted(name, globals=None, locals=None, fromlist=(), level=0):
    found = usual(name, globals, locals, fromlist, level)
    base = importlib.util.resolve_name("." * level + name, globals["__package__"]) if level else name
    note((globals or {}).get("__name__", ""), [base, *(f"{base}.{each}" for each in fromlist or ())])
    return found
def noted_by_name(name, package=None):
    note(sys._getframe(1).f_globals["__name__"], [importlib.util.resolve_name(name, package)])
    return by_name(name, package)
builtins.__import__, importlib.import_module = noted, noted_by_name
def members(name):
    module = importlib.import_module(name)
    names = [found.name for found in pkgutil.walk_packages(module.__path__, f"{name}.")] if hasattr(module, "__path__") else []
    names = [each for each in names if each not in OTHERS]
    for each in names:
        importlib.import_module(each)
    return [name, *names]
rows = {}
for stage, modules in json.loads(sys.argv[1]).items():
    waiting, seen = [each for name in modules for each in members(f"instantstyle.{name}")], set()
    while waiting:
        name = waiting.pop()
        if name.partition(".")[0] == "instantstyle" and name in sys.modules and name not in seen:
            seen.add(name)
            waiting += [name.rpartition(".")[0], *imported.get(name, ())]
    rows[stage] = [sys.modules[name].__file__ for name in seen if sys.modules[name].__file__]
print(json.dumps(rows))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """By stage, the product's files that are loaded with it."""
    modules = {name: stage.modules for name, stage in STAGES.items()}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_STAGES, json.dumps(modules)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    return {stage: {Path(file).resolve().relative_to(PRODUCT).as_posix() for file in files} for stage, files in rows.items()}


@pytest.mark.parametrize("stage", STAGES)
def test_all_that_a_stage_loads_is_declared(loaded: dict[str, set[str]], stage: str) -> None:
    assert len(loaded[stage]) > 10
    assert loaded[stage] - set(product_files((*STAGES[stage].sources, *IDLE))) == set()


def test_every_stage_that_is_run_is_declared() -> None:
    """Found in the source, so that a new stage is not found by its first user."""
    run = set()
    for file in product_files(("export", "search", "compression", "stylize")):
        for node in ast.walk(ast.parse((PRODUCT / file).read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "run":
                run |= {ast.unparse(name) for name in node.args[:1] if "pipeline" in ast.unparse(node.func.value)}
    assert {name.strip("'") for name in run} == STAGES.keys() - {"search"}


def test_what_is_idle_exists() -> None:
    assert product_files(IDLE)


@pytest.mark.parametrize("stage", STAGES)
def test_every_package_that_a_stage_may_import_is_declared(loaded: dict[str, set[str]], stage: str) -> None:
    """Also inside of functions, where heavy packages are imported."""
    distributions = packages_distributions()
    declared = {name.replace("_", "-").lower() for name in (*STAGES[stage].libraries, *NOT_COMPUTING)}
    for file in loaded[stage] - set(product_files(IDLE)):
        for head in heads(PRODUCT / file):
            for name in distributions.get(head, ()):
                # TensorRT's bindings come in several packages of one version.
                assert name.replace("_", "-").lower() in declared or name.startswith("tensorrt"), f"{file} imports {head}"


packages_distributions = cache(importlib.metadata.packages_distributions)


@cache
def heads(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_a_stage_that_is_not_declared_is_refused() -> None:
    with pytest.raises(InstantStyleError, match="stage 'sign' is not in export/cache/dependencies.py"):
        dependencies("sign")


def test_what_is_built_or_measured_here_depends_on_the_gpu_and_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"

    def install(answer: str) -> dict[str, object]:
        tool.write_text(f"#!/bin/sh\necho '{answer}'\n")
        tool.chmod(0o755)
        device_module.device.cache_clear()
        return {stage: surroundings(stage) for stage in STAGES}

    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    before = install("NVIDIA A100, 590.10, 8.0, 81920 MiB")
    assert device()["gpus"] == ["NVIDIA A100, 590.10, 8.0, 81920 MiB"]
    after = install("NVIDIA A100, 595.02, 8.0, 81920 MiB")
    changed = {stage for stage in STAGES if before[stage] != after[stage]}
    device_module.device.cache_clear()
    assert changed == {"preflight", "emit", "validate", "times", "replay", "search"}
