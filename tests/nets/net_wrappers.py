"""Blocks around blocks."""

import torch
from net_convolutions import conv
from net_kinds import Fn, Pick, kind, parameter
from torch import nn
from torch.nn import functional as F


@kind("wrap.residual", 1)
def _(w: int, pick: Pick, body: nn.Module) -> nn.Module:
    return Fn(pick(lambda m, x: x + m.body(x), lambda m, x: m.body(x) + x, lambda m, x: x + 0.5 * m.body(x)), body=body)


@kind("wrap.residual_relu", 1)
def _(w: int, pick: Pick, body: nn.Module) -> nn.Module:
    in_place = pick(True, False)
    return Fn(lambda m, x: F.relu(torch.add(x, m.body(x)), inplace=in_place), body=body)


@kind("wrap.twice", 1)
def _(w: int, pick: Pick, body: nn.Module) -> nn.Module:
    return Fn(lambda m, x: m.body(m.body(x)), body=body)


@kind("wrap.concatenated", 2)
def _(w: int, pick: Pick, left: nn.Module, right: nn.Module) -> nn.Module:
    return Fn(lambda m, x: m.join(torch.cat([m.left(x), m.right(x), x], 1)), left=left, right=right, join=conv(3 * w, w, 1))


@kind("wrap.sum", 2)
def _(w: int, pick: Pick, left: nn.Module, right: nn.Module) -> nn.Module:
    return Fn(lambda m, x: m.left(x) + m.right(x), left=left, right=right)


@kind("wrap.gated", 2)
def _(w: int, pick: Pick, left: nn.Module, right: nn.Module) -> nn.Module:
    return Fn(lambda m, x: m.left(x) * torch.sigmoid(m.right(x)), left=left, right=right)


@kind("wrap.down_and_up", 1)
def _(w: int, pick: Pick, body: nn.Module) -> nn.Module:
    down = pick(lambda: nn.MaxPool2d(2), lambda: nn.AvgPool2d(2), lambda: nn.Conv2d(w, w, 3, 2, 1))()
    up = pick(
        lambda: nn.Upsample(scale_factor=2), lambda: nn.Upsample(scale_factor=2, mode="bilinear"), lambda: nn.ConvTranspose2d(w, w, 2, 2)
    )()
    return Fn(lambda m, x: m.join(torch.cat([m.up(m.body(m.down(x))), x], 1)), down=down, up=up, body=body, join=conv(2 * w, w))


@kind("wrap.dense", 2)
def _(w: int, pick: Pick, left: nn.Module, right: nn.Module) -> nn.Module:
    def forward(m, x):
        a = m.left(x)
        b = m.right(m.narrow(torch.cat([x, a], 1)))
        return x + 0.2 * m.join(torch.cat([x, a, b], 1))

    return Fn(forward, left=left, right=right, narrow=conv(2 * w, w, 1), join=conv(3 * w, w))


@kind("wrap.weighted", 1)
def _(w: int, pick: Pick, body: nn.Module) -> nn.Module:
    return Fn(lambda m, x: x + m.body(x) * m.scale, body=body, scale=parameter(1, w, 1, 1, around=0.5))
