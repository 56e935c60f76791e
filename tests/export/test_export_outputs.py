"""Outputs are looked at before the work: a command that could not write its result does nothing at all."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from export_helpers import change, content_of, write_recipe
from typer.testing import CliRunner

from instantstyle.cli.main import app
from instantstyle.export.remeasure import MeasureOptions, measure_bundle
from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.source.loading import load_model
from instantstyle.export.stages import preflight as preflight_module
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.settings import TargetSettings
from instantstyle.search.command import _spec
from instantstyle.system.disk import OutputError, check_output
from instantstyle.system.errors import CaptureError, InstantStyleError, RecipeError

PRUNE = '[prune]\nmethod = "structured"\nchannels = { "*" = 0.5 }\n\n[targets]'
ROOT = Path(__file__).parents[2]


def call(*arguments: str | Path) -> None:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output


COMMANDS = {
    "prune": ("prune", "recipe.toml", "-o", "{}/x.safetensors"),
    "calibration": ("calibration", "export", "recipe.toml", "-o", "{}/table.json"),
    "sensitivity": ("sensitivity", "recipe.toml", "-o", "{}/out"),
    "release": ("release", "recipe.toml", "--out", "{}/dist"),
    "train": ("train", str(ROOT / "recipes/train.toml"), "--out", "{}/x.safetensors", "--run", "run", "--photos", "p", "--artworks", "p"),
    "train, run": ("train", str(ROOT / "recipes/train.toml"), "--run", "{}/run", "--photos", "p", "--artworks", "p"),
    "stylize": ("stylize", "calibration/0.png", "--style", "calibration/1.png", "-o", "{}/x.png", "--checkpoint", "none.safetensors"),
    "stylize, folder": ("stylize", "calibration", "--style", "validation/10.png", "-o", "{}/x", "--checkpoint", "none.safetensors"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("obstacle", ["file", "read-only"])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, obstacle: str
) -> None:
    write_recipe(tmp_path, changes=(("[targets]", PRUNE),))
    monkeypatch.chdir(tmp_path)
    where = "taken" if obstacle == "file" else "locked/deep"
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "locked").mkdir(mode=0o555)
    before = content_of(tmp_path)
    told = r"taken: is a file, so .* cannot be written below it" if obstacle == "file" else r"locked: is read-only, .* cannot be written"
    with pytest.raises(OutputError, match=told):
        call(*(argument.format(where) for argument in COMMANDS[command]))
    assert content_of(tmp_path) == before and not (tmp_path / "run").exists()


def test_a_search_beside_a_read_only_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recipe(tmp_path)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(OutputError, match=r"is read-only, recipe-found\.toml cannot be written"):
            call("search", tmp_path / "recipe.toml", "--max-bytes", "1000", "--min-ssim", "0.9", "--cache", tmp_path / "cache")
    finally:
        tmp_path.chmod(0o755)


def test_what_is_read_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("x")
    (tmp_path / "same.toml").symlink_to("recipe.toml")
    with pytest.raises(OutputError, match=r"same\.toml: is read by this command, and would be replaced"):
        check_output(tmp_path / "same.toml", None, tmp_path / "recipe.toml")
    with pytest.raises(OutputError, match="is a folder, not a file"):
        check_output(tmp_path)
    with pytest.raises(OutputError, match="is a file, not a folder"):
        check_output(tmp_path / "recipe.toml", folder=True)
    check_output(tmp_path / "new" / "deep" / "x.json")


@pytest.mark.parametrize("out", ["dist/measured", "."])
def test_measuring_into_the_bundle_itself_is_refused(released: Path, out: str) -> None:
    before = content_of(released / "dist")
    with pytest.raises(OutputError, match=r"dist is copied, and one lies in the other"):
        measure_bundle(MeasureOptions(released / "dist", released / "recipe.toml", released / out, cache=released / "cache"))
    assert content_of(released / "dist") == before


def test_the_cache_in_the_dist_folder_is_refused(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    with pytest.raises(OutputError, match=r"cache in it would be lost"):
        call("release", recipe, "--out", tmp_path / "dist", "--cache", tmp_path / "dist" / "cache")
    assert not (tmp_path / "dist").exists()


DASHED = TargetSettings(build={"ios": ("float32",), "ios-arm64": ("int8", "int8-weights")}, required=("ios-arm64",))


class Fussy:
    """A target that has something against the model."""

    preflight = None

    def availability(self) -> SimpleNamespace:
        return SimpleNamespace(can_emit=True)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("ios", ("ios", ("float32",))),
        ("ios-float32", ("ios", ("float32",))),
        ("ios-arm64", ("ios-arm64", ("int8", "int8-weights"))),
        ("ios-arm64-int8", ("ios-arm64", ("int8",))),
        ("ios-arm64-int8-weights", ("ios-arm64", ("int8-weights",))),
    ],
)
def test_names_of_targets_may_have_dashes(name: str, wanted: tuple[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    targets = DASHED.model_copy(update={"required": (name,)})
    assert targets.named(name) == wanted
    recipe = SimpleNamespace(targets=targets, model=SimpleNamespace(sizes=((64, 64),)))
    spec = _spec(recipe)  # type: ignore[arg-type]
    chosen = "int8" if "int8" in wanted[1] else wanted[1][0]
    assert (spec.target, spec.precision) == (wanted[0], Precision(chosen))
    # A required one stops the build before anything is trained, another is only mentioned.
    monkeypatch.setattr(preflight_module, "configured_targets", lambda recipe: {wanted[0]: Fussy()})
    monkeypatch.setattr(preflight_module, "_ask", lambda *_: ("no form of an operator",))
    with pytest.raises(CaptureError, match=f"target '{wanted[0]}' will refuse this model"):
        preflight_module.preflight(SimpleNamespace(), SimpleNamespace(recipe=recipe))  # type: ignore[arg-type]


def test_checkpoint_key_of_a_recipe(tmp_path: Path) -> None:
    import torch

    recipe = write_recipe(tmp_path)
    bare = load_model(load_recipe(recipe)).model.graphs[0].module
    ours = {name: value + 1 for name, value in bare.state_dict().items()}
    torch.save({"params": bare.state_dict(), "params_ema": ours}, tmp_path / "net.ckpt")
    change(recipe, ("sizes =", 'checkpoint = "net.ckpt"\ncheckpoint_key = "params_ema"\nsizes ='))
    loaded = load_model(load_recipe(recipe))
    state = loaded.model.graphs[0].module.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in state.items())
    assert loaded.notices == ("net.ckpt: taken from 'params_ema'",)
    change(recipe, ('checkpoint_key = "params_ema"\n', ""))
    with pytest.raises(InstantStyleError, match=r'checkpoint_key = "params_ema"'):
        load_model(load_recipe(recipe))
    change(recipe, ('checkpoint = "net.ckpt"\n', 'checkpoint_key = "x"\n'))
    with pytest.raises(RecipeError, match=r"model\.checkpoint_key: found 'x', but there is no model\.checkpoint; leave it out"):
        load_model(load_recipe(recipe))
    change(recipe, ('checkpoint_key = "x"\n', 'checkpoint = "folder"\n'))
    (tmp_path / "folder").mkdir()
    with pytest.raises(InstantStyleError, match="it is a folder; name the file"):
        load_model(load_recipe(recipe))


def test_a_new_folder_is_made(released: Path) -> None:
    call("calibration", "export", released / "recipe.toml", "-o", released / "new/deep/t.json", "--cache", released / "cache")
    assert (released / "new/deep/t.json").is_file()
    shutil.rmtree(released / "new")
