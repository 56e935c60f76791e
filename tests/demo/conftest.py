"""A small bundle with web artifacts, made once."""

from pathlib import Path

import pytest
from gate_helpers import PAINTER, quick_memory, release, write_recipe

__all__ = ["quick_memory"]  # for the tests of this folder

# The painter with styles that show: its own move a picture by a level of 255.
BOLD = f"""
import runpy

import torch


def make():
    model = runpy.run_path({str(PAINTER)!r})["make"]()
    with torch.no_grad():
        model.graph("encoder").module.second.weight.mul_(40)
    return model
"""


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of ``tests/models/painter.py``, made bolder, with codes of two styles. Not to be changed."""
    folder = tmp_path_factory.mktemp("demo")
    write_recipe(folder)
    recipe = folder / "recipe.toml"
    (folder / "bold.py").write_text(BOLD)
    text = (
        recipe.read_text()
        .replace(f"{PAINTER}:make", "bold.py:make")
        .replace('onnx = ["float32", "int8"]', 'web = ["float16", "int8-weights", "int8"]')
    )
    recipe.write_text(
        text.replace("onnx-float32", "web-int8-weights").replace("onnx-int8", "web-int8") + '\n[app]\nstyles = "validation/styles"\n'
    )
    code, output = release(folder)
    assert (folder / "dist" / "bundle.json").is_file(), (code, output)
    return folder / "dist"
