"""Heads (RGB to features) and tails (features and the picture to RGB)."""

from collections.abc import Callable

import torch
from net_convolutions import conv
from net_kinds import Fn, parameter
from torch import nn
from torch.nn import functional as F

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def _luma(x: torch.Tensor) -> torch.Tensor:
    return 0.299 * x[:, 0:1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:3]


# (head, by how much it makes the picture smaller)
HEADS: dict[str, tuple[Callable[[int], nn.Module], int]] = {
    "conv": (lambda w: nn.Sequential(conv(3, w), nn.ReLU()), 1),
    "bare": (lambda w: conv(3, w), 1),
    "reflect": (lambda w: nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7), nn.InstanceNorm2d(w, affine=True), nn.ReLU(True)), 1),
    "unit_range": (lambda w: Fn(lambda m, x: F.relu(m.conv((x + 1) / 2)), conv=conv(3, w)), 1),
    "imagenet": (lambda w: Fn(lambda m, x: m.conv((x * 0.5 + 0.5 - m.mean) / m.std), conv=conv(3, w), mean=MEAN, std=STD), 1),
    "bgr": (lambda w: Fn(lambda m, x: m.conv(x[:, [2, 1, 0]] * 127.5 - m.mean) / 64, conv=conv(3, w), mean=30 * torch.rand(1, 3, 1, 1)), 1),
    "luma": (lambda w: Fn(lambda m, x: F.relu(m.conv(_luma(x))), conv=conv(1, w, 5)), 1),
    "norm_first": (lambda w: nn.Sequential(nn.BatchNorm2d(3), conv(3, w)), 1),
    "strided": (lambda w: nn.Sequential(nn.Conv2d(3, w, 3, 2, 1), nn.BatchNorm2d(w), nn.ReLU6()), 2),
    "unshuffled": (lambda w: nn.Sequential(nn.PixelUnshuffle(2), conv(12, w), nn.PReLU(w)), 2),
    "patches": (lambda w: nn.Sequential(nn.Conv2d(3, w, 2, 2), nn.GroupNorm(1, w)), 2),
}


class Tail(nn.Module):
    """``function(m, image, up(x))``: features to the size of the result, then to RGB."""

    def __init__(self, width: int, factor: int, up: str, function, **parts: nn.Module) -> None:
        super().__init__()
        self.up = _upsampling(width, factor, up)
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, image: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, image, self.up(x))


def _upsampling(width: int, factor: int, up: str) -> nn.Module:
    if factor == 1:
        return nn.Identity()
    if up == "shuffle":
        return nn.Sequential(conv(width, width * factor**2), nn.PixelShuffle(factor), nn.LeakyReLU(0.1, True))
    if up == "transposed":
        return nn.Sequential(nn.ConvTranspose2d(width, width, 2 * factor, factor, factor // 2), nn.ReLU())
    return nn.Sequential(nn.Upsample(scale_factor=factor, mode=up), conv(width), nn.ReLU(True))


UPSAMPLINGS = ("shuffle", "transposed", "nearest", "bilinear")


def _enlarged(m, image, size, mode):
    return image if image.shape[2:] == size else F.interpolate(image, size=size, mode=mode)


FUNCTIONS = {
    "tanh": lambda m, image, x: torch.tanh(0.6 * _enlarged(m, image, x.shape[2:], "nearest") + 0.4 * m.conv(x)),
    "bare_tanh": lambda m, image, x: torch.tanh(m.conv(x)),
    "clamp": lambda m, image, x: torch.clamp(_enlarged(m, image, x.shape[2:], "bilinear") + 0.3 * m.conv(x), -1, 1),
    "sigmoid": lambda m, image, x: 2 * torch.sigmoid(m.conv(x)) - 1,
    "hardtanh": lambda m, image, x: F.hardtanh(_enlarged(m, image, x.shape[2:], "bilinear") * 0.7 + 0.4 * m.conv(x)),
    "bicubic_base": lambda m, image, x: (_enlarged(m, image, x.shape[2:], "bicubic") + 0.2 * m.conv(x)).clamp_(-1, 1),
    "mask": lambda m, image, x: (1 - (g := m.gate(x).sigmoid())) * _enlarged(m, image, x.shape[2:], "bilinear") + g * m.conv(x).tanh(),
    "luma_only": lambda m, image, x: torch.tanh(_enlarged(m, image, x.shape[2:], "bilinear") * 0.7 + 0.4 * m.map(x)),
    "softsign": lambda m, image, x: F.softsign(2 * m.conv(x)),
    "scaled": lambda m, image, x: torch.tanh(m.conv(x) * m.scale.view(1, 3, 1, 1) + m.shift.view(1, 3, 1, 1)),
    "plain": lambda m, image, x: 0.7 * _enlarged(m, image, x.shape[2:], "bilinear") + 0.07 * m.conv(x),
}


def make_tail(name: str, width: int, factor: int, up: str) -> Tail:
    """A tail after features that are ``factor`` times smaller than the result."""
    parts: dict = {"conv": nn.Conv2d(width, 3, 3, 1, 1)}
    if name == "mask":
        parts["gate"] = conv(width, 1)
    if name == "luma_only":
        parts = {"map": conv(width, 1)}
    if name == "scaled":
        parts |= {"scale": parameter(3, around=1), "shift": parameter(3)}
    return Tail(width, factor, up, FUNCTIONS[name], **parts)
