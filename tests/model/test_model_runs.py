"""Runs of a model's graphs in PyTorch."""

import numpy as np
import torch
from torch import Tensor, nn

from instantstyle.model.graph import single_graph
from instantstyle.model.runs import runs_from_modules


class Normalising(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        image.sub_(0.5).mul_(2)
        return image * 1


def test_a_module_that_changes_its_input_does_not_change_the_sample() -> None:
    image = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
    before = image.copy()
    run = runs_from_modules(single_graph(Normalising()))["model"]
    for _ in range(2):
        assert np.array_equal(run({"image": image})["output"], (before - np.float32(0.5)) * 2)
    assert np.array_equal(image, before)


def test_an_array_that_cannot_be_written_to_is_taken() -> None:
    image = np.zeros((1, 3, 8, 8), np.float32)
    image.flags.writeable = False
    assert torch.from_numpy(runs_from_modules(single_graph(Normalising()))["model"]({"image": image})["output"]).eq(-1).all()
