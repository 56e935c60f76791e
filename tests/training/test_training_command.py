import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from training_nets import tiny_network
from typer.testing import CliRunner

from instantstyle.cli.main import app
from instantstyle.model.checkpoint import load_checkpoint, save_checkpoint
from instantstyle.model.decoder import DecoderDepths
from instantstyle.model.network import CONFIGS, InstantStyle
from instantstyle.system.disk import OutputError
from instantstyle.system.errors import CheckpointError, InstantStyleError, RecipeError
from instantstyle.system.lock import lock_output
from instantstyle.training import command as train_command
from instantstyle.training.command import start_network
from instantstyle.training.recipe import load_training_recipe
from instantstyle.training.trainer import steps_of

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, InstantStyleError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_published_recipe_is_what_was_published() -> None:
    recipe = load_training_recipe(ROOT / "recipes/train.toml")
    (stage,) = recipe.stages
    assert (stage.epochs, stage.learning_rate, stage.warmup, stage.schedule) == (100, 1e-4, 0.05, "constant")
    weights = stage.losses.model_dump()
    assert weights.pop("l1") == 1.0
    assert set(weights.values()) == {0.0}


def test_recipe_of_the_shipped_checkpoint_loads() -> None:
    recipe = load_training_recipe(ROOT / "recipes/train-12m.toml")
    assert [stage.name for stage in recipe.stages] == ["style encoder", "stylizer", "joint", "alpha"]
    assert sum(steps_of(stage, 1) for stage in recipe.stages) == 8100


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("learning_rate = 1e-3\nfreeze", "learning_rat = 1e-3\nfreeze", "unknown key .*learning_rat.*did you mean 'learning_rate'"),
        ("crop = 64\nlearning_rate = 1e-3\nfreeze", "crop = 65\nfreeze", "crop.*found 65"),
        ("steps = 3\n", "steps = 3\nepochs = 1\n", "one of epochs, steps and minutes"),
        ('name = "tiny"', 'name = "tiny"\nname = "twice"', "not valid TOML"),
    ],
)
def test_wrong_recipe_says_what(data: Path, old: str, new: str, message: str) -> None:
    text = data.read_text()
    assert old in text
    data.write_text(text.replace(old, new, 1))
    with pytest.raises(RecipeError, match=message):
        load_training_recipe(data)


def test_train_from_a_checkpoint_with_a_frozen_encoder(data: Path, teacher: type, tmp_path: Path) -> None:
    """The whole command: pairs, two stages, metrics, pictures, checkpoint; and once more, with nothing left to do."""
    start = tmp_path / "start.safetensors"
    save_checkpoint(tiny_network(), start)
    (tmp_path / "photos" / "damaged.png").write_bytes(b"no picture")
    command = ("train", data, "--start", start, "--freeze", "style_encoder", "--out", tmp_path / "tuned.safetensors")
    output = run(*command)
    assert "photos: 3 to train with, 2 held out, 1 skipped because they cannot be read" in output and "damaged.png" in output
    before, after = load_checkpoint(start).state_dict(), load_checkpoint(tmp_path / "tuned.safetensors").state_dict()
    changed = {name for name in before if not torch.allclose(before[name], after[name], atol=1e-3, rtol=1e-3)}
    assert changed and not any(name.startswith("style_encoder.") for name in changed)
    assert sorted(path.stem for path in (tmp_path / "run" / "grids").iterdir()) == ["0000002", "0000003", "0000005", "0000007"]
    calls = teacher.calls
    assert "goes on at step 7 of 7" in run(*command)
    again = load_checkpoint(tmp_path / "tuned.safetensors").state_dict()
    assert all(torch.equal(after[name], again[name]) for name in after) and teacher.calls == calls
    assert all(json.loads(line)["step"] % 20 == 0 for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())


def test_restart_forgets_what_the_old_run_made(data: Path, teacher: type, tmp_path: Path) -> None:
    for seed, more in ((0, ()), (1, ("--restart",))):
        start = tmp_path / f"start{seed}.safetensors"
        save_checkpoint(tiny_network(seed), start)
        output = run("train", data, "--start", start, "--freeze", "style_encoder", "--out", tmp_path / f"{seed}.safetensors", *more)
        assert "goes on at" not in output
    assert len(list((tmp_path / "run").glob("codes-0-*.npy"))) == 1


def test_a_network_starts_from_modules_of_another(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny_network(3)
    config = source.config._replace(content_depths=(2, 1), decoder_depths=DecoderDepths(2, 1, 8, gated=True), padding_mode="replicate")
    monkeypatch.setitem(CONFIGS, "painting", config)
    save_checkpoint(source, tmp_path / "start.safetensors")
    data.write_text('network = "painting"\nstart = "start.safetensors"\n' + data.read_text())
    changed = {"start_modules": ("style_encoder", "stylizer.content_encoder")}
    network = start_network(load_training_recipe(data).model_copy(update=changed))
    assert network.config == config
    for path in changed["start_modules"]:
        found, theirs = network.get_submodule(path).state_dict(), source.get_submodule(path).state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in found.items())
    kept = network.stylizer.content_encoder.state_dict()
    assert "layer1.1.conv1.weight" in kept and "layer1.2.conv1.weight" not in kept and "layer2.1.conv1.weight" not in kept
    wider = config._replace(content_depths=(3, 4), content_stem=16)
    monkeypatch.setitem(CONFIGS, "painting", wider)
    with pytest.raises(CheckpointError, match="conv1.weight: 8x3x7x7 in the file, 16x3x7x7 in the model"):
        start_network(load_training_recipe(data).model_copy(update=changed))


def test_the_average_is_on_disk_at_every_checkpoint(data: Path, tmp_path: Path, teacher: type, monkeypatch: pytest.MonkeyPatch) -> None:
    start = tmp_path / "start.safetensors"
    save_checkpoint(tiny_network(), start)
    data.write_text(data.read_text().replace("checkpoint_every = 2", "checkpoint_every = 2\npictures_every = 3"))
    written: list[float] = []
    save = train_command.save_checkpoint

    def note(network: InstantStyle, path: Path, half: bool = False) -> None:
        save(network, path, half)
        written.append(load_checkpoint(path).stylizer.decoder.to_rgb.weight.double().sum().item())

    monkeypatch.setattr(train_command, "save_checkpoint", note)
    run("train", data, "--start", start, "--run", tmp_path / "run")
    # After steps 2, 3 (the end of a stage), 5 and 7, and at the end.
    assert len(written) == 5 and len(set(written)) == 4 and written[-1] == written[-2]
    assert sorted(path.stem for path in (tmp_path / "run" / "grids").iterdir()) == ["0000007"]


def test_freezing_random_weights_is_refused(data: Path) -> None:
    with pytest.raises(RecipeError, match="--freeze style_encoder: its weights would stay random"):
        run("train", data, "--freeze", "style_encoder")


def test_freezing_what_does_not_exist_is_refused(data: Path) -> None:
    with pytest.raises(RecipeError, match="no module 'style_encodr', did you mean 'style_encoder'"):
        run("train", data, "--freeze", "style_encodr")


def test_evaluate_prints_every_figure_beside_its_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from instantstyle.training.evaluation import command as report
    from instantstyle.training.evaluation.pairs import Evaluation

    save_checkpoint(tiny_network(), tmp_path / "tiny.safetensors")
    figures = Evaluation(3, 2, 0.0749, 0.2, 0.46, 0.3, 0.96, 6, 0.84, 1.0, {"4": 0.9}, {"1": 1.0}, 2.0, 15.0, 1.2, 2.2, 3.0)
    monkeypatch.setattr(report, "evaluate", lambda network, photos, artworks, say, every: figures)
    samples = ROOT / "samples/validation"
    command = ("evaluate", tmp_path / "tiny.safetensors", "--photos", samples / "photos", "--artworks", samples / "styles")
    lines = run(*command).splitlines()
    missed = [line for line in lines if line.endswith("missed")]
    assert len(missed) == 2 and "0.4600" in missed[0] and "0.8400" in missed[1]
    assert any("0.0749" in line and "0.08" in line for line in lines)
    told = json.loads(run(*command, "--json").splitlines()[-1])
    assert told["diversity"] == 0.96 and told["luma_energy"] == {"4": 0.9} and "likeness_mean" not in told
    monkeypatch.setattr(report, "likeness", lambda network, other, photos, artworks, say: (0.97, 0.96))
    monkeypatch.setattr(report, "paired_grid", lambda network, photos, artworks: np.zeros((8, 8, 3), np.uint8))
    beside = run(*command, "--beside", tmp_path / "tiny.safetensors", "--page", tmp_path / "page").splitlines()
    assert sum(line.endswith("missed") for line in beside) == 3
    assert any("0.9700" in line and line.endswith("missed") for line in beside)
    assert "0.4600" in (tmp_path / "page" / "index.html").read_text() and (tmp_path / "page" / "grid.png").exists()


def test_a_run_that_another_process_writes_is_left_alone(data: Path) -> None:
    folder = load_training_recipe(data).run.folder
    lock = lock_output(folder)
    try:
        with pytest.raises(OutputError, match=rf"another process is writing there \(process {os.getpid()}, since .*--run"):
            run("train", data, "--restart")
    finally:
        lock.release()
    assert not folder.exists()
