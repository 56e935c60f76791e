"""A small real release, made and signed once."""

import shutil
from pathlib import Path

import pytest
from distribution_helpers import Signed
from gate_helpers import quick_memory, release, run, write_recipe

__all__ = ["quick_memory"]  # for the tests of this folder


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the key pairs ``owner`` and ``stranger``."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("owner", "stranger"):
        code, output = run("keygen", folder / name)
        assert code == 0, output
    return folder


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, quick_memory: None) -> Path:
    """A folder with a recipe, its cache and its unsigned bundle. Not to be changed."""
    folder = tmp_path_factory.mktemp("workshop") / "work"
    folder.mkdir()
    write_recipe(folder)
    with (folder / "recipe.toml").open("a") as recipe:
        recipe.write('\n[app]\nstyles = "validation/styles"\n')
    code, output = release(folder)
    assert code == 0, output
    return folder


@pytest.fixture(scope="session")
def honest(workshop: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same bundle, signed by ``owner``. Not to be changed."""
    dist = tmp_path_factory.mktemp("signed") / "dist"
    shutil.copytree(workshop / "dist", dist)
    code, output = run("sign", dist, "--key", keys / "owner")
    assert code == 0, output
    return dist


@pytest.fixture
def signed(honest: Path, keys: Path, tmp_path: Path) -> Signed:
    """A copy of it."""
    dist = Path(shutil.copytree(honest, tmp_path / "dist"))
    return Signed(dist, keys / "owner", keys / "owner.pub", keys / "stranger.pub")
