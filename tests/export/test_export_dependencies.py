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
# Packages are loaded once; every stage is then imported in a child of its own, in which nothing of the product is loaded yet.
IMPORT_STAGES = """
import importlib, json, os, pkgutil, sys
import torch, torchao, numpy, PIL.Image, pydantic, jsonschema, rich.console, safetensors.torch, onnx, onnxruntime, onnxscript, onnx_ir
import torchao.quantization.pt2e.quantize_pt2e, torch.onnx, torch.export
try:
    import coremltools
except ImportError:
    pass
def load(name):
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        for found in pkgutil.walk_packages(module.__path__, f"{name}."):
            if found.name != "instantstyle.targets.tensorrt.worker":
                importlib.import_module(found.name)
rows = {}
for stage, modules in json.loads(sys.argv[1]).items():
    receive, send = os.pipe()
    if os.fork() == 0:
        assert not any(name.startswith("instantstyle.") for name in sys.modules)
        for name in modules:
            load(f"instantstyle.{name}")
        found = [module.__file__ for name, module in sys.modules.items() if name.startswith("instantstyle.") and module.__file__]
        with os.fdopen(send, "w") as file:
            json.dump(found, file)
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as file:
        rows[stage] = json.loads(file.read())
    os.wait()
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
