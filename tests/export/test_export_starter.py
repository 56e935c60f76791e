"""``instantstyle init``: what it finds out about a model, and that ``release`` takes what it writes."""

import json
import sys
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image

from instantstyle.cli.main import main
from instantstyle.export.session import session
from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.source.source import load
from instantstyle.export.starter.starter import SCHEMA, StartOptions, start
from instantstyle.recipe.recipe import Recipe
from instantstyle.system.disk import OutputError
from instantstyle.system.errors import CheckpointError, InstantStyleError

NETS = '''\
import torch
from torch import nn

from instantstyle.model.graph import Graph, Model, TensorSpec


class Net(nn.Module):
    """Keeps the photo, cut off at black and white, x ``up``."""

    def __init__(self, low, high, channels=3, up=1):
        super().__init__()
        self.low, self.high = low, high
        self.grow = nn.ConvTranspose2d(channels, channels, up, up, groups=channels, bias=False)
        nn.init.ones_(self.grow.weight)

    def forward(self, x):
        return torch.clamp(self.grow(x), self.low, self.high)


class Several(Net):
    def forward(self, x):
        y = super().forward(x)
        return {"loss": y.mean(), "picture": y, "features": y[:, :, ::4, ::4]}


class Squeezed(Net):
    """Nothing but grey: nobody can tell its range."""

    def forward(self, x):
        return super().forward(x) * 1e-4


class Halving(Net):
    """Wants multiples of 8."""

    def forward(self, x):
        small = nn.functional.avg_pool2d(x, 8)
        return x * 0.9 + 0.1 * nn.functional.interpolate(small, scale_factor=8)


class Blend(nn.Module):
    def forward(self, photo, style):
        return (photo + style.mean((2, 3), keepdim=True)) / 2


def plain(): return Net(-1, 1)
def positive(): return Net(0, 1)
def bytes_(): return Net(0, 255)
def grey(): return Net(0, 1, 1, 2)
def alpha(): return Net(0, 1, 4)
def several(): return Several(0, 1)
def halving(): return Halving(-1, 1)
def squeezed(): return Squeezed(-1, 1)
def broken(): return nn.Linear(5, 5)
def noisy():
    class Noisy(nn.Module):
        def forward(self, x): return x + 0.1 * torch.randn_like(x)
    return Noisy()


def blend():
    photo, style = TensorSpec("photo"), TensorSpec("style", fixed_size=(32, 32))
    graph = Graph("blend", Blend(), (photo, style), (TensorSpec("output"),))
    return Model("blend", (graph,), lambda runs, sample: runs["blend"](sample)["output"], (photo, style), "blend")
'''


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    for folder, first, count in (("photos", 0, 20), ("art", 100, 2), ("judged", 200, 8)):
        (tmp_path / folder).mkdir()
        for seed in range(first, first + count):
            values = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
            Image.fromarray(values).resize((40, 40), Image.Resampling.BICUBIC).save(tmp_path / folder / f"{seed}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(**options: object) -> Recipe:
    """A recipe that was written, follows the schema beside it, and is taken by the recipe's own check."""
    out = Path(str(options.setdefault("out", Path("recipe.toml"))))
    start(StartOptions(**{"factory": None, **options}))  # type: ignore[arg-type]
    text = out.read_text(encoding="utf-8")
    assert text.startswith(f"#:schema {SCHEMA.as_posix()}\n")
    schema = json.loads((out.parent / SCHEMA).read_text(encoding="utf-8"))
    jsonschema.validate(tomllib.loads(text), schema, cls=jsonschema.Draft7Validator)
    return load_recipe(out)


def test_without_a_model_everything_is_a_placeholder_that_loads(home: Path) -> None:
    recipe = written()
    assert (recipe.name, recipe.model.factory) == ("mynet", "mynet.py:make")
    assert recipe.images.validation.photos == ("photos/validation",)
    assert recipe.targets.build == {"onnx": ("float32", "int8"), "android": ("int8",)}
    assert '# coreml = ["float16", "int8", "int8-weights"]' in (home / "recipe.toml").read_text()


@pytest.mark.parametrize(
    ("function", "ranges", "channels", "select"),
    [
        ("plain", ((-1, 1), (-1, 1)), None, None),
        ("positive", ((0, 1), (0, 1)), None, None),
        ("bytes_", ((0, 255), (0, 255)), None, None),
        ("grey", ((0, 1), (0, 1)), 1, None),
        ("alpha", ((0, 1), (0, 1)), 4, None),
        ("several", ((0, 1), (0, 1)), None, "picture"),
    ],
)
def test_range_channels_and_element_are_found_by_running_the_model(
    home: Path, function: str, ranges: tuple[tuple[int, int], ...], channels: int | None, select: str | None
) -> None:
    model = written(factory=f"nets.py:{function}").model
    assert (model.input.range, model.output.range) == ranges
    assert (model.input.channels, model.output.select) == (channels, select)
    assert model.sizes == ((512, 512),)


def test_the_release_takes_what_was_written_where_the_photos_exist(home: Path) -> None:
    (home / "recipes").mkdir()
    recipe = written(factory="nets.py:grey", out=Path("recipes/mine.toml"), photos=("photos",), name="mine")
    assert recipe.model.factory == "../nets.py:grey"
    with session(home / "cache", as_json=True) as pipeline:
        source = load(pipeline, recipe)
    assert source.model.graphs[0].outputs[0].scale == 2
    fitted, judged = ({path.name for path in images.sets[0].files} for images in (source.calibration, source.validation))
    assert (len(fitted), len(judged), fitted & judged) == (10, 10, set())
    assert source.different_samples == 10


def test_equal_photos_never_land_in_both_halves(home: Path) -> None:
    for index in range(17, 20):
        (home / "photos" / f"{index}.png").write_bytes((home / "photos" / "0.png").read_bytes())
    recipe = written(photos=("photos",))
    names = [Path(name).name for name in (*recipe.images.calibration.photos, *recipe.images.validation.photos)]
    assert len(names) == len(set(names)) == 17
    assert len({(home / "photos" / name).read_bytes() for name in names}) == 17


def test_a_model_of_two_images_gets_two_sets(home: Path) -> None:
    recipe = written(factory="nets.py:blend", photos=("photos",), validation=("judged",), styles=("art",))
    assert recipe.images.calibration.patterns() == (("photos",), ("art/100.png",))
    assert recipe.images.validation.patterns() == (("judged",), ("art/101.png",))
    text = (home / "recipe.toml").read_text()
    assert "[model.input]" not in text


def test_which_weights_of_a_checkpoint_can_be_said(home: Path) -> None:
    weights = {"grow.weight": torch.full((3, 1, 1, 1), 0.5)}
    torch.save({"params": weights, "params_ema": {name: tensor + 0.25 for name, tensor in weights.items()}}, home / "w.pth")
    with pytest.raises(CheckpointError, match=r"all fit the model Net, and differ. Say which .*checkpoint_key"):
        start(StartOptions("nets.py:plain", Path("recipe.toml"), Path("w.pth")))
    model = written(factory="nets.py:plain", checkpoint=Path("w.pth"), checkpoint_key="params_ema").model
    assert (model.checkpoint, model.checkpoint_key) == (home / "w.pth", "params_ema")


def test_what_to_look_at_is_said_on_the_screen_and_in_the_recipe(home: Path) -> None:
    said = start(StartOptions("nets.py:halving", Path("halving.toml")))
    assert "nets.py:halving runs at 512x512: RGB in -1 to 1; sizes in multiples of 8" in said
    assert "it makes pictures of other numbers as well (0 to 255, RGB; 0 to 1, RGB; " in said
    assert "# Look at this: it makes pictures of other numbers as well" in (home / "halving.toml").read_text()
    assert "# Height and width must be multiples of 8." in (home / "halving.toml").read_text()
    assert "until then this recipe is refused" in start(StartOptions("nets.py:squeezed", Path("squeezed.toml")))
    assert load_recipe(Path("squeezed.toml")).model.output.range == (-1, 1)


def test_nothing_is_overwritten_unless_asked(home: Path) -> None:
    (home / "recipe.toml").write_text("mine")
    with pytest.raises(OutputError, match=r"recipe.toml: is there already. Choose another name, or replace it with --force"):
        start(StartOptions("nets.py:plain", Path("recipe.toml")))
    assert (home / "recipe.toml").read_text() == "mine"
    assert written(force=True).name == "mynet"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"factory": "nets.py:plane"}, "nets.py has no function 'plane'; it has: .*plain, positive"),
        ({"factory": "nets.py"}, "model.factory: found 'nets.py'; allowed: 'module:function' or 'path/to/file.py:function'"),
        ({"factory": "nuts.py:make"}, "no such file .*nuts.py"),
        ({"factory": "nets.py:broken"}, "it fails on an RGB image"),
        ({"factory": "nets.py:noisy"}, "two runs of graph 'model' on the same input give different results"),
        ({"photos": ("photos/0.png",)}, "photos: 1 different files; at least 16 are needed, .* or --validation"),
        ({"photos": ("nowhere",)}, "image pattern 'nowhere' matches no file"),
        ({"photos": ("photos",), "validation": ("photos/3.png",)}, "3.png is to judge the model and shows the same picture"),
        ({"validation": ("judged",)}, "--validation: give --photos as well"),
        ({"factory": "nets.py:plain", "styles": ("art",)}, "--styles: nets.py:plain takes one image"),
        ({"checkpoint": Path("w.safetensors")}, "--checkpoint: no such file w.safetensors"),
        ({"out": Path("photos")}, "photos: is a folder, not a file"),
        ({"name": "my net"}, "--name: found 'my net'; allowed: letters, digits, '.', '_' and '-'"),
    ],
)
def test_wrong_input_is_told_in_a_sentence_and_nothing_is_written(home: Path, options: dict[str, object], sentence: str) -> None:
    before = sorted(path.name for path in home.iterdir() if path.name != "__pycache__")
    with pytest.raises(InstantStyleError, match=sentence):
        start(StartOptions(**{"factory": None, "out": Path("recipe.toml"), **options}))  # type: ignore[arg-type]
    assert sorted(path.name for path in home.iterdir() if path.name != "__pycache__") == before


def test_the_command(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["instantstyle", "init", "-o", "new.toml"])
    for code in (0, 2):
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == code
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "new.toml: written"
    assert said.err.startswith("instantstyle: new.toml: is there already.")
