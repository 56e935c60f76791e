"""Two networks that paint: in one style, and in any style that a picture shows. Images as in ``network_zoo``."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from network_zoo import enlarged
from torch import Tensor, nn

from instantstyle.model.graph import Arrays, Graph, Model, Run, TensorKind, TensorSpec

CODE_CHANNELS, STYLE_SIZE = 32, 128
PHOTO, STYLE, IMAGE = TensorSpec("photo"), TensorSpec("style", fixed_size=(STYLE_SIZE, STYLE_SIZE)), TensorSpec("image")
CODE = TensorSpec("code", TensorKind.VECTOR, channels=CODE_CHANNELS)


def padded(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """By reflection."""
    return nn.Sequential(nn.ReflectionPad2d(kernel // 2), nn.Conv2d(in_channels, out_channels, kernel, stride))


class StyledLayer(nn.Module):
    """Convolution and instance norm; with a style code, the norm's gain and bias come from it (Huang and Belongie 2017)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, styled: bool) -> None:
        super().__init__()
        self.conv = padded(in_channels, out_channels, kernel, stride)
        self.norm = nn.InstanceNorm2d(out_channels, affine=not styled)
        self.affine = nn.Linear(CODE_CHANNELS, 2 * out_channels) if styled else None

    def forward(self, features: Tensor, code: Tensor | None) -> Tensor:
        normal = self.norm(self.conv(features))
        if self.affine is None or code is None:
            return normal
        gain, bias = self.affine(code)[:, :, None, None].chunk(2, dim=1)
        return normal * (1 + gain) + bias


class StyleNet(nn.Module):
    """Johnson et al. 2016: three residual blocks at 1/4 between reflection-padded convolutions with instance norms."""

    def __init__(self, styled: bool = False, width: int = 16) -> None:
        super().__init__()
        wide = 4 * width
        shapes = ((3, width, 5, 1), (width, 2 * width, 3, 2), (2 * width, wide, 3, 2), *[(wide, wide, 3, 1)] * 6)
        shapes += ((wide, 2 * width, 3, 1), (2 * width, width, 3, 1))
        self.layers = nn.ModuleList(StyledLayer(*shape, styled) for shape in shapes)
        self.last = padded(width, 3, 5)

    def forward(self, photo: Tensor, code: Tensor | None = None) -> Tensor:
        features = photo
        for layer in self.layers[:3]:
            features = torch.relu(layer(features, code))
        for first, second in zip(self.layers[3:9:2], self.layers[4:9:2], strict=True):
            features = features + second(torch.relu(first(features, code)), code)
        for layer in self.layers[9:]:
            features = torch.relu(layer(enlarged(features), code))
        return torch.tanh(self.last(features))


class StyleEncoder(nn.Module):
    """A style image of 128x128 -> its code."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 48, 64)
        pairs = pairwise(widths)
        self.body = nn.Sequential(*(part for pair in pairs for part in (nn.Conv2d(*pair, 3, 2, 1), nn.ReLU())))
        self.last = nn.Linear(64, CODE_CHANNELS)

    def forward(self, style: Tensor) -> Tensor:
        return self.last(self.body(style).mean((2, 3)))


class AnyStyle(nn.Module):
    """Encoder and painter as one module, to train them together."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.painter = StyleEncoder(), StyleNet(styled=True)

    def forward(self, photo: Tensor, style: Tensor) -> Tensor:
        return self.painter(photo, self.encoder(style))


def as_two_graphs(net: AnyStyle, name: str) -> Model:
    """``encoder`` runs once a style, ``painter`` once a photo."""
    graphs = (Graph("encoder", net.encoder, (STYLE,), (CODE,)), Graph("painter", net.painter, (PHOTO, CODE), (IMAGE,)))
    return Model(name, graphs, scenario, (PHOTO, STYLE), "painter", size_multiple=4)


def scenario(runs: Mapping[str, Run], sample: Arrays) -> np.ndarray:
    """``photo`` (1, 3, H, W), ``style`` (1, 3, 128, 128) -> the painted photo (1, 3, H, W)."""
    code = runs["encoder"]({"style": sample["style"]})["code"]
    return runs["painter"]({"photo": sample["photo"], "code": code})["image"]
