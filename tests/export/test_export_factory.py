"""Factories: how they are found and called, and what each kind of failure says."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from instantstyle.export.cache import fingerprint
from instantstyle.export.cache.fingerprint import (
    model_fingerprint,
    product_files,
    product_sources,
    user_packages,
    user_sources,
    weights_sha256,
)
from instantstyle.export.source.factory import call_factory, import_factory
from instantstyle.export.source.probe import as_model
from instantstyle.system.errors import CheckpointError, InstantStyleError, RecipeError
from instantstyle.system.hashing import digest
from instantstyle.system.versions import library_versions

MODELS = Path(__file__).parent.parent / "models"

HELPER = "WIDTH = 4\n"
NET = """
import torch
from torch import nn
from {helper} import WIDTH

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
    def forward(self, image):
        return self.conv(image)

def make():
    return Net()

def takes(checkpoint=None):
    return ("taken", checkpoint)

def broken():
    table = {{}}
    return table["width"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    helper = f"helper_{tmp_path.name}"
    (tmp_path / f"{helper}.py").write_text(HELPER)
    (tmp_path / "net.py").write_text(NET.format(helper=helper))
    (tmp_path / "bad_import.py").write_text("x = 1\nraise ValueError('no gpu')\n")
    (tmp_path / "bad_syntax.py").write_text("def make(:\n")
    (tmp_path / "needs.py").write_text("import no_such_package\n")
    (tmp_path / f"mod_{tmp_path.name}.py").write_text("import torch\ndef make():\n    return torch.nn.Identity()\n")
    return tmp_path


def test_a_file_and_its_neighbours(folder: Path) -> None:
    function, _ = import_factory("net.py:make", folder)
    returned, took = call_factory(function, "net.py:make", None)
    assert isinstance(returned, nn.Module)
    assert not took


def test_a_module_beside_the_recipe(folder: Path) -> None:
    function, module = import_factory(f"mod_{folder.name}:make", folder)
    assert module.__name__ == f"mod_{folder.name}"
    assert isinstance(function(), nn.Identity)


def test_a_factory_that_declares_checkpoint_gets_it(folder: Path) -> None:
    function, _ = import_factory("net.py:takes", folder)
    assert call_factory(function, "net.py:takes", folder / "w.safetensors") == (("taken", folder / "w.safetensors"), True)


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("net.py", r"found 'net\.py'; allowed: 'module:function' or 'path/to/file\.py:function'"),
        ("net.py:", "allowed: 'module:function'"),
        (":make", "allowed: 'module:function'"),
        ("gone.py:make", r"no such file /.*gone\.py for 'gone\.py:make'"),
        ("net.py:mkae", r"net\.py has no function 'mkae'; it has: Net, make, takes, broken"),
        ("no_such_module_anywhere:make", "no module 'no_such_module_anywhere'.*Install it"),
        ("instantstyle.model.nothing:make", "no module 'instantstyle.model.nothing'"),
        ("bad_import.py:make", r"(?s)failed: ValueError: no gpu\n  at .*bad_import\.py:2, in <module>: raise ValueError"),
        ("bad_syntax.py:make", r"failed: SyntaxError: .*bad_syntax\.py, line 1"),
        ("needs.py:make", r"(?s)failed: ModuleNotFoundError: No module named 'no_such_package'\n  at .*needs\.py:1"),
    ],
)
def test_what_cannot_be_imported_is_explained(folder: Path, factory: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        import_factory(factory, folder)


def test_a_factory_that_raises_shows_the_users_line(folder: Path) -> None:
    function, _ = import_factory("net.py:broken", folder)
    told = r"(?s)net\.py:broken failed: KeyError: 'width'\n  at .*net\.py:\d+, in broken: return table\[\"width\"\]"
    with pytest.raises(RecipeError, match=told):
        call_factory(function, "net.py:broken", None)


def test_a_factory_that_wants_arguments_is_told_so(folder: Path) -> None:
    def make(width: int, *, deep: bool, scale: int = 2) -> None: ...

    with pytest.raises(RecipeError, match=r"f wants width, deep, and is called without arguments: .* returns make\(\.\.\.\)"):
        call_factory(make, "f", None)


def test_a_script_that_reads_the_commands_arguments(folder: Path) -> None:
    (folder / "script.py").write_text("import argparse\nparser = argparse.ArgumentParser()\nparser.parse_args(['--no'])\n")
    told = r"(?s)SystemExit: 2 \(it ended the process or reads the command's arguments.*\n  at .*script\.py:3, in <module>: parser"
    with pytest.raises(RecipeError, match=told):
        import_factory("script.py:make", folder)


def test_a_file_of_a_package_imports_its_neighbours_by_relative_names(folder: Path) -> None:
    package = folder / f"package_{folder.name}"
    (package / "nets").mkdir(parents=True)
    for init in (package, package / "nets"):
        (init / "__init__.py").touch()
    (package / "layers.py").write_text("from torch import nn\n\ndef layer():\n    return nn.Conv2d(3, 3, 1)\n")
    (package / "nets" / "net.py").write_text("from ..layers import layer\n\ndef make():\n    return layer()\n")
    function, module = import_factory(f"{package.name}/nets/net.py:make", folder)
    assert isinstance(function(), nn.Conv2d) and module.__name__ == f"{package.name}.nets.net"


def test_a_package_whose_name_is_taken_is_named(folder: Path) -> None:
    (folder / "json").mkdir()
    (folder / "json" / "__init__.py").touch()
    (folder / "json" / "decoder.py").write_text("def make(): ...\n")
    with pytest.raises(RecipeError, match=r"decoder\.py is json\.decoder of a package, but .*decoder\.py has that name as well: rename"):
        import_factory("json/decoder.py:make", folder)


def test_our_own_errors_pass_through_a_factory(folder: Path) -> None:
    def fails() -> None:
        raise CheckpointError("gone")

    with pytest.raises(CheckpointError, match="^gone$"):
        call_factory(fails, "f", None)


@pytest.mark.parametrize(("file", "scale", "multiple"), [("transform_net", 1, 2), ("unet", 1, 4), ("superres", 2, 1)])
def test_a_users_module_becomes_a_model(file: str, scale: int, multiple: int) -> None:
    function, _ = import_factory(f"{file}.py:make", MODELS)
    model = as_model(function().eval(), "mine", ((64, 64),))
    output = model.graphs[0].outputs[0]
    assert (output.scale, output.channels, model.size_multiple, model.name) == (scale, 3, multiple, "mine")
    with torch.no_grad():
        image = model.graphs[0].module(torch.zeros(1, 3, 64 + multiple, 64))
    assert tuple(image.shape) == output.shape((64 + multiple, 64))


class OnlyAt96(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.shape[2] != 96:
            raise KeyError("96 only")
        return image[:, :1]


def test_a_module_that_does_not_run_at_64_is_tried_at_the_recipes_size() -> None:
    model = as_model(OnlyAt96(), "mine", ((96, 96),))
    assert model.graphs[0].outputs[0].channels == 1
    told = r"(?s)fails on an RGB image \(1, 3, 128, 128\): KeyError: '96 only'\n  at .*test_export_factory\.py"
    with pytest.raises(RecipeError, match=told):
        as_model(OnlyAt96(), "mine", ((96, 96), (128, 128)))


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (nn.Conv2d(4, 3, 1), "fails on an RGB image"),
        (nn.Flatten(), "returns a tensor"),
        (nn.AvgPool2d(2), "its output is 32x32 for an input of 64x64"),
        (nn.LSTM(64, 4), "fails on an RGB image"),
        (
            nn.AdaptiveMaxPool2d(64, return_indices=True),
            r"returns a tuple with 0: \(1, 3, 64, 64\), 1: \(1, 3, 64, 64\); allowed: one image.*\[model.output\] select",
        ),
    ],
)
def test_modules_that_are_no_image_to_image_models(module: nn.Module, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        as_model(module.eval(), "mine", ((64, 64),))


def test_the_sources_of_a_model_are_its_own_files(folder: Path) -> None:
    helper = folder / f"helper_{folder.name}.py"
    _, module = import_factory("net.py:make", folder)
    assert user_sources(module) == (helper, folder / "net.py")
    (folder / "late.py").write_text(f"import torch\ndef make():\n    import {helper.stem}\n")
    _, late = import_factory("late.py:make", folder)
    assert user_sources(late) == (helper, folder / "late.py")


def test_the_sources_of_a_package_follow_relative_imports() -> None:
    _, module = import_factory("instantstyle.model.reference:make", Path())
    names = {path.name for path in user_sources(module)}
    assert {"reference.py", "checkpoint.py", "network.py", "adain.py", "style_encoder.py", "graph.py"} <= names
    assert "quantize.py" not in names


def test_the_fingerprint_follows_weights_and_code(folder: Path) -> None:
    function, module = import_factory("net.py:make", folder)
    torch.manual_seed(0)
    model = as_model(function().eval(), "mine", ((64, 64),))
    first = model_fingerprint(model, module)
    assert model_fingerprint(model, module) == first
    with torch.no_grad():
        model.graphs[0].module.conv.bias[0] += 1e-6  # type: ignore[index]
    second = model_fingerprint(model, module)
    assert second != first
    with (folder / "net.py").open("a") as file:
        file.write("# another line\n")
    assert model_fingerprint(model, module) not in (first, second)


class Hidden(nn.Module):
    """A net with all that a state dict does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.register_buffer("grid", torch.zeros(2), persistent=False)
        self.table, self.strength, self.steps = torch.zeros(3), 0.5, (1, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.conv(image) * self.strength


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.grid.add_(1e-6),
        lambda net: net.table.add_(1e-6),
        lambda net: setattr(net, "strength", 0.25),
        lambda net: setattr(net, "steps", (1, 3)),
    ],
)
def test_the_fingerprint_follows_what_no_state_dict_has(folder: Path, change: Callable[[Any], object]) -> None:
    _, module = import_factory("net.py:make", folder)
    net = Hidden().eval()
    model = as_model(net, "mine", ((64, 64),))
    before, weights = model_fingerprint(model, module), weights_sha256(model)
    net.train()
    assert model_fingerprint(model, module) == before and weights_sha256(model) == weights
    change(net)
    assert model_fingerprint(model, module) != before


def test_the_fingerprint_follows_the_packages_that_a_net_imports(folder: Path) -> None:
    (folder / "net.py").write_text("def make():\n    import PIL.Image\n    from torch import nn\n    return nn.Identity()\n")
    _, module = import_factory("net.py:make", folder)
    assert {"pillow", "torch"} == {name.lower() for name in user_packages(module)}


@pytest.mark.parametrize("linked", [False, True])
def test_a_package_of_the_environment_is_installed_be_it_by_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool) -> None:
    """As package managers link out of a store that all environments share."""
    packages, store = tmp_path / "site-packages", tmp_path / "store"
    package = (store if linked else packages) / f"fitted{linked:d}"
    for place in (packages, package):
        place.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    if linked:
        (packages / package.name).symlink_to(package)
    monkeypatch.syspath_prepend(packages)
    assert fingerprint._is_own_code(fingerprint._location(package.name))
    fingerprint._location.cache_clear()
    monkeypatch.setattr(fingerprint, "_library_folders", lambda: (packages,))
    assert not fingerprint._is_own_code(fingerprint._location(package.name))


def test_a_folder_without_sources_is_no_dependency(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fingerprint, "PRODUCT", tmp_path)
    with pytest.raises(InstantStyleError, match="calibration: no Python source there"):
        product_files(("calibration",))


def test_digests_do_not_depend_on_order_and_sources_are_read() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
    assert product_sources(("targets",)) != product_sources(("calibration",))
    assert library_versions()["torch"] == torch.__version__.partition("+")[0] or library_versions()["torch"] == torch.__version__
