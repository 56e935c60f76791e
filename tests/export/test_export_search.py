"""``instantstyle sensitivity`` and ``instantstyle search`` on users' nets of two shapes."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_helpers import MODELS, change, outcomes, release, write_recipe
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from instantstyle.calibration.imageset import ImageSet
from instantstyle.calibration.samples import make_samples
from instantstyle.cli.main import app
from instantstyle.compression.pruning.prune import score_graph
from instantstyle.export.source.factory import import_factory
from instantstyle.export.source.probe import as_model
from instantstyle.metrics.ssim import ssim
from instantstyle.model.graph import single_graph
from instantstyle.recipe.settings import InputSettings, OutputSettings, PruneSettings, QuantizeSettings
from instantstyle.search.analysis import SensitivityAnalysis
from instantstyle.search.sensitivity import Sensitivity
from instantstyle.system.errors import RecipeError
from instantstyle.validation.results.bundle_file import read_bundle


def call(folder: Path, command: str, *options: str) -> Result:
    result = CliRunner().invoke(app, [command, str(folder / "recipe.toml"), "--cache", str(folder / "cache"), *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("factory", ["unet.py:make", "transform_net.py:make"])
def test_sensitivity_ranks_every_layer(factory: str, tmp_path: Path) -> None:
    write_recipe(tmp_path, factory)
    call(tmp_path, "sensitivity", "-o", str(tmp_path / "out"))
    rows = json.loads((tmp_path / "out/sensitivity.json").read_text())
    lost = [row["ssim_lost"] for row in rows]
    assert lost == sorted(lost, reverse=True) and lost[0] > 0
    net = import_factory(factory, MODELS)[0]()
    layers = {f"model.{name}" for name, module in net.named_modules() if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d)}
    assert layers <= {row["name"] for row in rows if row["change"] == "int8"}
    # A quarter of eight channels cannot go: widths stay multiples of eight.
    assert {0.5, 0.75} <= {row["ratio"] for row in rows if row["change"] == "channels"} <= {0.25, 0.5, 0.75}
    assert (tmp_path / "out/sensitivity.md").read_text().count("| model.") == len(rows)
    assert Image.open(tmp_path / "out/sensitivity.png").size[0] > 1000


def test_sensitivity_is_what_the_layer_alone_costs(tmp_path: Path) -> None:
    """Against the same change made by hand: the weights of one layer rounded, and the pruned channels silenced."""
    write_recipe(tmp_path)
    net = import_factory("unet.py:make", MODELS)[0]().eval()
    model = single_graph(net)
    samples = list(make_samples(model, (64, 64), [ImageSet.from_patterns(["calibration"], tmp_path)], "cycle"))
    scores = {"model": score_graph(model.graphs[0], [sample.inputs for sample in samples], lambda done, total: None)}
    settings = PruneSettings(multiple=4)
    analysis = SensitivityAnalysis(
        model, samples, size=(64, 64), quantize=QuantizeSettings(method="ptq", observer="min_max"), prune=settings, scores=scores
    )
    rows: list[Sensitivity] = []
    analysis.measure((), rows.append, lambda *_: None)
    (row,) = (row for row in rows if (row.name, row.change, row.ratio) == ("model.bottom.0", "channels", 0.75))
    gone = scores["model"]["bottom.0"].argsort()[: 32 - 8]
    before = [net(torch.from_numpy(sample.inputs["image"])) for sample in samples]
    with torch.no_grad():
        hook = net.bottom.register_forward_hook(lambda module, args, output: output.index_fill(1, gone, 0.0))  # type: ignore[union-attr]
        after = [net(torch.from_numpy(sample.inputs["image"])) for sample in samples]
        hook.remove()
    pairs = zip(before, after, strict=True)
    wanted = 1 - np.mean([ssim(a[0].detach().numpy(), b[0].numpy(), -1, 1) for a, b in pairs])
    assert row.ssim_lost == pytest.approx(wanted, rel=1e-3, abs=1e-7) and row.ssim_lost > 0
    assert row.parameters_removed == 24 * (16 * 9 + 2) + 24 * 16 * 9
    # Nothing of the model moved, and what is known is not measured again.
    assert all(torch.equal(a, net(torch.from_numpy(sample.inputs["image"]))) for a, sample in zip(before, samples, strict=True))
    again: list[Sensitivity] = []
    analysis.measure(rows[:-2], again.append, lambda *_: None)
    assert again == rows[-2:]


@pytest.mark.slow
def test_search_writes_a_recipe_that_releases(tmp_path: Path) -> None:
    write_recipe(tmp_path, "unet.py:make", "ptq", (("[limits]", "# What it must reach.\n[limits]"),))
    whole = call(tmp_path, "search", "--max-bytes", "10000000", "--min-ssim", "0.5", "--trials", "1", "--recover-steps", "2")
    assert whole.exit_code == 0
    options = ("--max-bytes", "37000", "--min-ssim", "0.6", "--trials", "2", "--pairs", "3", "--recover-steps", "2")
    result = call(tmp_path, "search", *options)
    assert result.exit_code == 0, result.output
    found = tmp_path / "recipe-found.toml"
    assert "is the most similar within the budget" in result.output and "# What it must reach." in found.read_text()
    content = tomllib.loads(found.read_text())
    assert content["limits"]["android"] == {"max_bytes": 37000, "min_ssim_mean": 0.6}
    assert content["prune"]["method"] == "structured" and max(content["prune"]["channels"].values()) >= 0.5
    assert "| 0 | 4" in (tmp_path / "recipe-found.md").read_text()
    assert Image.open(tmp_path / "recipe-found.png").size[0] > 500
    # Once more: nothing is measured again, the same winner.
    again = call(tmp_path, "search", *options)
    assert "candidate 1 of" not in again.output and tomllib.loads(found.read_text()) == content
    found.replace(tmp_path / "recipe.toml")
    _, events = release(tmp_path)
    assert outcomes(events)["prune"] == "reused"
    # Of a net this small int8 may be slower than float, which is not what this test is about.
    (artifact,) = read_bundle(tmp_path / "dist").artifacts
    assert artifact.shipped_bytes <= 37000 and all(failure.limit.startswith("int8_faster_than_float") for failure in artifact.failures)


def test_impossible_budget_ends_with_the_frontier_and_exit_code_1(tmp_path: Path) -> None:
    write_recipe(tmp_path, "transform_net.py:make")
    result = call(tmp_path, "search", "--max-bytes", "1", "--min-ssim", "1.0", "--trials", "1", "--recover-steps", "0")
    assert result.exit_code == 1
    assert "--max-bytes 1: no candidate was that small; the smallest has" in result.output
    assert "--min-ssim 1: no candidate came that close; the closest has SSIM 0." in result.output
    assert (
        not (tmp_path / "recipe-found.toml").exists()
        and "| yes | misses --max-bytes, --min-ssim |" in (tmp_path / "recipe-found.md").read_text()
    )


def test_recipe_must_lie_beside_the_other(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    with pytest.raises(RecipeError, match="paths in a recipe are relative to it"):
        call(tmp_path, "search", "--max-bytes", "1", "--min-ssim", "1", "-o", str(tmp_path / "cache/x.toml"))
    with pytest.raises(RecipeError, match="that is the recipe itself"):
        call(tmp_path, "search", "--max-bytes", "1", "--min-ssim", "1", "-o", str(tmp_path / "recipe.toml"))
    change(tmp_path / "recipe.toml", ('name = "tiny"', 'nmae = "tiny"'))
    with pytest.raises(RecipeError, match="nmae"):
        call(tmp_path, "sensitivity")


class Levels(nn.Module):
    """A net of [-1, 1] as one of 0 to 255."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: Tensor) -> Tensor:
        return (self.inner(image / 127.5 - 1) + 1) * 127.5


def test_sensitivity_is_the_same_in_whatever_range_a_net_is_written(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    images = [ImageSet.from_patterns(["calibration"], tmp_path)]
    nets = [nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh()).eval() for _ in range(2)]
    lost = []
    encodings: tuple[dict[str, Any], ...] = ({}, {"range": (0, 255)})
    for taken in encodings:
        net, other = (Levels(each).eval() if taken else each for each in nets)
        model = as_model(net, "net", ((64, 64),), InputSettings(**taken), OutputSettings(**taken))
        samples = list(make_samples(model, (64, 64), images, "cycle"))
        analysis = SensitivityAnalysis(
            model, samples, size=(64, 64), quantize=QuantizeSettings(method="ptq"), prune=PruneSettings(), scores={}
        )
        lost.append(analysis._lost(model.graphs[0], other))
    assert lost[1] == pytest.approx(lost[0], abs=1e-5)
    assert lost[0] > 0.01
