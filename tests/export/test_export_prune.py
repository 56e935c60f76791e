"""Pruning and recovery as stages of a release."""

import copy
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from export_helpers import MODELS, change, outcomes, picture, release, write_recipe
from torch import nn
from typer.testing import CliRunner, Result

from instantstyle.calibration.imageset import ImageSet
from instantstyle.cli.main import app
from instantstyle.compression.distillation.distill import Distiller
from instantstyle.compression.distillation.draws import SampleDraws
from instantstyle.compression.distillation.recover import recover
from instantstyle.compression.pruning.prune import score_graph
from instantstyle.compression.pruning.whole import prune_model
from instantstyle.export.source.factory import import_factory
from instantstyle.model.checkpoint import fit, load_tensors, read_tensors, save_tensors
from instantstyle.model.graph import Model, Sample, single_graph
from instantstyle.recipe.settings import PruneSettings, RecoverSettings
from instantstyle.system.errors import CheckpointError, ImageError, RecipeError, TrainingError
from instantstyle.validation.results.bundle_file import read_bundle

PRUNE = """
[prune]
method = "structured"
channels = { "model.*" = 0.5 }
multiple = 4
samples = 2
recover = { steps = 4, batch = 2, crop = 64, learning_rate = 1e-3 }

[targets]
"""


def ignore(done: int, total: int, note: str) -> None:
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_recipe(
        tmp_path, "unet.py:make", "ptq", (("\n[targets]\n", PRUNE), ('android = ["int8"]', 'onnx = ["float32"]'), ('"android"', '"onnx"'))
    )
    return tmp_path


def test_release_of_a_pruned_net(folder: Path) -> None:
    _, events = release(folder)
    assert {stage: outcomes(events)[stage] for stage in ("prune", "recover")} == {"prune": "done", "recover": "done"}
    bundle = read_bundle(folder / "dist")
    rows = {row.name: row for row in bundle.pruning}
    assert (rows["model.bottom.0"].width, rows["model.bottom.0"].kept, rows["model.bottom.0"].reached) == (32, 16, 0.5)
    assert rows["model.out"].obstacle and rows["model.out"].reached == 0
    assert "| model.bottom.0 | channels | 50% | 50% | 16 of 32 |" in (folder / "dist/summary.md").read_text()
    # The file is the pruned net, and is compared with the whole one.
    (artifact,) = bundle.artifacts
    path = next((folder / "dist" / artifact.folder).glob("*.onnx"))
    whole = import_factory("unet.py:make", MODELS)[0]().eval()
    assert path.stat().st_size < 0.5 * 4 * sum(parameter.numel() for parameter in whole.parameters())
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        wanted = whole(torch.from_numpy(image)).numpy()
    got = np.asarray(onnxruntime.InferenceSession(path).run(None, {"image": image})[0])
    assert 1e-4 < np.abs(got - wanted).mean() < 0.1
    assert artifact.measurements is not None
    (score, *_) = artifact.measurements.end_to_end.scores
    assert score.ssim is not None and score.ssim < 1 - 1e-6
    # Nothing is done twice; another ratio prunes again.
    _, events = release(folder)
    assert outcomes(events)["recover"] == "reused"
    change(folder / "recipe.toml", ('"model.*" = 0.5', '"model.*" = 0.25'))
    _, events = release(folder)
    assert outcomes(events)["prune"] == outcomes(events)["recover"] == "done"


def test_ratio_0_is_the_model_itself(folder: Path) -> None:
    change(
        folder / "recipe.toml", ('"model.*" = 0.5', '"model.*" = 0.0'), ("steps = 4, batch = 2, crop = 64, learning", "steps = 0, learning")
    )
    release(folder)
    pruned = next((folder / "dist").rglob("*.onnx")).read_bytes()
    change(folder / "recipe.toml", ('method = "structured"', 'method = "off"'))
    release(folder)
    assert next((folder / "dist").rglob("*.onnx")).read_bytes() == pruned


def test_pattern_that_matches_nothing_is_named(folder: Path) -> None:
    change(folder / "recipe.toml", ('"model.*" = 0.5', '"model.botom*" = 0.5'))
    with pytest.raises(RecipeError, match=r"prune\.channels: 'model\.botom\*' matches no module"):
        release(folder)
    assert not (folder / "dist").exists()


def samples() -> list[Sample]:
    coarse = np.random.default_rng(0).uniform(-1, 1, (4, 1, 3, 8, 8))
    return [Sample(str(i), {"image": image.repeat(4, axis=2).repeat(4, axis=3).astype(np.float32)}) for i, image in enumerate(coarse)]


def pruned_pair() -> tuple[Model, Model]:
    whole = single_graph(import_factory("unet.py:make", MODELS)[0]().eval())
    scores = score_graph(whole.graphs[0], [samples()[0].inputs], lambda done, total: None)
    return prune_model(whole, samples(), PruneSettings(channels={"*": 0.5}, multiple=4), {"model": scores})[0], whole


def test_recovery_comes_closer_and_survives_a_kill(tmp_path: Path) -> None:
    settings = RecoverSettings(steps=60, batch=2, crop=32, learning_rate=3e-3)
    pruned, whole = pruned_pair()
    for seed in range(4):
        picture(seed).save(tmp_path / f"{seed}.png")
    draws = SampleDraws(whole, (32, 32), [ImageSet.from_patterns(["*.png"], tmp_path)], 0)
    image = torch.from_numpy(draws.draw(1000).inputs["image"])

    def off(model: Model) -> float:
        with torch.no_grad():
            return (model.graphs[0].module(image) - whole.graphs[0].module(image)).abs().mean().item()

    before = off(pruned)
    weights = recover(pruned, whole, draws=draws, settings=settings, state_file=tmp_path / "a.pt", report=ignore)
    assert off(pruned) < 0.7 * before

    def kill(done: int, total: int, note: str) -> None:
        if done == 33:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recover(pruned_pair()[0], whole, draws=draws, settings=settings, state_file=tmp_path / "b.pt", report=kill)
    again = recover(pruned_pair()[0], whole, draws=draws, settings=settings, state_file=tmp_path / "b.pt", report=ignore)
    assert all(torch.equal(value, again["model"][name]) for name, value in weights["model"].items())


def test_a_recovery_that_gives_nan_stops_and_keeps_nothing(tmp_path: Path) -> None:
    settings = RecoverSettings(steps=60, batch=2, crop=32, learning_rate=3e-3)
    pruned, whole = pruned_pair()
    for seed in range(4):
        picture(seed).save(tmp_path / f"{seed}.png")
    draws = SampleDraws(whole, (32, 32), [ImageSet.from_patterns(["*.png"], tmp_path)], 0)
    module, before = pruned.graphs[0].module, copy.deepcopy(pruned.graphs[0].module.state_dict())

    def spoil(module: nn.Module, given: object, out: torch.Tensor) -> torch.Tensor:
        return out * float("nan")

    hook = module.register_forward_hook(spoil)
    told = (
        r"the loss was NaN or infinite 10 steps in a row, up to step 10, and training stops; no such step changed a weight\. "
        r"What to do: it did so before any weight was changed, .*; lower prune\.recover\.learning_rate \(now 0\.003\)"
    )
    with pytest.raises(TrainingError, match=told):
        recover(pruned, whole, draws=draws, settings=settings, state_file=tmp_path / "a.pt", report=ignore)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    hook.remove()
    with torch.no_grad():
        next(module.parameters()).view(-1)[0] = float("nan")
    student = Distiller(whole.graphs[0], module, [samples()[0].inputs], settings, 1)
    with pytest.raises(TrainingError, match=r"graph 'model', step 0: NaN or infinity in .*; not kept"):
        student.state()


def test_recovery_learns_from_images_of_its_own_but_the_held_out(folder: Path) -> None:
    change(
        folder / "recipe.toml",
        ("learning_rate = 1e-3 }", 'learning_rate = 1e-3, images = { photos = "others" }, held_out = { names_of = "names" } }'),
    )
    (folder / "others").mkdir()
    for seed in (20, 21):
        picture(seed).save(folder / f"others/{seed}.png")
    (folder / "names").mkdir()
    (folder / "names/20.jpg").touch()
    (folder / "names/21.jpg").touch()
    with pytest.raises(ImageError, match=r"prune\.recover\.images: of others 2 are held out and 0 cannot be read"):
        release(folder)
    (folder / "names/21.jpg").unlink()
    _, events = release(folder)
    assert outcomes(events)["recover"] == "done"
    # Other pictures, other weights.
    change(folder / "recipe.toml", ('"others" }, held', '"calibration" }, held'))
    _, events = release(folder)
    assert (outcomes(events)["prune"], outcomes(events)["recover"]) == ("reused", "done")


def test_steps_of_an_unknown_graph_are_refused(folder: Path) -> None:
    change(folder / "recipe.toml", ("steps = 4, batch = 2, crop", "steps = { modle = 4 }, batch = 2, crop"))
    with pytest.raises(RecipeError, match=r"prune\.recover\.steps: the model has no graph 'modle', did you mean 'model'"):
        release(folder)
    change(folder / "recipe.toml", ("steps = { modle = 4 }", "rounded = { steps = { model = 4, code = 1 } }"))
    with pytest.raises(RecipeError, match=r"prune\.recover\.rounded\.steps: the model has no graph 'code'"):
        release(folder)


def test_finished_pruning_is_taken_from_its_checkpoint(folder: Path) -> None:
    result = CliRunner().invoke(
        app, ["prune", str(folder / "recipe.toml"), "-o", str(folder / "small.safetensors"), "--cache", str(folder / "cache")]
    )
    assert result.exit_code == 0 and "small.safetensors" in result.output
    assert "| model.bottom.0 | 50% | 50% | 16 of 32 |" in (folder / "small.md").read_text()
    whole, small = (sum(value.numel() for value in net.parameters()) for net in (unet(), unet(folder / "small.safetensors")))
    assert small < 0.4 * whole
    change(folder / "recipe.toml", ("samples = 2\n", 'samples = 2\nresult = "small.safetensors"\n'))
    _, events = release(folder)
    assert outcomes(events)["prune"] == "as in small.safetensors" and "recover" not in outcomes(events)
    bundle = read_bundle(folder / "dist")
    assert {row.name: row.kept for row in bundle.pruning}["model.bottom.0"] == 16
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        wanted = unet(folder / "small.safetensors")(torch.from_numpy(image)).numpy()
    got = np.asarray(onnxruntime.InferenceSession(next((folder / "dist").rglob("*.onnx"))).run(None, {"image": image})[0])
    assert np.abs(got - wanted).max() < 1e-4
    # The whole model's name prunes again; a name that is no checkpoint's is refused.
    with pytest.raises(RecipeError, match="--from other: the recipe's checkpoints are small"):
        release(folder, "--from", "other")


def prune(folder: Path) -> Result:
    arguments = ["prune", str(folder / "recipe.toml"), "-o", str(folder / "small.safetensors"), "--cache", str(folder / "cache")]
    return CliRunner().invoke(app, arguments)


def unet(checkpoint: Path | None = None) -> nn.Module:
    net = import_factory("unet.py:make", MODELS)[0]().eval()
    if checkpoint is not None:
        tensors = read_tensors(checkpoint)
        fit(net, tensors, checkpoint)
        load_tensors(net, tensors, checkpoint)
    return net


def test_whole_checkpoint_prunes_again(folder: Path) -> None:
    torch.save(unet().state_dict(), folder / "whole.pt")
    change(folder / "recipe.toml", ("sizes = [64]", 'sizes = [64]\ncheckpoint = "whole.pt"'))
    output = folder / "new" / "deep" / "small.safetensors"
    result = CliRunner().invoke(app, ["prune", str(folder / "recipe.toml"), "-o", str(output), "--cache", str(folder / "cache")])
    assert result.exit_code == 0 and output.is_file() and output.with_suffix(".md").is_file()
    change(folder / "recipe.toml", ("samples = 2\n", 'samples = 2\nresult = "new/deep/small.safetensors"\n'))
    _, events = release(folder, "--from", "whole")
    assert (outcomes(events)["prune"], outcomes(events)["recover"]) == ("reused", "reused")


def test_damaged_result_is_refused(folder: Path) -> None:
    change(folder / "recipe.toml", ("samples = 2\n", 'samples = 2\nresult = "small.safetensors"\n'))
    with pytest.raises(CheckpointError, match=r"small\.safetensors: no such file"):
        release(folder)
    save_tensors(unet().state_dict(), folder / "small.safetensors", {})
    with pytest.raises(CheckpointError, match="does not say what was pruned"):
        release(folder)


def test_ranges_that_were_learnt_with_rounded_numbers_come_with_the_checkpoint(folder: Path) -> None:
    change(
        folder / "recipe.toml",
        ('onnx = ["float32"]', 'onnx = ["int8"]'),
        ("learning_rate = 1e-3 }", "learning_rate = 1e-3, rounded = { steps = 4 } }"),
    )
    _, events = release(folder)
    assert (outcomes(events)["recover"], outcomes(events)["rounded"]) == ("done", "done")

    def observers() -> dict[str, str]:
        table = json.loads((folder / "dist/calibration.json").read_text())
        return {entry["tensor"]: entry["observer"] for entry in table["entries"]}

    assert set(observers().values()) == {"learnt"}
    before = (folder / "dist/calibration.json").read_text()
    result = CliRunner().invoke(
        app, ["prune", str(folder / "recipe.toml"), "-o", str(folder / "small.safetensors"), "--cache", str(folder / "cache")]
    )
    assert result.exit_code == 0
    change(folder / "recipe.toml", ("samples = 2\n", 'samples = 2\nresult = "small.safetensors"\n'))
    release(folder)
    # Weights are kept in half precision; ranges are not.
    ranges = [
        {entry["tensor"]: entry["scale"] for entry in json.loads(text)["entries"]}
        for text in (before, (folder / "dist/calibration.json").read_text())
    ]
    assert ranges[0] == pytest.approx(ranges[1], rel=1e-6)
    # What the recipe leaves in float by now has no range any more.
    change(folder / "recipe.toml", ('method = "ptq"', 'method = "ptq"\nkeep_float = ["down1.*", "down2.*"]'))
    release(folder)
    assert set(observers()) < set(ranges[0])
