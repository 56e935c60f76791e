"""A user's model of two graphs: an encoder of styles, and a painter that blends a photo with a style as far as ``alpha`` says."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from instantstyle.model.graph import Arrays, Graph, Model, Run, TensorKind, TensorSpec

PHOTO, STYLE, IMAGE = TensorSpec("photo"), TensorSpec("style", fixed_size=(16, 16)), TensorSpec("image")
CODE = TensorSpec("code", TensorKind.VECTOR, channels=8)
ALPHA = TensorSpec("alpha", TensorKind.SCALAR, channels=1, minimum=0.0, maximum=1.0)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, style: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(style))).mean((2, 3))


class Painter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, photo: Tensor, code: Tensor, alpha: Tensor) -> Tensor:
        features = torch.relu(self.first(photo)) * (1 + code[:, :, None, None])
        return (photo + 0.3 * alpha[:, :, None, None] * self.last(features)).clamp(-1.0, 1.0)


def scenario(runs: Mapping[str, Run], sample: Arrays) -> np.ndarray:
    code = runs["encoder"]({"style": sample["style"]})["code"]
    return runs["painter"]({"photo": sample["photo"], "code": code, "alpha": sample["alpha"]})["image"]


def make() -> Model:
    """The model with seeded weights."""
    torch.manual_seed(5)
    graphs = (Graph("encoder", Encoder(), (STYLE,), (CODE,)), Graph("painter", Painter(), (PHOTO, CODE, ALPHA), (IMAGE,)))
    return Model("painter", graphs, scenario, (PHOTO, STYLE, ALPHA), "painter")
