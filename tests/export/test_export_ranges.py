"""A net as it is often published, from its recipe to pictures: BGR of 0 to 255 less a mean, two results, half precision."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from export_helpers import MODELS, change, picture, release, write_recipe
from PIL import Image
from typer.testing import CliRunner

from instantstyle.cli.main import app
from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.source.factory import import_factory
from instantstyle.export.source.loading import load_model
from instantstyle.system.errors import RecipeError
from instantstyle.validation.results.bundle_file import read_bundle

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="there, Core ML itself runs")
TABLES = """\
[model.input]
range = [0, 255]
mean = [104, 117, 124]
order = "BGR"

[model.output]
range = [0, 255]
order = "BGR"
select = 1

[images]
"""
BUILD = """\
required = ["onnx", "coreml"]
level = { coreml = "graph_parity" }

[targets.build]
onnx = ["float32", "int8"]
coreml = ["float16", "int8"]
"""


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranges")
    targets = 'required = ["android"]\n\n[targets.build]\nandroid = ["int8"]\n'
    write_recipe(folder, "photo_filter.py:make", changes=(("[images]\n", TABLES), (targets, BUILD), ("0.5", "0.9")))
    release(folder)
    return folder


def by_pytorch(levels: np.ndarray) -> np.ndarray:
    """(H, W, 3) of RGB levels as the net's own readme would have it, in float64."""
    net = import_factory("photo_filter.py:make", MODELS)[0]().double().eval()
    given = levels[..., ::-1].astype(np.float64) - np.array([104, 117, 124])
    with torch.no_grad():
        _, shown = net(torch.from_numpy(given.transpose(2, 0, 1)[None].copy()))
    return shown[0].numpy().transpose(1, 2, 0)[..., ::-1].clip(0, 255)


def test_every_artifact_keeps_the_limits(released: Path) -> None:
    artifacts = read_bundle(released / "dist").artifacts
    assert [artifact.name.removesuffix("-64x64") for artifact in artifacts] == [
        "onnx-float32",
        "onnx-int8",
        "coreml-float16",
        "coreml-int8",
    ]
    for artifact in artifacts:
        assert artifact.measurements is not None
        assert all(failure.limit.startswith("int8_faster_than_float") for failure in artifact.failures)
        spread = [score.ssim for score in artifact.measurements.end_to_end.scores]
        assert min(value for value in spread if value is not None) > (0.97 if "int8" in artifact.name else 0.999)


@pytest.mark.parametrize(
    ("artifact", "most", "mean"),
    [("onnx/float32-64x64", 1, 0.5), ("coreml/float16-64x64", 1, 0.5), ("onnx/int8-64x64", 40, 4.0), ("coreml/int8-64x64", 40, 4.0)],
)
def test_apply_needs_no_recipe_and_is_pytorch(released: Path, tmp_path: Path, artifact: str, most: float, mean: float) -> None:
    picture(77).save(tmp_path / "photo.png")
    arguments = ["apply", str(released / "dist" / artifact), str(tmp_path / "photo.png"), "-o", str(tmp_path / "out.png")]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    found, given = (np.asarray(Image.open(tmp_path / name), np.float64) for name in ("out.png", "photo.png"))
    difference = np.abs(found - by_pytorch(given))
    assert difference.max() <= most and difference.mean() <= mean
    # Red goes down and blue goes up: the other order would be far away.
    assert (found - given)[..., 0].mean() < -10 < 10 < (found - given)[..., 2].mean()


def test_the_manifest_carries_the_encoding(released: Path) -> None:
    (graph,) = json.loads((released / "dist/onnx/int8-64x64/artifact.json").read_text())["graphs"]
    ((image,), (output,)) = graph["inputs"], graph["outputs"]
    assert {key: image[key] for key in ("minimum", "maximum", "mean", "order")} == {
        "minimum": 0, "maximum": 255, "mean": [104, 117, 124], "order": "BGR",
    }  # fmt: skip
    assert (output["minimum"], output["maximum"], output["mean"], output["order"]) == (0, 255, [], "BGR")


def test_another_selection_is_another_model(released: Path, tmp_path: Path) -> None:
    from instantstyle.export.cache.fingerprint import model_fingerprint

    recipe = write_recipe(tmp_path, "photo_filter.py:make", changes=(("[images]\n", TABLES),))
    prints = []
    for select in ("select = 1", "select = 0"):
        loaded = load_model(load_recipe(recipe))
        prints.append(model_fingerprint(loaded.model, loaded.source))
        change(recipe, *((("select = 1", "select = 0"),) if select == "select = 1" else ()))
    assert prints[0] != prints[1]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("range = [0, 255]\nmean", "range = [255, 0]\nmean", "model.input: range 255 to 0"),
        ("mean = [104, 117, 124]", "mean = [104]", "model.input: mean has 1 numbers, the image 3 channels"),
        ("select = 1", "select = 2", "model.output.select: found 2, but the model returns a tuple with 0: "),
        ('order = "BGR"\nselect', 'order = "GBR"\nselect', r"model.output.order: found 'GBR'.*; allowed: 'RGB' or 'BGR'"),
        ("select = 1", "slect = 1", "unknown key 'model.output.slect', did you mean 'select'"),
    ],
)
def test_wrong_tables_name_their_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    recipe = write_recipe(tmp_path, "photo_filter.py:make", changes=(("[images]\n", TABLES), (old, new)))
    with pytest.raises(RecipeError, match=told):
        load_model(load_recipe(recipe))


def test_a_model_says_it_itself(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, changes=(("[images]\n", TABLES),))
    change(recipe, (str(MODELS / "superres.py:make"), "instantstyle.model.reference:make"))
    with pytest.raises(
        RecipeError, match=r"model.input, model.output: they are for factories that return an nn.Module; .* returned a Model"
    ):
        load_model(load_recipe(recipe))
