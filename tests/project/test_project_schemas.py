"""The JSON schemas that editors complete recipes with: up to date, named in every recipe, of one mind with what ``release`` accepts."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from instantstyle.export.schemas import NAMES, schema_text
from instantstyle.recipe.recipe import parse_recipe
from instantstyle.system.errors import RecipeError
from instantstyle.targets.registry import BUILT_IN

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
DIRECTIVE = "#:schema "

SMALL = """\
name = "small"
model.factory = "net.py:make"
images.calibration.photos = "photos"
images.validation.photos = ["more", "than/*.png"]
targets.required = ["onnx"]
targets.build.onnx = ["float32", "int8"]
"""
# What a recipe may say besides SMALL, and whether it may.
CASES = {
    "model.sizes = [64]": True,
    "model.sizes = [[64, 96], 128]": True,
    "model.sizes = [[64, 96, 128]]": False,
    "model.sizes = [4]": False,
    "model.sizes = []": False,
    "model.size = [64]": False,
    "model.checkpoint = 5": False,
    "model.output.select = 1": True,
    'model.output.select = "image"': True,
    "model.output.select = [1]": False,
    'model.input = { range = [0, 255], order = "BGR", channels = 3 }': True,
    "model.input.range = [0, 1, 2]": False,
    "model.input.channels = 2": False,
    "images.validation.minimum = 0": False,
    "quantize.percentile = 50": False,
    'quantize.method = "none"': False,
    "prune.recover.steps = 5": True,
    "prune.recover.steps = { stylizer = 5 }": True,
    "prune.recover.steps = { stylizer = -5 }": False,
    "limits.min_ssim_mean = 0.9": True,
    "limits.min_ssim_mean = 1.5": False,
    "limits.min_ssim = 0.9": False,
    "limits.android.max_bytes = 5": True,
    "limits.onnx-int8.max_bytes = 0": False,
    "limits.elsewhere.max_block = 0.5": True,
    "limits.max_bytes = 5.5": False,
    'targets.build.elsewhere = ["float32"]': True,
    'targets.build.elsewhere = ["float8"]': False,
    "targets.build.coreml = []": False,
    'targets.level.onnx = "graph_parity"': True,
    'targets.level.onnx = "vendor_cpu"': True,
    'targets.level.onnx = "vendor"': False,
    'targets.level.onnx = "failed"': False,
    'targets.options.tensorrt.precision = "each"': True,
    'app.styles = "styles"': True,
    'path = "elsewhere"': False,
    "latency.runs = 4": False,
}


def published(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "docs" / f"{name}.schema.json").read_text(encoding="utf-8"))


def accepts(schema: dict[str, Any], text: str) -> bool:
    return jsonschema.Draft7Validator(schema).is_valid(tomllib.loads(text))


@pytest.mark.parametrize("name", NAMES)
def test_the_published_schema_is_that_of_the_code(name: str) -> None:
    jsonschema.Draft7Validator.check_schema(published(name))
    assert (ROOT / "docs" / f"{name}.schema.json").read_text(encoding="utf-8") == schema_text(name), (
        f"write it again: python -m instantstyle.export.schemas {name} > docs/{name}.schema.json"
    )


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_names_its_schema_and_follows_it(path: Path) -> None:
    first, _, text = path.read_text(encoding="utf-8").partition("\n")
    name = "training" if path.stem.startswith("train") else "recipe"
    assert first.startswith(DIRECTIVE)
    assert (path.parent / first.removeprefix(DIRECTIVE)).resolve() == ROOT / "docs" / f"{name}.schema.json"
    jsonschema.validate(tomllib.loads(text), published(name), cls=jsonschema.Draft7Validator)


@pytest.mark.parametrize("line", CASES)
def test_schema_and_recipe_are_of_one_mind(line: str, tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(f"{SMALL}{line}\n")
    try:
        parse_recipe(path)
        allowed = True
    except RecipeError:
        allowed = False
    assert (allowed, accepts(published("recipe"), path.read_text())) == (CASES[line], CASES[line])


def test_editors_are_offered_the_targets_with_what_they_build() -> None:
    schema = published("recipe")
    build = schema["definitions"]["TargetSettings"]["properties"]["build"]["properties"]
    assert {name: tuple(entry["items"]["enum"]) for name, entry in build.items()} == {
        target.name: tuple(map(str, target.precisions)) for target in BUILT_IN
    }
    assert not accepts(schema, SMALL + 'targets.build.android = ["float16"]')
    assert {"android", "android-int8"} <= schema["definitions"]["LimitTables"]["properties"].keys()


def test_every_key_of_a_recipe_is_described() -> None:
    schema = published("recipe")
    for name, table in {"recipe": schema, **schema["definitions"]}.items():
        for key, entry in table.get("properties", {}).items():
            assert "description" in entry or {"$ref", "allOf"} & entry.keys(), f"{name}.{key}"
