"""A release of the super-resolution net, made once and copied for every test that starts from one."""

import shutil
from pathlib import Path

import pytest
from export_helpers import release, write_recipe


@pytest.fixture(scope="session")
def released_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recipe, pictures, cache and dist. Not to be changed."""
    folder = tmp_path_factory.mktemp("released")
    write_recipe(folder)
    release(folder)
    return folder


@pytest.fixture
def released(released_once: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "released"
    shutil.copytree(released_once, folder)
    return folder
