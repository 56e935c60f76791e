"""Recipes: what a good one means, and what a bad one is told: file, line, key, what was found, what is allowed."""

import re
from pathlib import Path

import pytest

from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.recipe.recipe import Recipe
from instantstyle.system.errors import RecipeError

ROOT = Path(__file__).parent.parent.parent

# What every artifact is held to without being asked.
UNASKED = {
    "min_ssim_hard": 0.5,
    "max_colour_hard": 20.0,
    "min_ssim_tile": 0.3,
    "max_block": 0.25,
    "max_colour": 5.0,
    "max_perceptual": 0.3,
    "max_half_share": 0.5,
}

GOOD = """\
name = "mine"

[model]
factory = "net.py:make"
sizes = [64, [96, 128]]

[images]
calibration.photos = ["photos", "more/*.png"]
validation.photos = "photos"

[quantize]
method = "ptq"

[targets]
required = ["android"]

[targets.build]
onnx = ["float32", "int8"]
android = ["int8"]

[limits]
min_ssim_mean = 0.98

[limits.android]
min_ssim_mean = 0.9
max_bytes = 1000
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_good_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, GOOD + '[latency]\nruns = 7\n[prune]\nmethod = "off"\n'))
    assert recipe.model.sizes == ((64, 64), (96, 128))
    assert recipe.images.calibration.patterns() == (("photos", "more/*.png"),)
    assert (recipe.images.calibration.pairing, recipe.images.validation.pairing) == ("cycle", "all")
    assert recipe.base == tmp_path
    assert (recipe.latency.runs, recipe.latency.warmup) == (7, 5)
    assert recipe.limits_for("onnx", "int8").model_dump(exclude_none=True) == {"min_ssim_mean": 0.98, **UNASKED}
    assert recipe.limits_for("android", "int8").model_dump(exclude_none=True) == {
        "min_ssim_mean": 0.9,
        "max_bytes": 1000,
        **UNASKED,
    }


def test_paths_start_at_the_recipe(tmp_path: Path) -> None:
    text = GOOD.replace("sizes = ", 'checkpoint = "../w.safetensors"\nsizes = ')
    recipe = load_recipe(write(tmp_path, 'cache = "/var/cache/is"\n' + text))
    assert recipe.model.checkpoint == tmp_path / "../w.safetensors"
    assert recipe.cache == Path("/var/cache/is")


# The recipes of training are read by ``instantstyle train``, in tests/training.
RELEASE_RECIPES = [path for path in sorted((ROOT / "recipes").glob("*.toml")) if not path.stem.startswith("train")]


@pytest.mark.parametrize("path", RELEASE_RECIPES, ids=lambda path: path.name)
def test_shipped_recipes_are_valid(path: Path) -> None:
    assert isinstance(load_recipe(path), Recipe)


# What to replace in the good recipe, by what, and what the message must say.
BAD = [
    ('name = "mine"', 'nme = "mine"', r":1: unknown key 'nme', did you mean 'name'\?; allowed: name, cache, model, images, "),
    ('name = "mine"', "", r": missing key 'name'"),
    ('name = "mine"', 'name = "a/b"', r":1: name: found 'a/b'; string should match pattern"),
    ("[quantize]", "[quantise]", r":11: unknown key 'quantise', did you mean 'quantize'\?"),
    ("sizes =", "size =", r":5: unknown key 'model\.size', did you mean 'sizes'\?; allowed: factory, checkpoint, checkpoint_key, sizes"),
    ("sizes = [64, [96, 128]]", "sizes = []", r":5: model\.sizes: found nothing; at least 1 needed"),
    ("sizes = [64, [96, 128]]", "sizes = [64, [96]]", r":5: model\.sizes\[1\]: found \[96\]; a value is missing"),
    ("sizes = [64, [96, 128]]", 'sizes = ["64x64"]', r":5: model\.sizes\[0\]: found '64x64'; input should be a valid tuple"),
    ("sizes = [64, [96, 128]]", "sizes = [100000]", r":5: model\.sizes\[0\]\[0\]: found 100000; input should be less than"),
    ('factory = "net.py:make"', "", r":3: missing key 'model\.factory'"),
    ("calibration.photos", "calibration.photo", r":8: unknown key 'images\.calibration\.photo', did you mean 'photos'\?; "),
    ('validation.photos = "photos"', "", r":7: missing key 'images\.validation'"),
    ('method = "ptq"', 'method = "qta"', r":12: quantize\.method: found 'qta', did you mean 'qat'\?; allowed: 'qat', 'ptq' or 'off'"),
    ('method = "ptq"', "steps = 0", r":12: quantize\.steps: found 0; input should be greater than or equal to 1"),
    ('method = "ptq"', 'steps = "many"', r":12: quantize\.steps: found 'many'; input should be a valid integer"),
    ('method = "ptq"', 'observer = "kl"', r":12: quantize\.observer: found 'kl'; allowed: 'min_max', .* 'entropy' or 'mse'"),
    ('method = "ptq"', 'method = "off"', r":18: targets\.build\.onnx: found 'int8', but quantize\.method is 'off'; allowed: float32"),
    ('method = "ptq"', 'calibration_table = "t.json"', r":12: quantize\.calibration_table: no such file .*t\.json"),
    ('required = ["android"]', 'required = ["onxx"]', r":15: targets\.required: found 'onxx', which is not built, did you mean 'onnx'\?; "),
    ("onnx = [", "onxx = [", r":18: targets\.build\.onxx: unknown target 'onxx', did you mean 'onnx'\?; .* android.*onnx"),
    ('android = ["int8"]', 'android = ["int4"]', r":19: targets\.build\.android\[0\]: found 'int4', did you mean 'int8'\?; "),
    ('android = ["int8"]', 'android = []', r":19: targets\.build\.android: found nothing; at least 1 needed"),
    ("min_ssim_mean = 0.98", "min_ssm_mean = 0.98", r":22: unknown key 'limits\.min_ssm_mean', did you mean 'min_ssim_mean'\?"),
    ("max_bytes = 1000", "max_byte = 1000", r":26: unknown key 'limits\.android\.max_byte', did you mean 'max_bytes'\?"),
    ("[limits.android]", "[limits.andriod]", r":24: limits\.andriod: found 'andriod', which is not built, did you mean 'android'\?"),
    ("max_bytes = 1000", 'max_bytes = "small"', r":26: limits\.android\.max_bytes: found 'small'; input should be"),
    ("[model]", "[model", r": not valid TOML: .*line 3"),
    ('name = "mine"', 'path = "/etc"\nname = "mine"', r":1: unknown key 'path'"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), BAD, ids=[new or f"no {old}" for old, new, _ in BAD])
def test_a_bad_recipe_is_told_file_line_key_found_and_allowed(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert re.search(rf"^{re.escape(str(path))}{told}", str(caught.value), re.MULTILINE), str(caught.value)


def test_what_was_refused_in_a_list_does_not_make_it_empty(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace('android = ["int8"]', 'android = ["int4"]'))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).count("\n") == 0 and "targets.build.android[0]: found 'int4'" in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('name = "mine"', "nmae = 1").replace("sizes", "syzes").replace('"ptq"', '"pqt"')
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text))
    for key in ("'nmae'", "missing key 'name'", "'model.syzes'", "quantize.method: found 'pqt'"):
        assert key in str(caught.value)


def test_a_recipe_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"gone\.toml: no such recipe"):
        load_recipe(tmp_path / "gone.toml")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"binary\.toml: cannot be read"):
        load_recipe(tmp_path / "binary.toml")
