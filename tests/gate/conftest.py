"""A release of a small model, made once."""

import shutil
from pathlib import Path

import pytest
from gate_helpers import quick_memory, release, write_recipe

__all__ = ["quick_memory"]  # for the tests of this folder


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory, quick_memory: None) -> Path:
    """A folder with recipe, pictures, cache and a bundle that passed. Not to be changed."""
    folder = tmp_path_factory.mktemp("gate") / "work"
    folder.mkdir()
    write_recipe(folder)
    code, output = release(folder)
    assert code == 0, output
    return folder


@pytest.fixture
def work(honest: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(honest, tmp_path / "work"))


@pytest.fixture
def dist(honest: Path, tmp_path: Path) -> Path:
    """A copy of its bundle."""
    return Path(shutil.copytree(honest / "dist", tmp_path / "dist"))
