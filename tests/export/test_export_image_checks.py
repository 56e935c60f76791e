"""Images that judge a model: enough of them that differ, and none that it was fitted on."""

from pathlib import Path

import pytest
from export_helpers import change, picture, release, write_recipe
from PIL import Image

from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.recipe.limits import DEFAULT
from instantstyle.system.errors import ImageError
from instantstyle.validation.judge.gate import gate
from instantstyle.validation.results.bundle_file import read_bundle
from instantstyle.validation.results.measurements import Status


def refused(folder: Path, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        release(folder)
    assert not (folder / "dist").exists()


@pytest.mark.parametrize("minimum,again", [(8, False), (3, True)])
def test_too_few_samples_are_built_and_measured_and_pass_nothing(tmp_path: Path, minimum: int, again: bool) -> None:
    """Eight are wanted without the recipe's word; the same picture in another file is no other sample."""
    wanted = "" if minimum == 8 else f"validation.minimum = {minimum}\n"
    write_recipe(tmp_path, changes=(("validation.minimum = 2\n", wanted), ('android = ["int8"]', 'android = ["float32"]')))
    if again:
        picture(10).save(tmp_path / "validation" / "again.bmp")
    code, events = release(tmp_path)
    sentence = f"images.validation: 2 different samples, and fewer than {minimum} pass nothing"
    assert any(sentence in str(event) for event in events if event["event"] == "notice")
    bundle = read_bundle(tmp_path / "dist")
    assert (code, bundle.artifacts[0].status) == (1, Status.PASSED)
    assert [refusal.partition(";")[0] for refusal in gate(bundle)] == [sentence]


def test_the_recipes_word_is_enough(tmp_path: Path) -> None:
    write_recipe(tmp_path, changes=(('android = ["int8"]', 'android = ["float32"]'),))
    assert release(tmp_path)[0] == 0


@pytest.mark.parametrize("name", ["2.png", "holiday.png", "holiday.bmp", "holiday.tif", "holiday.webp"])
def test_a_calibration_picture_judges_nothing_however_it_is_stored(tmp_path: Path, name: str) -> None:
    write_recipe(tmp_path)
    with Image.open(tmp_path / "calibration" / "2.png") as image:
        image.save(tmp_path / "validation" / name, lossless=True)  # which WebP alone looks at
    refused(tmp_path, rf"validation/{name} is to judge the model and shows the same picture as .*calibration/2.png, which it is fitted on;")


def test_two_shared_pictures_are_counted(tmp_path: Path) -> None:
    write_recipe(tmp_path, changes=(('validation.photos = "validation"', 'validation.photos = ["validation", "calibration"]'),))
    refused(tmp_path, "is fitted on, and 3 more likewise")


def test_pictures_to_recover_with_judge_nothing(tmp_path: Path) -> None:
    recover = 'recover = { steps = 2, images = { photos = ["calibration", "more"] } }'
    prune = f'[prune]\nmethod = "structured"\nchannels = {{ "*" = 0.25 }}\n{recover}\n'
    write_recipe(tmp_path, changes=(("[quantize]", f"{prune}\n[quantize]"),))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "other-name.png").write_bytes((tmp_path / "validation" / "11.png").read_bytes())
    refused(tmp_path, r"validation/11.png is to judge the model and shows the same picture as .*more/other-name.png")


def test_without_limits_the_default_ones_apply(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    change(path, ("[limits]\nmin_ssim_mean = 0.5\n", ""))
    assert load_recipe(path).limits_for("android", "int8") == DEFAULT
    assert (DEFAULT.min_ssim_mean, DEFAULT.min_ssim_worst, DEFAULT.max_bytes, DEFAULT.min_over_ort_float) == (0.95, 0.90, None, None)
    path.write_text(path.read_text() + "[limits]\nmax_bytes = 7\n")
    assert load_recipe(path).limits_for("android", "int8") == DEFAULT.model_copy(update={"max_bytes": 7})
    path.write_text(path.read_text() + "[limits.android]\nmax_abs = 0.25\n")
    assert load_recipe(path).limits_for("android", "int8").model_dump(exclude_unset=True) == {"max_bytes": 7, "max_abs": 0.25}
