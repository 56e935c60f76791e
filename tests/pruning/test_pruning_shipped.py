"""The shipped pruned checkpoint beside the whole one."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from instantstyle.calibration.imageset import ImageSet
from instantstyle.calibration.samples import make_samples
from instantstyle.compression.pruning.prune import parameter_count
from instantstyle.metrics.ssim import ssim
from instantstyle.model.checkpoint import load_checkpoint
from instantstyle.model.network import InstantStyle
from instantstyle.model.reference import to_model
from instantstyle.model.runs import runs_from_modules
from instantstyle.model.style_encoder import GridAttention

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def networks() -> tuple[InstantStyle, InstantStyle]:
    whole, small = (load_checkpoint(ROOT / f"checkpoints/instantstyle-{name}.safetensors") for name in ("paint", "mobile"))
    return whole, small


def test_it_is_less_than_a_quarter_of_the_whole_one_in_fast_widths(networks: tuple[InstantStyle, InstantStyle]) -> None:
    whole, small = networks
    assert parameter_count(small) == 2_653_694 < 0.23 * parameter_count(whole)
    heads = [sum(module.heads for module in network.modules() if isinstance(module, GridAttention)) for network in networks]
    assert heads[0] == 112 and heads[1] < 20
    widths = {module.out_channels for module in small.modules() if isinstance(module, nn.Conv2d)} - {12}  # 12: a pixel's block in RGB
    assert all(width % 8 == 0 for width in widths)


def test_it_paints_what_the_whole_one_paints(networks: tuple[InstantStyle, InstantStyle]) -> None:
    """On pairs that it never learnt from, at a quarter of the shipped size, where textures are coarser and SSIM is lower."""
    models = [to_model(network) for network in networks]
    sets = [ImageSet.from_patterns([f"samples/validation/{kind}"], ROOT) for kind in ("photos", "styles")]
    runs = [runs_from_modules(model) for model in models]
    scores, apart = [], []
    pictures: list[np.ndarray] = []
    for sample in islice(make_samples(models[0], (256, 256), sets, "cycle"), 4):
        one, other = (model.scenario(run, sample.inputs)[0] for model, run in zip(models, runs, strict=True))
        scores.append(ssim(one, other, -1, 1))
        apart += [ssim(picture, other, -1, 1) for picture in pictures]
        pictures.append(one)
    assert min(scores) > 0.9 and np.mean(scores) > 0.93
    assert max(apart) < 0.7


def test_code_that_it_finds_is_the_whole_ones(networks: tuple[InstantStyle, InstantStyle]) -> None:
    sets = ImageSet.from_patterns(["samples/validation/styles"], ROOT)
    codes = []
    with torch.no_grad():
        for index in range(len(sets)):
            style = torch.from_numpy(sets.load(index, (512, 512)))
            codes.append([network.style_encoder(style)[0] for network in networks])
    for index, (_, small) in enumerate(codes):
        own, *others = (torch.dist(small, codes[(index + turn) % len(codes)][0]).item() for turn in range(len(codes)))
        assert own < 0.4 * min(others)
